#!/usr/bin/env python3
"""Checks a settings file and its model file; the door of `expman/cli/settings_checker.py` in a clone."""

from __future__ import annotations

from expman.cli.settings_checker import console, main, prototypes_table, settings_table, update_tables
from expman.settings.contract import CLIENT_METHODS, MODEL_PROTOTYPE, PROTOTYPES, SETTINGS, default_settings
from expman.settings.settings_check import check_settings, client_errors

__all__ = ["CLIENT_METHODS", "MODEL_PROTOTYPE", "PROTOTYPES", "SETTINGS", "check_settings", "client_errors", "default_settings",
           "main", "prototypes_table", "settings_table", "update_tables"]

if __name__ == "__main__":
    console()
