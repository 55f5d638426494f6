"""TensorFlow's notices stay off the terminal; all else that is written to standard error arrives, whatever ends the process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from tests.support.project import ROOT

_NOTICE = "I0000 00:00:1795949544.561070   16459 port.cc:153] oneDNN custom operations are on."
_WORDS_OF_CPP = "terminate called after throwing an instance of 'std::bad_alloc'"
_START = f"""
import os, signal, sys, threading, time
from expman.runtimes.tensorflow_notices import hidden_notices, start_tensorflow

def write(text):
    os.write(2, (text + "\\n").encode())

NOTICE = {_NOTICE!r}
"""


def ended(code: str, *arguments: str, import_path: str = str(ROOT), **options: object) -> subprocess.CompletedProcess:
    """Runs a script to its end, and to that of whoever holds its standard error."""
    environment = {name: value for name, value in os.environ.items() if name != "TF_CPP_MIN_LOG_LEVEL"}
    return subprocess.run([sys.executable, "-c", _START + textwrap.dedent(code), *arguments], text=True, timeout=120, check=False,
                          env={**environment, "PYTHONPATH": import_path}, **{"stderr": subprocess.PIPE, **options})


def test_notices_are_dropped_and_other_lines_come_afterwards_in_their_order() -> None:
    process = ended("""
        write("before")
        with hidden_notices():
            write(NOTICE)
            write("first")
            print("second", file=sys.stderr)
            os.write(2, b"third, without a line break")
        write(" | after")
        """)
    assert process.returncode == 0
    assert process.stderr.splitlines() == ["before", "first", "second", "third, without a line break | after"]


@pytest.mark.parametrize(("end", "exit_code"), [
    ("os.abort()", -signal.SIGABRT), ("os.kill(os.getpid(), signal.SIGSEGV)", -signal.SIGSEGV),
    ("os.kill(os.getpid(), signal.SIGKILL)", -signal.SIGKILL), ("os.killpg(0, signal.SIGKILL)", -signal.SIGKILL),
    ("os.kill(os.getpid(), signal.SIGTERM)", -signal.SIGTERM), ("os._exit(3)", 3)])
def test_what_was_hidden_appears_when_the_process_dies_in_there(end: str, exit_code: int) -> None:
    process = ended(f"""
        with hidden_notices():
            write(NOTICE)
            write({_WORDS_OF_CPP!r})
            {end}
        """, start_new_session=True)
    assert process.returncode == exit_code
    assert process.stderr.splitlines()[:2] == [_NOTICE, _WORDS_OF_CPP]


@pytest.mark.parametrize("name", ["import_tensorflow", "start_tensorflow"])
def test_last_words_of_a_tensorflow_that_aborts_at_its_import_are_told(tmp_path: Path, name: str) -> None:
    package = tmp_path / "tensorflow"
    package.mkdir()
    (package / "__init__.py").write_text(
        f"import os\nos.write(2, {_WORDS_OF_CPP.encode()!r})\nos.abort()\n", encoding="utf-8")
    process = ended(f"from expman.runtimes import tensorflow_notices\ntensorflow_notices.{name}()",
                    import_path=f"{tmp_path}{os.pathsep}{ROOT}")
    assert (process.returncode, process.stderr) == (-signal.SIGABRT, _WORDS_OF_CPP)


def test_error_raised_inside_is_told_with_what_was_written_before_it() -> None:
    process = ended("""
        with hidden_notices():
            write("a hint")
            raise OSError("no library")
        """)
    assert process.returncode == 1
    assert process.stderr.startswith("a hint\nTraceback") and process.stderr.endswith("OSError: no library\n")


def test_threads_that_hide_at_the_same_time_leave_standard_error_as_it_was() -> None:
    process = ended("""
        def hide(number):
            for _ in range(20):
                with hidden_notices():
                    with hidden_notices():
                        write(f"thread {number}")

        before = os.fstat(2)
        threads = [threading.Thread(target=hide, args=(number,)) for number in range(4)]
        for thread in threads: thread.start()
        for thread in threads: thread.join()
        assert os.path.samestat(os.fstat(2), before)
        write("after")
        """)
    assert process.returncode == 0
    *lines, last = process.stderr.splitlines()
    assert last == "after" and sorted(lines) == sorted(f"thread {number}" for number in range(4) for _ in range(20))


def test_forked_child_writes_at_once_and_does_not_keep_the_last_words_from_appearing(tmp_path: Path) -> None:
    file = tmp_path / "stderr"
    with file.open("wb") as stderr:
        process = ended("""
            def wait_for(text):
                while text not in open(sys.argv[1]).read(): time.sleep(0.01)

            with hidden_notices():
                write("last words of the parent")
                if os.fork():
                    wait_for("written by the child")
                    os.abort()
                write("written by the child")
                wait_for("last words of the parent")  # While the child has what it was forked with.
            with hidden_notices():
                write("hidden by the child")
            os._exit(0)
            """, str(file), stderr=stderr)
    assert process.returncode == -signal.SIGABRT
    deadline = time.monotonic() + 60
    while "hidden by the child" not in (lines := file.read_text(encoding="utf-8").splitlines()):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert [line for line in lines if line.endswith(("parent", "child"))] == [
        "written by the child", "last words of the parent", "hidden by the child"]


def test_nothing_is_left_behind() -> None:
    process = ended("""
        def descriptors():
            return {name: os.readlink(f"/proc/self/fd/{name}") for name in os.listdir("/proc/self/fd")
                    if os.path.exists(f"/proc/self/fd/{name}")}

        before = descriptors()
        with hidden_notices():
            write(NOTICE)
        assert descriptors() == before, descriptors()
        children = [open(f"/proc/self/task/{task}/children").read() for task in os.listdir("/proc/self/task")]
        assert not any(children), children
        """)
    assert (process.returncode, process.stderr) == (0, "")


def test_end_of_the_process_that_watches_does_no_harm() -> None:
    process = ended("""
        with hidden_notices():
            write("a line")
            watcher, = open(f"/proc/self/task/{os.getpid()}/children").read().split()
            os.kill(int(watcher), signal.SIGKILL)
        """)
    assert (process.returncode, process.stderr) == (0, "a line\n")


@pytest.mark.parametrize("change", [
    pytest.param("held_back_stderr._WATCHER[0] = '/no/shell'", id="no shell to watch over it"),
    pytest.param("os.environ['TF_CPP_MIN_LOG_LEVEL'] = '0'", id="level 0")])
def test_nothing_is_hidden(change: str) -> None:
    process = ended(f"""
        from expman.runtimes import held_back_stderr
        {change}
        with hidden_notices():
            write(NOTICE)
            os.abort()
        """)
    assert process.returncode == -signal.SIGABRT and process.stderr.splitlines()[0] == _NOTICE
