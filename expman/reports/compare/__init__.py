"""Shows experiments as a table, and what differs between two."""
