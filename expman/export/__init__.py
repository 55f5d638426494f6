"""Builds what an experiment serves, and exports it as versions that are verified before they appear, in any of the formats."""
