"""The README's first ten minutes, run word for word."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest

from expman.first_steps.kinds import all_kinds
from tests.support.project import ROOT
from tests.support.serving_models import free_port

README = (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.mark.slow
def test_five_commands_lead_from_a_csv_file_to_the_answers_of_a_server(tmp_path):
    text = re.search(r"<!-- example: first steps -->\n```sh\n(.*?)```", README, re.DOTALL).group(1)
    assert len(text.strip().splitlines()) == 5
    folder, programs = tmp_path / "empty", tmp_path / "bin"
    folder.mkdir()
    programs.mkdir()
    (folder / "datasamples").symlink_to(ROOT / "datasamples")
    installed = programs / "experiments_manager"  # as pip writes it
    installed.write_text(f"#!{sys.executable}\nimport sys\nsys.path.insert(0, {str(ROOT)!r})\n"
                         "from expman.cli.script import console\nconsole()\n", encoding="utf-8")
    installed.chmod(0o755)
    port = free_port()  # others may use that of the settings
    text = re.sub("(--start_server|--predict) ", rf"\1 --port {port} ", text)
    ended = subprocess.run(["bash", "-c", f"set -e\n{text}\nkill %1\nwait"], cwd=folder, capture_output=True, text=True, timeout=500,
                           check=False, env={**os.environ, "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}"})
    assert "The target 'Miles_per_Gallon' holds numbers from 9 to 46.6: regression." in ended.stdout, ended.stderr
    assert re.search(r"all \d+ checks passed", ended.stdout), ended.stdout + ended.stderr
    errors = re.findall(r"^served model, 81 validation rows: rmse ([\d.]+)", ended.stdout, re.MULTILINE)
    assert len(errors) == 1 and float(errors[0]) < 4, ended.stdout + ended.stderr  # linear regression: about 3, the mean: 8
    assert sorted(file.name for file in folder.iterdir()) == ["cars", "datasamples"]


def test_each_kind_of_data_is_in_the_table():
    for kind in all_kinds():
        assert f"| `{kind.name}` |" in README
