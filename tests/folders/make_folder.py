"""Writes a folder with everything that a version keeps on disk, as test data for the versions after it.

From a checkout of the version, with this folder's parent on the path::

    PYTHONPATH=CHECKOUT:. python -m tests.folders.make_folder tests/folders/folder-VERSION.tar.xz

The folder has records in every compression, committed and aborted transactions, a compacted topic with
tombstones, committed offsets of a group, a user, and the stores of an application that was
stopped with records still to be processed.
"""

from __future__ import annotations

import dataclasses
import json
import sys
import tarfile
import tempfile
from pathlib import Path

import streamcore as sc
from tests.folders.orders_app import Order, app, order

PROCESSED = 400
WAITING = 100
COMPRESSIONS = ("none", "gzip", "snappy", "lz4", "zstd")


def main(target: Path) -> None:
    """Make the folder and pack it."""
    with tempfile.TemporaryDirectory() as parent:
        folder = Path(parent) / "data"
        _fill(folder)
        with tarfile.open(target, "w:xz") as archive:
            for path in sorted(folder.rglob("*")):
                if path.is_file():
                    archive.add(path, path.relative_to(folder))


def _fill(folder: Path) -> None:
    with sc.connect(folder) as log:
        log.create_topic("orders", partitions=2, config={"retention.ms": "-1"})
        log.create_topic("prices", partitions=2, config={"cleanup.policy": "compact"})
        log.create_topic("letters", config={"retention.ms": "-1", "segment.bytes": "4096"})
        log.create_topic("decided", config={"retention.ms": "-1"})
        _send_orders(log, range(PROCESSED))
        with log.producer() as producer:
            for number in range(20):
                producer.send("prices", key=b"item-%d" % (number % 8), value=b"%d" % number)
            producer.send("prices", key=b"item-3", value=None)
        for compression in COMPRESSIONS:
            with log.producer(compression=compression) as producer:
                for number in range(60):
                    producer.send(
                        "letters",
                        key=b"%d" % number,
                        value=compression.encode() * 20,
                        headers=(("number", b"%d" % number),),
                        timestamp_ms=1_700_000_000_000 + number,
                    )
        with log.producer(transactional_id="decider") as producer:
            for number in range(6):
                try:
                    with producer.transaction():
                        producer.send("decided", value=b"%d" % number)
                        if number % 2:
                            raise LookupError
                except LookupError:
                    pass
        with log.consumer("letters", group="readers") as consumer:
            read = 0
            while read < 100:
                read += len(consumer.poll(timeout="1s"))
            consumer.seek(sc.TopicPartition("letters", 0), 100)
            consumer.commit()
        log.access.set_password("ada", "a password of the test data")
    with sc.run(app, data=folder) as running:
        running.wait_until_caught_up()
    with sc.connect(folder) as log:
        _send_orders(log, range(PROCESSED, PROCESSED + WAITING))


def _send_orders(log: sc.Log, numbers: range) -> None:
    with log.producer() as producer:
        for number in numbers:
            made: Order = order(number)
            producer.send(
                "orders",
                key=made.customer.encode(),
                value=json.dumps(dataclasses.asdict(made)).encode(),
                timestamp_ms=made.ts,
            )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
