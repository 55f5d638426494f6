"""The machinery behind `experiments_manager.py`, in the order in which an experiment flows through it."""
