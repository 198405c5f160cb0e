"""The types and notes that describe messages."""

from __future__ import annotations

import pytest

from streamcore.log.protocol.fields import VERSION_MAX, Null, Tag, V, Versions
from streamcore.log.protocol.layouts import FieldLayout, Kind, in_runs, layout_of
from tests.support.sample_messages import FLEXIBLE, PLAIN, Aged, Everything, Part, Sent, Tagged


@pytest.mark.parametrize(
    ("text", "first", "last"),
    [("3", 3, 3), ("0-12", 0, 12), ("7+", 7, VERSION_MAX)],
)
def test_a_range_of_versions_holds_both_of_its_ends(text: str, first: int, last: int) -> None:
    versions = Versions(text)

    assert first in versions
    assert last in versions
    assert first - 1 not in versions
    assert last + 1 not in versions


@pytest.mark.parametrize("text", ["", "+", "-1", "3-", "1-2+", "a", "3 +"])
def test_an_invalid_range_of_versions_fails_when_the_table_is_loaded(text: str) -> None:
    for note in (V, Null):
        with pytest.raises(AssertionError, match="not a range of versions"):
            note(text)
    with pytest.raises(AssertionError, match="not a range of versions"):
        Tag(0, text)


def test_fields_are_given_by_name() -> None:
    with pytest.raises(TypeError):
        Part(1, "x")  # type: ignore[call-arg]


def test_messages_with_equal_fields_are_equal() -> None:
    assert Part(number=1, text="x") == Part(number=1, text="x")
    assert Part(number=1, text="x") != Part(number=1, text="y")


def test_the_annotations_of_a_message_are_its_layout() -> None:
    layout = {field.name: field.kind for field in layout_of(Everything, PLAIN)}

    assert layout == {
        "truth": Kind("?"),
        "small": Kind("b"),
        "port": Kind("H"),
        "number": Kind("i"),
        "large": Kind("q"),
        "share": Kind("d"),
        "text": Kind("string"),
        "nullable_text": Kind("string"),
        "blob": Kind("bytes"),
        "nullable_blob": Kind("bytes"),
        "records": Kind("records"),
        "uuid": Kind("uuid"),
        "numbers": Kind("i", is_array=True),
        "texts": Kind("string", is_array=True),
        "uuids": Kind("uuid", is_array=True),
        "parts": Kind("structure", Part, is_array=True),
        "part": Kind("structure", Part),
        "nullable_part": Kind("structure", Part),
    }
    assert list(layout) == list(Everything.__struct_fields__)


def test_a_field_may_be_null_where_its_type_says_so() -> None:
    nullable = {field.name for field in layout_of(Everything, PLAIN) if field.is_nullable}

    assert nullable == {"nullable_text", "nullable_blob", "records", "texts", "nullable_part"}


def test_a_layout_has_the_fields_of_its_version() -> None:
    assert [field.name for field in layout_of(Aged, PLAIN)] == ["kept", "dropped", "name"]
    assert [field.name for field in layout_of(Aged, FLEXIBLE)] == ["added", "kept", "name"]


def test_a_layout_has_tags_and_defaults() -> None:
    fields = {field.name: field for field in layout_of(Tagged, FLEXIBLE)}

    assert {name: field.tag for name, field in fields.items()} == {
        "number": None,
        "part": 200,
        "counts": 1,
        "name": 0,
    }
    assert {name: field.default for name, field in fields.items()} == {
        "number": 0,
        "part": Part(),
        "counts": [],
        "name": None,
    }
    assert not any(field.has_default for field in layout_of(Everything, PLAIN))


def test_adjacent_numbers_are_decoded_together() -> None:
    assert names(in_runs(layout_of(Everything, PLAIN)))[:3] == [
        ["truth", "small", "port", "number", "large", "share"],
        ["text"],
        ["nullable_text"],
    ]
    assert names(in_runs(layout_of(Sent, PLAIN))) == [["topic"], ["first"], ["error"], ["second"]]


def names(runs: list[list[FieldLayout]]) -> list[list[str]]:
    return [[field.name for field in run] for run in runs]
