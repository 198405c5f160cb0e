"""A producer process is killed with -9 in the middle: every record that it saw acknowledged is there."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from streamcore.log.connect import connect

PROGRAM = """
import sys
from streamcore.log.connect import connect

log = connect(sys.argv[1])
log.create_topic("t", partitions=3, config={"retention.ms": "-1"})
producer = log.producer(linger="1ms")

class Tell:
    def __init__(self, number):
        self.number = number
    def __call__(self, future):
        sent = future.result()
        sys.stdout.write(f"{sent.partition} {sent.offset} {self.number}\\n")
        sys.stdout.flush()

number = 0
while True:
    future = producer.send("t", key=b"%d" % number, value=b"value-%d" % number)
    if number % 10 == 0:
        future.add_done_callback(Tell(number))
    number += 1
"""


@pytest.mark.slow
@pytest.mark.parametrize("lines_before_kill", [1, 50, 500])
def test_every_record_that_was_acknowledged_survives_kill_9(
    tmp_path: Path, project: Path, lines_before_kill: int
) -> None:
    acknowledged: dict[tuple[int, int], bytes] = {}
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(tmp_path)], cwd=project, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        for line_number, line in enumerate(process.stdout):
            if line_number == lines_before_kill:
                process.send_signal(signal.SIGKILL)
            if line.endswith("\n") and len(words := line.split()) == 3:
                acknowledged[int(words[0]), int(words[1])] = b"value-" + words[2].encode()
    assert process.returncode == -signal.SIGKILL
    assert len(acknowledged) >= lines_before_kill

    with connect(tmp_path) as log, log.consumer("t") as consumer:
        found: dict[tuple[int, int], bytes | None] = {}
        while any(consumer.lag().values()):
            for record in consumer.poll("20ms"):
                found[record.partition, record.offset] = record.value
    assert {place: found.get(place) for place in acknowledged} == acknowledged
    assert len(set(found.values())) == len(found), "nothing was written twice"
