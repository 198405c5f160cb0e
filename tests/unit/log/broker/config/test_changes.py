"""Changes of settings: set, delete, append to lists and subtract from them, as Kafka's clients send them."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from streamcore.log.broker.api_errors import ApiError, ErrorName
from streamcore.log.broker.config.changes import ChangeKind, Known, SettingChange, changed
from streamcore.log.storage.topics.setting_kinds import SettingType

KNOWN = {
    "cleanup.policy": Known(SettingType.LIST, "delete"),
    "retention.ms": Known(SettingType.LONG, "-1"),
}


def after(current: Mapping[str, str], *changes: SettingChange) -> dict[str, str]:
    return changed(current, changes, KNOWN.get)


def refusal(*changes: SettingChange) -> ErrorName:
    with pytest.raises(ApiError) as error:
        after({}, *changes)
    return error.value.refusal


def test_a_setting_is_set_and_deleted() -> None:
    current = {"retention.ms": "5", "segment.bytes": "7"}

    assert after(current, SettingChange("retention.ms", ChangeKind.SET, "6")) == current | {
        "retention.ms": "6"
    }
    assert after(current, SettingChange("retention.ms", ChangeKind.DELETE)) == {"segment.bytes": "7"}
    assert after(current, SettingChange("max.message.bytes", ChangeKind.DELETE)) == current


def test_the_given_settings_stay_as_they_are() -> None:
    current = {"retention.ms": "5"}

    after(current, SettingChange("retention.ms", ChangeKind.DELETE))

    assert current == {"retention.ms": "5"}


@pytest.mark.parametrize(
    ("kind", "before", "words", "result"),
    [
        (ChangeKind.APPEND, None, "compact", "delete,compact"),
        (ChangeKind.APPEND, "compact", "delete , compact", "compact,delete"),
        (ChangeKind.APPEND, "", "compact", "compact"),
        (ChangeKind.SUBTRACT, "compact,delete", "delete", "compact"),
        (ChangeKind.SUBTRACT, None, "delete", ""),
        (ChangeKind.SUBTRACT, "compact", "delete", "compact"),
    ],
)
def test_words_are_appended_to_a_list_once_and_subtracted(
    kind: ChangeKind, before: str | None, words: str, result: str
) -> None:
    current = {} if before is None else {"cleanup.policy": before}

    assert after(current, SettingChange("cleanup.policy", kind, words)) == {"cleanup.policy": result}


def test_a_setting_named_twice_or_without_a_value_is_refused() -> None:
    twice = [SettingChange("retention.ms", ChangeKind.SET, text) for text in ("5", "6")]

    assert refusal(*twice) is ErrorName.INVALID_REQUEST
    assert refusal(SettingChange("retention.ms", ChangeKind.SET)) is ErrorName.INVALID_REQUEST


def test_only_lists_take_words() -> None:
    assert refusal(SettingChange("retention.ms", ChangeKind.APPEND, "5")) is ErrorName.INVALID_CONFIG


def test_an_unknown_setting_is_left_to_the_check_of_values() -> None:
    assert after({}, SettingChange("no.such", ChangeKind.APPEND, "5")) == {"no.such": "5"}
