"""Record batches: what goes in comes out, whatever the compression and wherever it is cut."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from streamcore.errors import CorruptDataError, UnsupportedVersionError
from streamcore.log.records.batch import patch_offsets
from streamcore.log.records.builder import encode_batch
from streamcore.log.records.compression import CODECS
from streamcore.log.records.decode import decode_columns
from streamcore.model import Headers, TopicPartition

SOURCE = TopicPartition("t", 0)

Row = tuple[bytes | None, bytes | None, int, Headers]

maybe_bytes = st.none() | st.binary(max_size=40)
headers = st.lists(st.tuples(st.text(max_size=5), maybe_bytes), max_size=2).map(tuple)
rows = st.lists(st.tuples(maybe_bytes, maybe_bytes, st.integers(0, 2**50), headers), min_size=1, max_size=8)


def encoded(batch: list[Row], base_offset: int, compression: str) -> bytes:
    keys, values, timestamps_ms, all_headers = zip(*batch, strict=True)
    data = encode_batch(keys, values, timestamps_ms, all_headers, compression=compression)
    patch_offsets(data, base_offset, 0)
    return bytes(data)


@given(
    batches=st.lists(st.tuples(rows, st.sampled_from(sorted(CODECS))), max_size=4), start=st.integers(0, 20)
)
def test_what_is_encoded_is_decoded_from_any_start(batches: list[tuple[list[Row], str]], start: int) -> None:
    data, expected, end = b"", [], 0
    for batch, compression in batches:
        data += encoded(batch, end, compression)
        expected += [(end + index, *row) for index, row in enumerate(batch)]
        end += len(batch)

    run = decode_columns(SOURCE, data, start)

    run_headers = run.headers if run.headers is not None else [()] * len(run)
    found = list(zip(run.offsets, run.keys, run.values, run.timestamps_ms, run_headers, strict=True))
    assert found == [row for row in expected if row[0] >= start]
    assert run.next_offset == max(start, end)


@given(batch=rows, compression=st.sampled_from(sorted(CODECS)), data=st.data())
def test_damage_is_noticed_or_in_what_the_log_itself_assigns(
    batch: list[Row], compression: str, data: st.DataObject
) -> None:
    whole = bytearray(encoded(batch, 0, compression))
    position = data.draw(st.integers(8, len(whole) - 1))
    whole[position] ^= data.draw(st.integers(1, 255))

    try:
        run = decode_columns(SOURCE, bytes(whole), 0)
    except (CorruptDataError, UnsupportedVersionError):
        return
    # The leader epoch is outside the checksum, and a length that says more is a batch cut off.
    assert position in range(8, 16)
    assert len(run) in (0, len(batch))
