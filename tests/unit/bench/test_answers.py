"""Results of queries are compared by the number of rows and a digest that does not depend on their order."""

from __future__ import annotations

from pathlib import Path

from bench.answers import (
    answer_in_folder,
    answer_of_last_rows,
    answer_of_lines,
    answer_of_rows,
)

ROWS: list[list[object]] = [[1, "a"], [2, "ö"], [2, "ö"], [3, None]]


def change(op: str, row: list[object]) -> str:
    side = "before" if op == "d" else "after"
    names = {"before": "null", "after": "null"}
    one, two = ("null" if value is None else f'"{value}"' if value == str(value) else value for value in row)
    names[side] = f'{{"x": {one}, "y": {two}}}'
    return f'{{"before": {names["before"]}, "after": {names["after"]}, "op": "{op}"}}'


def test_the_order_of_rows_does_not_count_but_each_row_does() -> None:
    answer = answer_of_rows(ROWS)

    assert answer == answer_of_rows(reversed(ROWS))
    assert answer.rows == 4
    assert answer != answer_of_rows([[1, "a"], [2, "ö"], [3, None], [3, None]])
    assert answer != answer_of_rows([["a", 1], [2, "ö"], [2, "ö"], [3, None]])
    assert answer != answer_of_rows([["1", "a"], [2, "ö"], [2, "ö"], [3, None]])


def test_arrays_objects_and_changes_that_leave_the_same_rows_are_equal() -> None:
    arrays: list[str | bytes] = ['[1, "a"]', b'[2, "\xc3\xb6"]', '[2,"\\u00f6"]', "[3, null]"]
    objects = ['{"x": 1, "y": "a"}', '{"p": 2, "q": "ö"}', '{"x": 2, "y": "ö"}', '{"x": 3, "y": null}']
    changes = [
        change("c", [1, "z"]),
        change("c", [3, None]),
        change("d", [1, "z"]),
        *(change("c", row) for row in ROWS[:3]),
    ]

    assert (
        answer_of_lines(arrays)
        == answer_of_lines(objects)
        == answer_of_lines(changes)
        == answer_of_rows(ROWS)
    )


def test_a_row_that_was_withdrawn_before_it_was_added_again_counts_once() -> None:
    row: list[object] = [1, "a"]
    lines = [change("c", row), change("d", row), change("c", row)]

    assert answer_of_lines(lines) == answer_of_rows([row])


def test_a_row_with_a_key_replaces_the_earlier_one_and_one_without_is_added() -> None:
    keyed = [
        '{"key": ["a", 1], "row": [1]}',
        '{"key": ["b", 1], "row": [2]}',
        '{"row": [3], "key": ["a", 1]}',
    ]
    without = ['{"key": null, "row": [4]}'] * 2

    assert answer_of_lines(keyed) == answer_of_rows([[2], [3]])
    assert answer_of_lines(without) == answer_of_rows([[4], [4]])


def test_of_rows_with_a_key_the_last_one_counts_and_a_tombstone_leaves_none() -> None:
    records = [(b"a", b"[1]"), (b"b", b"[2]"), (b"a", b"[3]"), (b"b", None)]

    assert answer_of_last_rows(records) == answer_of_rows([[3]])


def test_the_files_of_a_folder_are_one_answer_and_hidden_ones_are_left_out(tmp_path: Path) -> None:
    (tmp_path / "below").mkdir()
    (tmp_path / "part-0").write_text('{"x": 1}\n')
    (tmp_path / "below" / "part-1").write_text('{"x": 2}\n{"x": 3}\n')
    (tmp_path / ".part-2.inprogress").write_text("{")

    assert answer_in_folder(tmp_path) == answer_of_rows([[1], [2], [3]])
    assert answer_in_folder(tmp_path / "missing").rows == 0
