"""Writes the pages of this folder that are made from the code: ``make docs``.

A test holds each page against what would be written (``tests/docs/test_generated_pages.py``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from pathlib import Path
from types import MappingProxyType
from typing import Final

from streamcore.log.wire.apis import APIS, PRODUCE, PRODUCE_ADVERTISED_MIN, Api
from streamcore.log.wire.handlers.table import HANDLERS

FOLDER: Final = Path(__file__).resolve().parent

_WIRE_INTRODUCTION: Final = """\
# The wire protocol

Made by `make docs` from `streamcore/log/wire/apis.py`; not to be edited.

These requests of Kafka's protocol are answered, in all the versions that Apache Kafka 4.3 has of them. Both
ends of a range are included. From the version in the column "flexible from" on, lengths are varints and
structures end with tagged fields. A request or a version that is not here closes the connection, as in Kafka;
but a version of ApiVersions that is not here is answered in version 0.
"""

_WIRE_NOTES: Final = f"""\
* Produce is advertised from version {PRODUCE_ADVERTISED_MIN} on and refused below {PRODUCE.version_min}:
  librdkafka before 2.11.1, and what is built on it, takes a range that begins later for a broker without
  compression (KAFKA-18659).
* InitProducerId has a version 6 in Kafka that Kafka itself does not offer: two-phase commit is not finished.
* Not served: delegation tokens; telemetry, which clients that see it send at every start; share groups; and
  what brokers and controllers ask of each other.

Every version of every message is held against Kafka's own schemas, and against what kio and kafka-python
read and write: see [testing](testing.md).
"""


def wire_page() -> str:
    """Which requests are served, in which versions."""
    rows = [_wire_row(api) for api in sorted(_served(), key=lambda api: api.key)]
    head = ["| key | request | versions | flexible from | what it does |", "|---|---|---|---|---|"]
    return "\n".join([_WIRE_INTRODUCTION, *head, *rows, "", _WIRE_NOTES])


def _served() -> Iterator[Api]:
    return (api for api in APIS.values() if api.key in HANDLERS)


def _wire_row(api: Api) -> str:
    docstring = import_module(api.module).__doc__
    assert docstring is not None, api.module
    purpose = docstring.splitlines()[0].split(": ", 1)[1].removesuffix(".")
    lowest, highest = api.version_min, api.version_max
    versions = f"{lowest}-{highest}" if highest > lowest else str(lowest)
    flexible = str(api.flexible_from) if api.is_flexible(highest) else "never"
    return f"| {api.key} | {api.name} | {versions} | {flexible} | {purpose} |"


PAGES: Final[Mapping[str, Callable[[], str]]] = MappingProxyType({"wire.md": wire_page})
"""What makes each page, by its name in the folder."""


def main() -> None:
    """Write every page."""
    for name, make in PAGES.items():
        (FOLDER / name).write_text(make(), "utf-8")


if __name__ == "__main__":
    main()
