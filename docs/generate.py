"""Writes the pages of this folder that are generated from the code: ``make docs``.

A test holds each page against what would be written (``tests/docs/test_generated_pages.py``).
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from types import MappingProxyType
from typing import Final

from streamcore.log.api.handlers.table import HANDLERS
from streamcore.log.broker.config.broker_settings import BrokerSetting, Meaning, broker_settings
from streamcore.log.broker.config.group_settings import GROUP_SETTINGS
from streamcore.log.protocol.apis import APIS, PRODUCE, PRODUCE_ADVERTISED_MIN, Api
from streamcore.log.storage.topics.topic_config import default_settings
from streamcore.log.storage.topics.topic_settings import TOPIC_SETTINGS
from tests.differential.differences import BEYOND, KNOWN
from tests.faults.listed import AREAS

FOLDER: Final = Path(__file__).resolve().parent

_WIRE_INTRODUCTION: Final = """\
# The wire protocol

Made by `make docs` from `streamcore/log/protocol/apis.py`; not to be edited.

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
* Not served: delegation tokens; changes of quotas, of which there are none; telemetry, which clients that
  see it send at every start; share groups; and what brokers and controllers ask of each other.

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


_SETTINGS_INTRODUCTION: Final = """\
# Settings of topics, brokers and groups

Made by `make docs` from `topic_settings.py`, `broker_settings.tsv` and `group_settings.py`; not to be edited.

The names are Apache Kafka's. A topic's setting counts if it is set for the topic; otherwise its default comes
from the broker. A setting of the broker counts by the first of these levels that has it: set for this node by
a client, set for all nodes by a client, set at the start (`streamcore serve --set NAME=VALUE`,
`sc.serve(..., config={...})`), the default. What clients set (`kafka-configs.sh`, any admin client) is kept
in the log and obeyed at once. An unknown name is refused, with names that are close.
"""


def settings_page() -> str:
    """What can be set, and what it does."""
    defaults = default_settings()
    settings = broker_settings().values()
    return "\n".join(
        [
            _SETTINGS_INTRODUCTION,
            "## Topics\n",
            *_table(
                ("setting", "default", "default from", "what it does"),
                [
                    (
                        name,
                        defaults[name],
                        ", ".join(each for each, _ in setting.inherited),
                        setting.documentation,
                    )
                    for name, setting in TOPIC_SETTINGS.items()
                ],
            ),
            "\n## Brokers: changeable while the broker runs\n",
            "And all from which topics take a default, see above.\n",
            *_table(
                ("setting", "default", "what it does"),
                [
                    _broker_row(each)
                    for each in settings
                    if each.is_changeable and each.meaning is not Meaning.TOPIC
                ],
            ),
            "\n## Brokers: set at the start\n",
            *_table(
                ("setting", "default", "what it does"),
                [_broker_row(each) for each in settings if each.is_settable and not each.is_changeable],
            ),
            "\n## Brokers: told, and not to be set\n",
            *_table(
                ("setting", "value", "what it says"),
                [_broker_row(each) for each in settings if each.meaning in (Meaning.GIVEN, Meaning.FIXED)],
            ),
            "\n## Groups\n",
            *_table(
                ("setting", "default", "what it does"),
                [
                    (name, setting.default, setting.documentation)
                    for name, setting in GROUP_SETTINGS.items()
                    if setting.is_obeyed
                ],
            ),
            "\n## Without effect\n",
            "Shown, as clients look for them, with the defaults that Kafka has for them; not to be set.\n",
            *_without_effect(),
        ]
    )


def _broker_row(setting: BrokerSetting) -> tuple[str, str, str]:
    return setting.name, setting.default or "", setting.documentation


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield "|" + "---|" * len(head)
    for name, *fields in rows:
        yield f"| `{name}` | {' | '.join(fields)} |"


def _without_effect() -> Iterator[str]:
    reasons: dict[str, list[str]] = {}
    for setting in broker_settings().values():
        if setting.meaning is Meaning.NONE:
            reasons.setdefault(setting.documentation, []).append(setting.name)
    for name, group_setting in GROUP_SETTINGS.items():
        if not group_setting.is_obeyed:
            reasons.setdefault(group_setting.documentation, []).append(name)
    for reason, names in sorted(reasons.items()):
        text = f"* {_sentence(reason)} " + ", ".join(f"`{name}`" for name in names)
        yield from textwrap.wrap(text, 120, subsequent_indent="  ", break_on_hyphens=False)


def _sentence(reason: str) -> str:
    text = reason.removeprefix("Of no effect: ")
    return text[0].upper() + text[1:]


_DIFFERENCES_INTRODUCTION: Final = """\
# Differences from Apache Kafka

Generated by `make docs` from `tests/differential/differences.py`; edit that file.

`make differential` sends the same requests to Apache Kafka 4.3 and to our broker, each request in each of its
versions, with valid and invalid values, and compares the answers field by field, except ids, times, addresses
and texts. The table lists all differences. A test fails for a difference that is not in the table, and for
an entry that does not occur. See [testing](testing.md).
"""


_BEYOND_INTRODUCTION: Final = """\
## Differences that no single answer shows

| Apache Kafka 4.3 | StreamCore | why |
|---|---|---|"""


def differences_page() -> str:
    """Return the page of the answers that differ from Apache Kafka's, and why."""
    head = ["| request | Apache Kafka 4.3 | StreamCore | why |", "|---|---|---|---|"]
    rows = [f"| {each.apis} | {each.kafka} | {each.ours} | {each.why} |" for each in KNOWN]
    beyond = [f"| {each.kafka} | {each.ours} | {each.why} |" for each in BEYOND]
    return "\n".join([_DIFFERENCES_INTRODUCTION, *head, *rows, "", _BEYOND_INTRODUCTION, *beyond, ""])


_FAULTS_BEGIN: Final = "<!-- made by `make docs` from tests/faults -->\n"


def testing_page() -> str:
    """Return the page about tests, with the list of faults at its end."""
    written = (FOLDER / "testing.md").read_text("utf-8").partition(_FAULTS_BEGIN)[0]
    lines = []
    for area, faults in AREAS.items():
        lines += [f"### Faults in {area}\n"]
        lines += ["| fault | the rule that it breaks | found by |", "|---|---|---|"]
        for fault in faults:
            file, _, test = fault.found_by.partition("::")
            found_by = f"`{test}` of `{file}`"
            lines.append(f"| {fault.name} | {fault.breaks} | {found_by} |")
        lines.append("")
    return written + _FAULTS_BEGIN + "\n" + "\n".join(lines)


PAGES: Final[Mapping[str, Callable[[], str]]] = MappingProxyType(
    {
        "wire.md": wire_page,
        "broker-settings.md": lambda: settings_page() + "\n",
        "differences.md": differences_page,
        "testing.md": testing_page,
    }
)
"""What makes each page, by its name in the folder."""


def main() -> None:
    """Write every page."""
    for name, make in PAGES.items():
        (FOLDER / name).write_text(make(), "utf-8")


if __name__ == "__main__":
    main()
