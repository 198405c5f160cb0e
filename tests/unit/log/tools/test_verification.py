"""The problems that the offline check of log files finds, and the contents that the dump shows."""

from __future__ import annotations

from pathlib import Path

import pytest

from streamcore.errors import UsageError
from streamcore.log.records.batch import parse_header, patch_offsets
from streamcore.log.records.builder import encode_batch, encode_marker
from streamcore.log.storage.files import read_whole, write_whole
from streamcore.log.storage.segment.open_files import OpenFiles
from streamcore.log.storage.segment.segment import Segment
from streamcore.log.storage.segment.transaction_index import AbortedEntry
from streamcore.log.tools.dump import DumpedRecord, dump
from streamcore.log.tools.verification import Problem, verify
from streamcore.testing.sim_disk import SimDisk

DIRECTORY = Path("/log/topic-0")
FIRST = DIRECTORY / "00000000000000000000.log"
SECOND = DIRECTORY / "00000000000000000007.log"


@pytest.fixture
def disk() -> SimDisk:
    """Two closed segments: three batches with an aborted transaction, then one batch."""
    disk = SimDisk()
    disk.make_directory(DIRECTORY)
    open_files = OpenFiles(disk, files_max=4)
    first = Segment.create(DIRECTORY, 0, file_system=disk, open_files=open_files)
    append(first, encode_batch([b"a", None], [b"1", None], [5, 9], [(("h", b"x"),), ()], compression="zstd"))
    append(
        first,
        encode_batch(
            [b"b"] * 4,
            [b"2"] * 4,
            [7] * 4,
            producer_id=3,
            producer_epoch=0,
            base_sequence=0,
            transactional=True,
        ),
    )
    append(first, encode_marker(3, 0, False, 0, 8))
    first.note_aborted(AbortedEntry(3, 2, 6, 7))
    second = Segment.create(DIRECTORY, 7, file_system=disk, open_files=open_files)
    append(second, encode_batch([b"c"], [b"3"], [20]))
    for segment in (first, second):
        for file in segment.write_indexes():
            file.close()
        segment.release_file()
    return disk


def append(segment: Segment, batch: bytearray) -> None:
    patch_offsets(batch, segment.end_offset, 0)
    segment.append([bytes(batch)], [parse_header(batch)], index_interval_bytes=0)


def problems(disk: SimDisk, path: Path = DIRECTORY) -> list[Problem]:
    return list(verify(path, file_system=disk))


def test_sound_files_have_no_problem(disk: SimDisk) -> None:
    assert problems(disk) == []
    assert problems(disk, Path("/log")) == []
    assert problems(disk, FIRST) == []


def test_a_dump_shows_every_batch_with_its_records_and_markers(disk: SimDisk) -> None:
    batches = list(dump(DIRECTORY, file_system=disk))

    assert [(batch.file, batch.header.base_offset) for batch in batches] == [
        (FIRST, 0),
        (FIRST, 2),
        (FIRST, 6),
        (SECOND, 7),
    ]
    assert batches[0].compression == "zstd"
    assert batches[0].records == (
        DumpedRecord(0, 5, b"a", b"1", (("h", b"x"),)),
        DumpedRecord(1, 9, None, None, ()),
    )
    assert batches[2].marker is not None
    assert not batches[2].marker.is_commit
    assert next(iter(dump(FIRST, with_records=False, file_system=disk))).records == ()


def test_a_changed_byte_is_found_and_the_rest_is_still_checked(disk: SimDisk) -> None:
    disk.damage(FIRST, 70, b"\xff\xff")

    found = problems(disk)

    assert [(problem.file, problem.position) for problem in found] == [(FIRST, 0)]
    assert "checksum" in found[0].text
    assert not found[0].is_mended_at_start
    first = next(iter(dump(FIRST, file_system=disk)))
    assert first.problem is not None
    assert first.records == ()


def test_a_torn_end_is_mended_at_start_only_in_the_last_file(disk: SimDisk) -> None:
    for path, is_mended in ((SECOND, True), (FIRST, False)):
        file = disk.open(path)
        file.truncate(file.size() - 1)
        found = [problem for problem in problems(disk) if problem.file == path]
        assert [problem.is_mended_at_start for problem in found] == [is_mended]


def test_an_index_entry_that_points_elsewhere_is_found(disk: SimDisk) -> None:
    for kind, entry_bytes in ((".index", 8), (".timeindex", 12)):
        path = FIRST.with_suffix(kind)
        size = disk.open(path).size()
        assert size >= entry_bytes
        disk.damage(path, size - 1, b"\x63")
        assert path in {problem.file for problem in problems(disk)}
        assert all(problem.is_mended_at_start for problem in problems(disk))


def test_an_aborted_transaction_that_is_not_listed_is_found(disk: SimDisk) -> None:
    disk.open(FIRST.with_suffix(".txnindex")).truncate(0)

    assert [problem.text for problem in problems(disk)] == [
        "an aborted transaction is not in the transaction index"
    ]


def test_a_listed_transaction_without_a_marker_is_found(disk: SimDisk) -> None:
    disk.damage(FIRST.with_suffix(".txnindex"), 25, b"\x05")

    assert len(problems(disk)) == 2


def test_segments_that_overlap_are_found(disk: SimDisk) -> None:
    disk.rename(SECOND, DIRECTORY / "00000000000000000005.log")
    disk.damage(DIRECTORY / "00000000000000000005.log", 7, b"\x05")

    texts = [problem.text for problem in problems(disk)]

    assert texts == ["begins before the end of the file before it, 7", "offset 5 comes after 6"]


def test_a_path_without_a_log_is_refused_with_advice(disk: SimDisk) -> None:
    with pytest.raises(UsageError, match="no data file of a log found"):
        problems(disk, Path("/nowhere"))
    with pytest.raises(UsageError):
        list(dump(FIRST.with_suffix(".index"), file_system=disk))


EPOCHS = DIRECTORY / "leader-epoch-checkpoint"


@pytest.mark.parametrize(
    ("listed", "texts"),
    [
        (b"0\n2\n0 0\n5 7\n", []),
        (b"0\n1\n5 7\n", []),
        (b"0\n1\n0 0\n", ["has leader epoch 5, and leader-epoch-checkpoint has 0"]),
        (b"0\n1\n5 0\n", ["has leader epoch 0, and leader-epoch-checkpoint has 5"]),
        (b"0\n9\n", ["cannot be read"]),
        (b"1\n0\n", ["newer format"]),
    ],
)
def test_leader_epochs_are_compared_with_the_batches(disk: SimDisk, listed: bytes, texts: list[str]) -> None:
    stamped = encode_batch([b"c"], [b"3"], [20])
    patch_offsets(stamped, 7, 5)
    disk.open(SECOND).truncate(0)
    disk.open(SECOND).append([stamped])
    write_whole(disk, EPOCHS, listed)

    found = [problem.text for problem in problems(disk) if "epoch" in problem.text]

    assert len(found) == len(texts)
    assert all(text in each for text, each in zip(texts, found, strict=True))


def test_a_leader_epoch_that_goes_back_is_found(disk: SimDisk) -> None:
    data = bytearray(read_whole(disk, FIRST))
    patch_offsets(data, 0, 3)
    disk.open(FIRST).truncate(0)
    disk.open(FIRST).append([data])

    assert any("leader epoch 0 comes after 3" in problem.text for problem in problems(disk))
