"""`--diff` prints what differs; in colours on a terminal only."""

from __future__ import annotations

import experiments_manager
from tests.support.experiment_files import write_experiment_files


def test_what_differs_is_told_from_the_first_to_the_second_without_colours(tmp_path, capsys):
    one, other = (write_experiment_files(tmp_path, number=number, hparams={"neurons": 8 * number}) for number in (1, 2))
    assert experiments_manager.main(["--diff", str(one), str(other)]) == 0
    printed = capsys.readouterr().out
    assert printed.splitlines()[:2] == [f"--- {one}", f"+++ {other}"]
    assert "  neurons: 8 → 16\n" in printed and "\x1b" not in printed


def test_a_folder_without_experiment_is_told(tmp_path, capsys):
    folder = write_experiment_files(tmp_path)
    assert experiments_manager.main(["--diff", str(folder), str(tmp_path / "nowhere")]) != 0
    assert "nowhere" in capsys.readouterr().err
