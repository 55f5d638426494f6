"""Lets the running environment see the packages of another one, of the same Python: those in the folder SHARED_PACKAGES."""

from __future__ import annotations

import os
import sysconfig
from pathlib import Path

if __name__ == "__main__":
    Path(sysconfig.get_path("purelib"), "shared.pth").write_text(f"{os.environ['SHARED_PACKAGES']}\n", encoding="utf-8")
