"""Processes under a supervisor: started again, given up, killed when they are silent, stopped together."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

import streamcore as sc
from streamcore.cli.supervisor import SIGN_OF_LIFE_FD, STOPPED, Supervisor

STOP_S = 5.0
GIVES_SIGNS = f"import os, time; fd = int(os.environ['{SIGN_OF_LIFE_FD}']); os.write(fd, b'.'); "


def python(code: str) -> Sequence[str]:
    return (sys.executable, "-S", "-E", "-c", code)


def test_all_end_when_each_process_is_done(capsys: pytest.CaptureFixture[str]) -> None:
    supervisor = Supervisor([("a", python("print(1)")), ("b", python("print(2)"))], say=print)

    supervisor.run(threading.Event(), STOP_S)

    assert sorted(capsys.readouterr().out.splitlines()) == ["a | 1", "b | 2"]


@pytest.mark.slow
def test_a_process_that_fails_is_started_again_until_it_ends_well(tmp_path: object) -> None:
    path = f"{tmp_path}/starts"
    code = f"starts = len(open({path!r}, 'a+b').read()); f = open({path!r}, 'ab'); import os; "
    code += f"f.write(b'.'); f.close(); raise SystemExit(3 if os.path.getsize({path!r}) < 3 else 0)"
    died: list[str] = []
    lines: list[str] = []

    Supervisor([("a", python(code))], say=lines.append, died=died.append).run(threading.Event(), STOP_S)

    assert died == ["a", "a"]
    assert lines == [
        "a has ended with status 3; it is started again in 0.5 s",
        "a has ended with status 3; it is started again in 1 s",
    ]


def test_a_process_that_was_killed_is_started_again(tmp_path: object) -> None:
    path = f"{tmp_path}/starts"
    code = f"import os; new = not os.path.exists({path!r}); open({path!r}, 'w'); "
    code += f"os.kill(os.getpid(), {int(signal.SIGKILL)}) if new else None"
    lines: list[str] = []

    Supervisor([("a", python(code))], say=lines.append).run(threading.Event(), STOP_S)

    assert lines == ["a was killed; it is started again in 0.5 s"]


@pytest.mark.slow
def test_a_process_that_fails_at_each_start_stops_the_others_with_its_last_line() -> None:
    lines: list[str] = []
    waiting = python("import time; time.sleep(60)")
    supervisor = Supervisor(
        [("bad", python("raise SystemExit('no such topic')")), ("good", waiting)], say=lines.append
    )

    with pytest.raises(sc.StreamCoreError, match=r"bad ends after each start.*no such topic.*starts=5"):
        supervisor.run(threading.Event(), STOP_S)

    assert not any(each.is_running for each in supervisor.processes)


def test_a_silent_process_is_killed() -> None:
    stopping = threading.Event()
    lines: list[str] = []

    def say(line: str) -> None:
        lines.append(line)
        if "was killed" in line:
            stopping.set()

    Supervisor([("a", python(GIVES_SIGNS + "time.sleep(60)"))], say=say, silence_s_max=0.2).run(
        stopping, STOP_S
    )

    assert lines[:2] == [
        "a gave no sign of life for 0.2 s: it is killed",
        "a was killed; it is started again in 0.5 s",
    ]


def test_a_stop_asks_each_process_and_one_that_stopped_by_itself_is_started_again() -> None:
    stopping = threading.Event()
    handler = f"import signal, sys; signal.signal(signal.SIGTERM, lambda *_: sys.exit({STOPPED})); "
    lines: list[str] = []

    def say(line: str) -> None:
        lines.append(line)
        if line == "waits | up":
            stopping.set()

    code = handler + "print('up', flush=True); signal.pause()"
    supervisor = Supervisor([("waits", python(code))], say=say)
    supervisor.run(stopping, STOP_S)

    assert lines == ["waits | up"]
    assert not supervisor.processes[0].is_running


@pytest.mark.slow
def test_processes_end_when_their_supervisor_is_killed() -> None:
    child = "import os, time; from streamcore.cli.supervisor import give_signs_of_life; "
    child += "give_signs_of_life(); print(os.getpid(), flush=True); time.sleep(60)"
    parent = "import sys, threading; from streamcore.cli.supervisor import Supervisor; "
    parent += (
        f"Supervisor([('a', [sys.executable, '-c', {child!r}])], say=lambda line: print(line, flush=True))"
    )
    parent += ".run(threading.Event(), 5)"
    with subprocess.Popen([sys.executable, "-c", parent], stdout=subprocess.PIPE, text=True) as supervisor:
        assert supervisor.stdout is not None
        pid = int(supervisor.stdout.readline().removeprefix("a | "))
        supervisor.kill()
    deadline_s = time.monotonic() + 20.0
    while is_alive(pid):
        assert time.monotonic() < deadline_s
        time.sleep(0.05)


def is_alive(pid: int) -> bool:
    """Whether a process runs; one that has ended and was not waited for does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
