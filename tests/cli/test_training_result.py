"""A training's last lines name what came out and the next command."""

from __future__ import annotations

from expman.cli.training_result import print_result
from expman.installation import program


def test_folders_with_spaces_can_be_pasted_into_a_shell(capsys):
    print_result({"loss": 0.123456, "mae": 2.0, "status": "ok", "global_step": 3, "sessionFolder": "my runs/a",
                  "last_exported_model": "my runs/a/export/digits/2"})
    assert capsys.readouterr().out.splitlines() == [
        "best evaluation: loss 0.1235, mae 2", "experiment folder: my runs/a",
        "newest export: my runs/a/export/digits/2, served as 'digits'",
        f"next: {program()} --start_server --model_dir 'my runs/a'", "      tensorboard --logdir 'my runs/a'"]


def test_without_an_export_there_is_no_name_under_which_it_is_served(capsys):
    print_result({"loss": 1.0, "sessionFolder": "runs/a", "last_exported_model": None})
    assert "newest export: None\n" in capsys.readouterr().out
