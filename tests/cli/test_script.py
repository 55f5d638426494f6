"""The program finds the command, refuses flags that do nothing, and gives the shell an exit code."""

from __future__ import annotations

import argparse
import itertools
import subprocess
import sys

import pytest

import experiments_manager
from expman.cli import commands as commands_folder
from expman.cli import script
from expman.cli.command import Command, Flag
from expman.cli.commands import all_commands
from expman.cli.flags import DEBUG
from expman.cli.parsing import parse
from expman.errors import ExperimentError, UsageError
from tests.support.project import ROOT

COMMANDS = all_commands()
BY_NAME = {command.flag.name: command for command in COMMANDS}
FLAGS = {flag.name: flag for command in COMMANDS for flag in command.flags}


def typed(flag: Flag) -> list[str]:
    """A flag as one types it, with its default where it has one."""
    parsing = flag.parsing
    if parsing.get("action") == "store_true" or parsing.get("nargs") == "?":
        return [str(flag)]
    value = "1" if "type" in parsing else "a=1"
    if flag.default:
        value = str(flag.default)
    return [str(flag), *[value] * (parsing["nargs"] if isinstance(parsing.get("nargs"), int) else 1)]


def least(command: Command) -> list[str]:
    """The shortest command line of a command."""
    return [word for flag in (command.flag, *command.required) for word in typed(flag)]


def refusal(capsys, arguments: list[str]) -> str:
    with pytest.raises(SystemExit) as end:
        experiments_manager.main(arguments)
    assert end.value.code == 2
    return capsys.readouterr().err


def test_each_file_in_the_folder_is_a_command():
    files = {file.stem for file in (ROOT / "expman" / "cli" / "commands").glob("[a-z]*.py")}
    assert {command.run.__module__.rpartition(".")[2] for command in COMMANDS} == files and len(COMMANDS) == len(files)


GREET = '''
from expman.cli.command import Command, Flag
from expman.cli.flags import MODEL_DIR


def run(options):
    print(f"{options.greet}, {options.model_dir}, {options.volume}")
    return 3


COMMAND = Command(Flag("greet", "say something", parsing={"metavar": "TEXT"}), run, synopsis="--greet TEXT", summary="greet",
                  position=200, required=[MODEL_DIR], optional=[Flag("volume", "how loud", because="it is loud", default=1,
                                                                     parsing={"type": int})])
'''


def test_a_new_command_is_one_new_file(tmp_path, monkeypatch, capsys):
    (tmp_path / "greet.py").write_text(GREET, encoding="utf-8")
    monkeypatch.setattr(commands_folder, "__path__", [*commands_folder.__path__, str(tmp_path)])
    try:
        assert experiments_manager.main(["--greet", "hello", "--model_dir", "x"]) == 3
        assert capsys.readouterr().out == "hello, x, 1\n"
        assert "--greet needs --model_dir FOLDER" in refusal(capsys, ["--greet", "hello"])
        assert "--volume goes with --greet only: it is loud" in refusal(capsys, ["--usersettings", "f", "--volume", "1"])
        with pytest.raises(SystemExit, match="0"):
            experiments_manager.main(["--help"])
        told = " ".join(capsys.readouterr().out.split())
        assert "experiments_manager --greet TEXT" in told and "--volume VOLUME with --greet: how loud" in told
    finally:
        sys.modules.pop("expman.cli.commands.greet", None)


@pytest.mark.parametrize(("command", "flag"), [
    pytest.param(command, flag, id=f"{command.flag} {flag}") for command, flag in itertools.product(COMMANDS, FLAGS.values())
    if not command.takes(flag.name) and flag.name not in BY_NAME])
def test_a_flag_that_does_nothing_is_refused_although_it_is_given_its_default(capsys, command, flag):
    message = refusal(capsys, [*least(command), *typed(flag)])
    assert f"{flag} goes with --" in message and message.endswith(f" only: {flag.because}\n") and flag.because


@pytest.mark.parametrize(("one", "other"), [
    pytest.param(one, other, id=f"{one.flag} {other.flag}") for one, other in itertools.combinations(COMMANDS, 2)
    if not one.takes(other.flag.name) and not other.takes(one.flag.name)])
def test_two_commands_at_a_time_are_refused(capsys, one, other):
    message = refusal(capsys, [*least(one), *least(other)])
    assert "not allowed with argument" in message


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: str(command.flag))
def test_a_command_takes_each_of_its_flags_and_fills_in_the_others(command):
    for flag in (*command.optional, DEBUG):
        if command.error_in(argparse.Namespace(**{one.name: one.default for one in command.flags} | {flag.name: "x"})) is None:
            chosen, options = parse([*least(command), *typed(flag)], commands=COMMANDS, program="program")
            assert chosen is command
            assert set(vars(options)) == {one.name for one in (*command.flags, DEBUG)}
            assert all(getattr(options, one.name) == one.default for one in command.optional if one is not flag)


@pytest.mark.parametrize("command", [one for one in COMMANDS if one.required], ids=lambda command: str(command.flag))
def test_a_command_says_what_it_needs(capsys, command):
    message = refusal(capsys, typed(command.flag))
    assert f"{command.flag} needs {command.required[0].usage}" in message


@pytest.mark.parametrize(("arguments", "message"), [
    ("--port 1 --report x", "--port goes with --start_server or --predict only: it is the port of the server"),
    ("--serving_engine docker --compare x", "--serving_engine goes with --start_server only: it names the server"),
    ("--serving_engine auto --compare x", "--serving_engine goes with --start_server only: it names the server"),
    ("--predict_stream 1 --usersettings f", "--predict_stream goes with --predict only: it is the number of samples to send"),
    ("--engine local --usersettings f", "--engine goes with --sweep only: it says where trials run"),
    ("--sweep f --ray_address auto", "--ray_address goes with --engine ray only"),
    ("--port 1", "one of the arguments --init --usersettings --check --restart_interrupted"),
    ("--usersettings f --embeded_workers 2", "unrecognized arguments: --embeded_workers 2. Did you mean --embedded_workers?")])
def test_what_the_message_says(capsys, arguments, message):
    assert message in refusal(capsys, arguments.split())


def with_command(monkeypatch, run, **declared) -> None:
    command = Command(Flag("try", "try it", parsing={"action": "store_true"}), run, synopsis="--try", summary="tries", position=1,
                      **declared)
    monkeypatch.setattr(commands_folder, "all_commands", lambda: [*COMMANDS, command])


def raising(error: BaseException):
    def run(options: argparse.Namespace) -> int:
        raise error
    return run


@pytest.mark.parametrize(("run", "code"), [
    (lambda options: 7, 7), (raising(KeyboardInterrupt()), 130), (raising(UsageError("no")), 2),
    (raising(ExperimentError("no")), 1)])
def test_the_exit_code_says_how_a_command_ended(monkeypatch, capsys, run, code):
    with_command(monkeypatch, run)
    assert experiments_manager.main(["--try"]) == code
    assert capsys.readouterr().err == ("error: no\n" if code in (1, 2) else "")


def test_a_bug_keeps_its_traceback(monkeypatch):
    with_command(monkeypatch, raising(ZeroDivisionError()))
    with pytest.raises(ZeroDivisionError):
        experiments_manager.main(["--try"])


def test_a_flag_that_commands_use_otherwise_has_a_line_of_help_for_each(monkeypatch, capsys):
    data = FLAGS["data"].used_to("look at these")
    with_command(monkeypatch, lambda options: 0, optional=[data])
    with pytest.raises(SystemExit):
        experiments_manager.main(["--help"])
    told = " ".join(capsys.readouterr().out.split())
    assert ("with --init: your data, at which --like KIND looks; with --evaluate: passed to the input pipeline instead of "
            "raw_data_dir_val; with --try: look at these") in told
    assert "--data goes with --init or --evaluate or --try only" in refusal(capsys, ["--usersettings", "f", "--data", "x"])


def test_a_flag_that_commands_read_otherwise_is_a_mistake_of_the_declarations(monkeypatch):
    with_command(monkeypatch, lambda options: 0, optional=[Flag("data", "of another kind", parsing={"type": int})])
    with pytest.raises(ValueError, match="--evaluate and --try declare --data differently"):
        experiments_manager.main(["--try"])


@pytest.mark.parametrize(("started_as", "name"), [
    ("/a/clone/experiments_manager.py", "experiments_manager.py"), ("/usr/bin/experiments_manager", "experiments_manager"),
    ("/usr/bin/ipython", "experiments_manager")])
def test_the_usage_names_the_program_as_it_was_started(monkeypatch, capsys, started_as, name):
    monkeypatch.setattr(sys, "argv", [started_as])
    assert refusal(capsys, []).startswith(f"usage: {name} COMMAND [options]\n")


def test_the_console_script_ends_the_process_with_the_exit_code(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(sys, "argv", ["experiments_manager", "--predict", "--model_dir", str(tmp_path)])
    with pytest.raises(SystemExit) as end:
        script.console()
    assert end.value.code == 1 and "holds no experiment" in capsys.readouterr().err


def test_help_lists_commands_flags_settings_and_functions_without_numpy():
    code = ("import sys\nfrom expman.cli.script import main\ntry:\n    main(['--help'])\nexcept SystemExit as end:\n"
            "    print(end.code, [name for name in ('tensorflow', 'numpy', 'keras') if name in sys.modules])")
    answer = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert answer.endswith("\n0 []\n")
    assert all(f"    experiments_manager {command.synopsis} " in answer and command.summary in answer for command in COMMANDS)
    assert all(f"\n  {flag}" in answer for flag in (*FLAGS.values(), DEBUG))
    assert "settings of a settings file [default]:\n" in answer and "functions of a settings file:\n" in answer


def test_a_flag_that_is_given_twice_is_refused(capsys):
    with pytest.raises(SystemExit):
        experiments_manager.main(["--usersettings", "a.py", "--hparams", "x=1", "--hparams", "y=2"])
    assert "--hparams is given 2 times" in capsys.readouterr().err


def test_a_reader_that_goes_gets_no_traceback(tmp_path):
    process = subprocess.Popen([sys.executable, str(ROOT / "experiments_manager.py"), "--init"], text=True, cwd=tmp_path,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    process.stdout.close()
    assert process.stderr.read() == ""
    assert process.wait() == 141
