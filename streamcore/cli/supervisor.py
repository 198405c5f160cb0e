"""Runs several processes of one program: starts them again after a crash, stops them together.

A process that ends with an error is started again, later each time; one that ends soon after each of several
starts ends all, with its last line as the reason. One that was killed or stopped from outside is started
again at once. Each process writes signs of life into a pipe: one that gives none, because it is suspended
or hangs, is killed, so that it holds no files that its successor needs. A process whose supervisor has died
notices that at the same pipe, and stops.

The output of the processes is printed line by line, with their names.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

from streamcore.errors import StreamCoreError, with_facts

SIGN_OF_LIFE_FD: Final = "STREAMCORE_SIGN_OF_LIFE_FD"
"""The environment variable with the descriptor of the pipe for signs of life."""

STOPPED: Final = 143
"""The exit code of a process that stopped in order after SIGTERM: it is started again at once."""

SIGN_EVERY_S: Final = 1.0
SILENCE_S_MAX: Final = 10.0
"""How long a process may give no sign of life. It equals the session of a worker in its group."""

_START_S_MAX: Final = 60.0
"""How long a process may take to its first sign of life."""
_ORPHAN_S_MAX: Final = 5.0
"""How long a process may take to stop in order after its supervisor has died."""
_POLL_S: Final = 0.05
_STEADY_S: Final = 30.0
"""A process that ran so long before it ended had a good start."""
_DELAY_S: Final = 0.5
_DELAY_S_MAX: Final = 15.0
_STARTS_MAX: Final = 5
_LAST_LINES: Final = 5


class SupervisedProcess:
    """One of the processes, over its restarts."""

    def __init__(self, name: str, command: Sequence[str], say: Callable[[str], None]) -> None:
        self.name = name
        self.failed_starts = 0
        self.is_done = False
        """Whether the process has ended without an error."""
        self.start_at_s = 0.0
        self.last_lines: deque[str] = deque(maxlen=_LAST_LINES)
        self._command = command
        self._say = say
        self._process: subprocess.Popen[str] | None = None
        self._printing: threading.Thread | None = None
        self._signs_fd = -1
        self._started_s = self._signed_s = 0.0
        self._has_signed = False

    @property
    def is_running(self) -> bool:
        """Whether the process has been started, and its end was not seen yet."""
        return self._process is not None

    @property
    def pid(self) -> int:
        """The process id; 0 while it does not run."""
        return 0 if self._process is None else self._process.pid

    def start(self) -> None:
        """Start the process, in a group of its own: Ctrl-C reaches it only through the supervisor."""
        self._signs_fd, written_fd = os.pipe()
        os.set_blocking(self._signs_fd, False)
        try:
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                pass_fds=(written_fd,),
                env={**os.environ, SIGN_OF_LIFE_FD: str(written_fd)},
                start_new_session=True,
            )
        finally:
            os.close(written_fd)
        self._started_s = self._signed_s = time.monotonic()
        self._has_signed = False
        self._printing = threading.Thread(target=self._print, args=(self._process,), daemon=True)
        self._printing.start()

    def send(self, number: signal.Signals) -> None:
        """Send a signal, if the process runs."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(number)

    def is_silent(self, silence_s_max: float) -> bool:
        """Whether the process gave no sign of life for so long; its first one may take longer."""
        now_s = time.monotonic()
        with contextlib.suppress(BlockingIOError):
            if os.read(self._signs_fd, 4096):
                self._signed_s, self._has_signed = now_s, True
        is_silent = now_s - self._signed_s > (silence_s_max if self._has_signed else _START_S_MAX)
        if is_silent:
            self._signed_s = float("inf")  # said once
        return is_silent

    def ended(self) -> int | None:
        """Return the exit code once the process has ended, negative after a signal; ``None`` before."""
        process = self._process
        if process is None or process.poll() is None:
            return None
        assert self._printing is not None
        self._printing.join(1.0)
        os.close(self._signs_fd)
        self._process = None
        if time.monotonic() - self._started_s >= _STEADY_S:
            self.failed_starts = 0
        return process.returncode

    def _print(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        with process.stdout:
            for line in process.stdout:
                text = line.rstrip("\n")
                self.last_lines.append(text)
                self._say(f"{self.name} | {text}")


class Supervisor:
    """Runs processes until a signal, or until all are done. For one thread."""

    def __init__(
        self,
        commands: Sequence[tuple[str, Sequence[str]]],
        *,
        say: Callable[[str], None],
        died: Callable[[str], None] = lambda name: None,
        silence_s_max: float = SILENCE_S_MAX,
    ) -> None:
        """Prepare the processes.

        Args:
            commands: the name and the command line of each.
            say: prints a line.
            died: called with the name of a process that has ended with an error, before its next start.
            silence_s_max: how long a process may give no sign of life.
        """
        self.processes = [SupervisedProcess(name, command, say) for name, command in commands]
        self._silence_s_max = silence_s_max
        self._say = say
        self._died = died

    def run(self, stopping: threading.Event, stop_timeout_s: float) -> None:
        """Start the processes; return when all are done, or have stopped after ``stopping`` was set.

        Args:
            stop_timeout_s: how long they may take to stop; then they are killed.

        Raises:
            StreamCoreError: a process failed at several starts; the others were stopped.
        """
        failure: StreamCoreError | None = None
        try:
            while not stopping.is_set() and not all(each.is_done for each in self.processes):
                for each in self.processes:
                    self._look_after(each)
                stopping.wait(_POLL_S)
        except StreamCoreError as error:
            failure = error
        finally:
            self._stop(stop_timeout_s)
        if failure is not None:
            raise failure

    def _look_after(self, each: SupervisedProcess) -> None:
        if each.is_done:
            return
        now_s = time.monotonic()
        if not each.is_running:
            if now_s >= each.start_at_s:
                each.start()
            return
        if each.is_silent(self._silence_s_max):
            self._say(f"{each.name} gave no sign of life for {self._silence_s_max:g} s: it is killed")
            each.send(signal.SIGKILL)
        code = each.ended()
        if code is None:
            return
        if code in (0, STOPPED):
            each.is_done = code == 0
            each.start_at_s = now_s
            return
        self._died(each.name)
        if code == -signal.SIGKILL:
            each.start_at_s = now_s + _DELAY_S
            self._say(f"{each.name} was killed; it is started again in {_DELAY_S:g} s")
            return
        each.failed_starts += 1
        reason = each.last_lines[-1] if each.last_lines else "it printed nothing"
        if each.failed_starts >= _STARTS_MAX:
            raise StreamCoreError(
                with_facts(
                    f"{each.name} ends after each start, so the others are stopped: {reason}",
                    starts=each.failed_starts,
                    status=code,
                )
            )
        delay_s = min(_DELAY_S_MAX, _DELAY_S * 2 ** (each.failed_starts - 1))
        each.start_at_s = now_s + delay_s
        self._say(f"{each.name} has ended with status {code}; it is started again in {delay_s:g} s")

    def _stop(self, timeout_s: float) -> None:
        running = [each for each in self.processes if each.is_running]
        for each in running:
            each.send(signal.SIGTERM)
        deadline_s = time.monotonic() + timeout_s
        while running:
            running = [each for each in running if each.ended() is None]
            if running and time.monotonic() >= deadline_s:
                for each in running:
                    self._say(f"{each.name} did not stop in {timeout_s:.0f} s: it is killed")
                    each.send(signal.SIGKILL)
                deadline_s = float("inf")
            time.sleep(_POLL_S)


def give_signs_of_life() -> None:
    """Give signs of life to the supervisor of this process, if it has one; stop when the supervisor dies."""
    descriptor = os.environ.pop(SIGN_OF_LIFE_FD, None)
    if descriptor is None:
        return
    thread = threading.Thread(target=_give_signs, args=(int(descriptor),), name="signs-of-life", daemon=True)
    thread.start()


def _give_signs(descriptor: int) -> None:
    while True:
        try:
            os.write(descriptor, b".")
        except OSError:
            os.kill(os.getpid(), signal.SIGTERM)
            # The log may have died with the supervisor. The next start does again what is not committed.
            time.sleep(_ORPHAN_S_MAX)
            os._exit(1)
        time.sleep(SIGN_EVERY_S)
