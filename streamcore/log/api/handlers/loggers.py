"""The levels of the broker's loggers, by Kafka's names of levels. A change holds until the process ends."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Final

from streamcore.log.api.calls import Call
from streamcore.log.broker.api_errors import ApiError, ErrorName
from streamcore.log.broker.config.changes import ChangeKind, SettingChange
from streamcore.log.broker.config.described import Described, Level, Source
from streamcore.log.storage.topics.setting_kinds import SettingType

_ROOT: Final = "streamcore"
_LEVELS: Final = {
    "TRACE": logging.DEBUG - 5,
    "DEBUG": logging.DEBUG,
    "INFO": logging.INFO,
    "WARN": logging.WARNING,
    "ERROR": logging.ERROR,
    "FATAL": logging.CRITICAL,
}


def ensure_this_node(resource: str, call: Call) -> None:
    """Raise ``ApiError`` if the resource names another node."""
    node = str(call.broker.identity.node_id)
    if resource != node:
        raise ApiError(ErrorName.INVALID_REQUEST, broker=repr(resource), only_broker=node)


def _names() -> list[str]:
    found = [
        name
        for name, logger in logging.Logger.manager.loggerDict.items()
        if isinstance(logger, logging.Logger) and name.startswith(f"{_ROOT}.")
    ]
    return [_ROOT, *sorted(found)]


def described_loggers() -> list[Described]:
    """Return all loggers of this program, each with its effective level."""
    return [_described(name) for name in _names()]


def _described(name: str) -> Described:
    number = logging.getLogger(name).getEffectiveLevel()
    level = next((each for each, least in _LEVELS.items() if number <= least), "FATAL")
    return Described(
        name=name,
        value=level,
        source=Source.LOGGER,
        type=SettingType.STRING,
        is_read_only=False,
        documentation="The least level of the messages that this logger of the broker writes.",
        levels=(Level(name, level, Source.LOGGER),),
    )


def change_loggers(changes: Sequence[SettingChange], *, validate_only: bool) -> None:
    """Set levels, or remove them so that the parent's level applies.

    Raises:
        Refused: an unknown logger or level, or an operation on lists.
    """
    names = _names()
    for change in changes:
        if change.kind in (ChangeKind.APPEND, ChangeKind.SUBTRACT):
            raise ApiError(ErrorName.INVALID_REQUEST, logger=change.name, hint="a level is not a list")
        if change.name not in names:
            raise ApiError(ErrorName.INVALID_CONFIG, logger=change.name, hint="the logger does not exist")
        if change.kind is ChangeKind.SET and change.value not in _LEVELS:
            raise ApiError(
                ErrorName.INVALID_CONFIG, logger=change.name, level=change.value, known=",".join(_LEVELS)
            )
    if not validate_only:
        for change in changes:
            level = logging.NOTSET if change.kind is ChangeKind.DELETE else _LEVELS[change.value or ""]
            logging.getLogger(change.name).setLevel(level)
