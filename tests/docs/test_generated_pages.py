"""Pages that are made from the code say what the code says now."""

from __future__ import annotations

import pytest

from docs.generate import FOLDER, PAGES, wire_page
from streamcore.log.api.handlers.table import HANDLERS
from streamcore.log.protocol.apis import APIS


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_what_would_be_written_now(name: str) -> None:
    assert (FOLDER / name).read_text("utf-8") == PAGES[name](), "out of date: run `make docs`"


def test_the_page_of_the_protocol_has_a_row_for_each_request_that_is_answered() -> None:
    rows = [line.split(" | ") for line in wire_page().splitlines() if line.startswith("| ")]

    assert [row[1] for row in rows[1:]] == [APIS[key].name for key in sorted(HANDLERS)]
    assert ["| 0", "Produce", "3-13", "9"] in [row[:4] for row in rows]
    assert ["| 47", "OffsetDelete", "0", "never"] in [row[:4] for row in rows]
