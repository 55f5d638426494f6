"""The program `experiments_manager`: one file a command."""
