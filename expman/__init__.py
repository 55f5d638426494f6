"""The machinery behind `experiments_manager.py`, in the order in which an experiment flows through it."""

from pathlib import Path

PROJECT_FOLDER = Path(__file__).resolve().parent.parent  # the clone, or the folder of installed packages
