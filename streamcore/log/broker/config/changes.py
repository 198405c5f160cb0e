"""Changes of settings by clients: set, unset, append words to a list or remove them. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from enum import Enum

from msgspec import Struct

from streamcore.log.broker.api_errors import ApiError, ErrorName
from streamcore.log.storage.topics.setting_kinds import SettingType


class ChangeKind(Enum):
    """The kind of a change; the values are Kafka's numbers."""

    SET = 0
    DELETE = 1
    APPEND = 2
    SUBTRACT = 3


class SettingChange(Struct, frozen=True):
    """One change of one setting."""

    name: str
    kind: ChangeKind
    value: str | None = None


class Known(Struct, frozen=True):
    """The facts about a setting that a change needs: its type, and its value where nothing is set."""

    type: SettingType
    default: str | None


def changed(
    current: Mapping[str, str], changes: Sequence[SettingChange], known: Callable[[str], Known | None]
) -> dict[str, str]:
    """Return the settings after the changes; the values are not checked.

    Raises:
        Refused: a setting is named twice, has no value, or is no list.
    """
    names = [change.name for change in changes]
    if len(set(names)) != len(names):
        raise ApiError(ErrorName.INVALID_REQUEST, hint="name each setting once")
    result = dict(current)
    for change in changes:
        if change.kind is ChangeKind.DELETE:
            result.pop(change.name, None)
            continue
        if change.value is None:
            raise ApiError(ErrorName.INVALID_REQUEST, setting=change.name, value="null")
        if change.kind is ChangeKind.SET:
            result[change.name] = change.value
            continue
        setting = known(change.name)
        if setting is None:
            result[change.name] = change.value  # the check of values refuses it as unknown
            continue
        if setting.type is not SettingType.LIST:
            raise ApiError(
                ErrorName.INVALID_CONFIG, setting=change.name, hint="only lists can be appended to"
            )
        words = _words(result.get(change.name, setting.default or ""))
        wanted = _words(change.value)
        if change.kind is ChangeKind.APPEND:
            words += [word for word in wanted if word not in words]
        else:
            words = [word for word in words if word not in wanted]
        result[change.name] = ",".join(words)
    return result


def _words(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]
