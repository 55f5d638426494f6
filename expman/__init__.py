"""The machinery behind `experiments_manager`, in the order in which an experiment flows through it."""

from pathlib import Path

__version__ = "0.2.0"

PROJECT_FOLDER = Path(__file__).resolve().parent.parent  # the clone, or the folder of installed packages
