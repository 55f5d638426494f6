"""What a settings file may say, and how the user's files are loaded."""
