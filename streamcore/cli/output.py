"""The output of commands: rows for people or for programs, and errors as one line.

For people, rows become a table with the first row's keys as its head. For programs (``--json``), each row is
one JSON object on a line, printed at once, so that endless output can be piped. Errors and notes go to
stderr; stdout has only the answer.
"""

from __future__ import annotations

import base64
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING

import click

from streamcore.durations import time_text

if TYPE_CHECKING:
    from rich.progress import Progress

Row = Mapping[str, object]

_OTHER_LINE_ENDS = {ord(end): f"\\u{ord(end):04x}" for end in "\x85\u2028\u2029"}
"""Unicode's line ends, which JSON does not escape within a string."""


def print_rows(rows: Iterable[Row], as_json: bool, *, empty: str = "nothing to show") -> None:
    """Print rows as a table, or as one JSON object a line.

    Args:
        rows: mappings of one shape; a table collects all of them, JSON prints each at once.
        as_json: print JSON for programs instead of a table.
        empty: the text that is printed instead of a table without rows.
    """
    if as_json:
        for row in rows:
            print_json(row)
        return
    collected = list(rows)
    if not collected:
        print_line(empty)
        return
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for name in collected[0]:
        numeric = all(isinstance(row[name], int | float) or row[name] is None for row in collected)
        table.add_column(
            name.removesuffix("_ms").replace("_", " "),
            justify="right" if numeric and not name.endswith("_ms") else "left",
            overflow="fold",
        )
    for row in collected:
        table.add_row(*(Text(cell_text(name, value)) for name, value in row.items()))
    # A pipe has no width. A large one folds nothing, so that grep and cut see whole rows.
    console = Console(highlight=False) if sys.stdout.isatty() else Console(highlight=False, width=10_000)
    with console.capture() as capture:
        console.print(table)
    print_line("\n".join(line.rstrip() for line in capture.get().splitlines()))


def print_json(row: Row) -> None:
    """Print one JSON object as one line; characters that some programs take for a line end are escaped."""
    import msgspec

    text = msgspec.json.encode(row, enc_hook=json_value).decode()
    if not text.isascii():
        text = text.translate(_OTHER_LINE_ENDS)
    sys.stdout.write(text + "\n")


def print_line(text: str) -> None:
    """Print a line of the answer."""
    sys.stdout.write(text + "\n")


def print_note(text: str) -> None:
    """Print a note to people, on stderr."""
    sys.stderr.write(text + "\n")


def print_error(error: BaseException) -> None:
    """Print an error as one line on stderr, in red on a terminal."""
    line = f"error: {' '.join(str(error).split()) or type(error).__name__}"
    if sys.stderr.isatty():
        line = f"\x1b[31m{line}\x1b[0m"
    sys.stderr.write(line + "\n")


def json_value(value: object) -> object:
    """Replace a value that JSON has no form for: bytes by text or base64, others by ``str``."""
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes_json(bytes(value))
    return str(value)


def bytes_json(data: bytes | None) -> object:
    """Return bytes in the form for JSON: a string if they are UTF-8, otherwise ``{"base64": …}``."""
    if data is None:
        return None
    try:
        return data.decode()
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(data).decode()}


def bytes_text(data: bytes | None) -> str:
    """Return bytes in the form for people: text if they are printable UTF-8, otherwise Python's form."""
    if data is None:
        return "null"
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return repr(data)
    return text if text.isprintable() else repr(text)[1:-1]


def cell_text(name: str, value: object) -> str:
    """Return a value as text for a table's cell; columns whose names end in ``_ms`` hold times."""
    if value is None:
        return "-"
    if isinstance(value, bytes):
        return bytes_text(value)
    if isinstance(value, Mapping):
        return " ".join(f"{key}={item}" for key, item in value.items()) or "-"
    if isinstance(value, list | tuple):
        return ", ".join(str(item) for item in value) or "-"
    if name.endswith("_ms") and isinstance(value, int):
        return time_text(value) if value >= 0 else "-"
    return str(value)


def open_missing_streams() -> None:
    """Open the null device for each standard stream that the caller has closed (``>&-``)."""
    import os

    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode))  # noqa: SIM115 - open until the process ends


def progress_bar() -> Progress:
    """Return a progress display on stderr; it shows nothing unless stderr is a terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )


def run_and_report(run: Callable[[], object]) -> int:
    """Run a command and return its exit code; print every expected error as one line.

    The code is 2 for a wrong command line, 1 for errors of this package and of the operating system, and 130
    for an interrupt, as in shells. If the reader of the output has gone (``| head``), the code is 1 and
    nothing is printed. Any other exception is a bug and is raised.

    Args:
        run: the command; an integer that it returns is the exit code.
    """
    from streamcore.errors import StreamCoreError

    try:
        code = run()
        sys.stdout.flush()
    except SystemExit as stop:
        return _exit_code(stop)
    except KeyboardInterrupt:
        return 130
    except click.Abort as error:
        return 130 if isinstance(error.__cause__, KeyboardInterrupt) else 1
    except BrokenPipeError:
        _discard_stdout()
        return 1
    except (StreamCoreError, OSError) as error:
        print_error(error)
        return 1
    except click.ClickException as error:
        _print_usage_error(error)
        return 2
    except SystemError as error:
        # An interrupt within a call of an extension module arrives as the cause of a SystemError.
        if isinstance(error.__cause__ or error.__context__, KeyboardInterrupt):
            return 130
        raise
    return code if isinstance(code, int) else 0


def _print_usage_error(error: click.ClickException) -> None:
    """Print what is wrong with a command line, and the command that prints the help."""
    if type(error).__name__ == "NoArgsIsHelpError":  # click 8.1 does not have it: it prints the help itself.
        error.show()
        return
    message = " ".join(error.format_message().split()).removesuffix(".")
    if message[1:2].islower():
        message = message[0].lower() + message[1:]
    context = error.ctx if isinstance(error, click.UsageError) else None
    command = "streamcore" if context is None else context.command_path
    print_error(ValueError(f"{message}; see {command} --help"))


def _exit_code(stop: SystemExit) -> int:
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        _discard_stdout()
        return 1
    if isinstance(stop.code, str):
        print_note(stop.code)
        return 1
    return stop.code or 0


def _discard_stdout() -> None:
    # The interpreter flushes stdout again at exit and would report the same broken pipe.
    import os

    sink = os.open(os.devnull, os.O_WRONLY)
    os.dup2(sink, sys.stdout.fileno())
    os.close(sink)
