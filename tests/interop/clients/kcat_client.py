"""kcat as a client under test: its command line, with the steps that are described in ``steps.py``.

Headers and what is null are said once for all records of a run, so that records are written in as many runs
as they differ in these.
"""

from __future__ import annotations

import itertools
import json
import re
import subprocess
import threading
import time
from typing import Any

from tests.interop.clients.steps import asked_to_stop, call, expect, run, say

LIMIT_S = 30
_KEY_END = "\x1f"
_ASSIGNED = re.compile(r"rebalanced .*: (assigned|revoked): ?(.*)$")


def _output(*options: str, text: str | None = None) -> str:
    done = subprocess.run(
        ["kcat", *options], input=text, capture_output=True, text=True, timeout=LIMIT_S, check=False
    )
    expect(done.returncode == 0, done.stderr)
    return done.stdout


def versions(address: str) -> None:
    found = re.search(r"Version (\S+) .*librdkafka (\S+)", _output("-V"))
    expect(found is not None, "kcat does not tell its version")
    assert found is not None
    say(client=found.group(1), runtime=f"librdkafka {found.group(2)}")


def produce(address: str, topic: str, codec: str, records: list[dict[str, Any]]) -> None:
    def alike(record: dict[str, Any]) -> tuple[Any, ...]:
        nulls = (record["key"] is None, record["value"] is None)
        return record["partition"], record["headers"], nulls

    for (partition, headers, (no_key, no_value)), same in itertools.groupby(records, alike):
        options = ["-P", "-b", address, "-t", topic, "-p", str(partition), "-z", codec]
        options += itertools.chain.from_iterable(("-H", f"{name}={value}") for name, value in headers)
        options += [] if no_key else ["-K", _KEY_END]
        options += ["-Z"] if no_value else []
        lines = [
            ("" if no_key else record["key"] + _KEY_END) + ("" if no_value else record["value"])
            for record in same
        ]
        _output(*options, text="\n".join(lines))
    say(produced=len(records))


def consume(address: str, topic: str, count: int, isolation: str) -> None:
    options = ["-C", "-b", address, "-t", topic, "-o", "beginning", "-c", str(count), "-J", "-u"]
    for line in _output(*options, "-X", f"isolation.level={isolation}").splitlines():
        _say(json.loads(line))


def _say(message: dict[str, Any]) -> None:
    headers = message.get("headers", [])
    say(
        record={
            "partition": message["partition"],
            "offset": message["offset"],
            "key": message["key"],
            "value": message["payload"],
            "headers": [[headers[at], headers[at + 1]] for at in range(0, len(headers), 2)],
            "timestamp_ms": message["ts"],
        }
    )


def member(address: str, topic: str, group: str, protocol: str) -> None:
    settings = ["session.timeout.ms=6000", "heartbeat.interval.ms=500", "auto.commit.interval.ms=100"]
    settings += ["auto.offset.reset=earliest"]
    options = itertools.chain.from_iterable(("-X", each) for each in settings)
    kcat = subprocess.Popen(
        ["kcat", "-b", address, *options, "-G", group, "-J", "-u", topic],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    readers = [threading.Thread(target=each, args=(kcat,)) for each in (_tell_records, _tell_assignments)]
    for reader in readers:
        reader.start()
    asked_to_stop().wait()
    kcat.terminate()
    expect(kcat.wait(LIMIT_S) == 0, kcat.returncode)
    for reader in readers:
        reader.join()


def _tell_records(kcat: subprocess.Popen[str]) -> None:
    assert kcat.stdout is not None
    for line in kcat.stdout:
        _say(json.loads(line))


def _tell_assignments(kcat: subprocess.Popen[str]) -> None:
    assert kcat.stderr is not None
    for line in kcat.stderr:
        found = _ASSIGNED.search(line)
        if found is not None:
            partitions = re.findall(r"\[(\d+)\]", found.group(2)) if found.group(1) == "assigned" else []
            say(assigned=sorted(map(int, partitions)))


def stream(address: str, topic: str, count: int, pause_ms: int) -> None:
    kcat = subprocess.Popen(
        ["kcat", "-P", "-b", address, "-t", topic, "-X", "enable.idempotence=true", "-X", "linger.ms=0"],
        stdin=subprocess.PIPE,
        text=True,
    )
    assert kcat.stdin is not None
    for number in range(count):
        kcat.stdin.write(f"{number}\n")
        kcat.stdin.flush()
        say(sent=number)
        time.sleep(pause_ms / 1000)
    kcat.stdin.close()
    expect(kcat.wait(LIMIT_S) == 0, kcat.returncode)


def admin(address: str, topic: str, seen: str, group: str) -> None:
    with call("list topics"):
        listed = json.loads(_output("-b", address, "-L", "-J"))
        expect(seen in {each["topic"] for each in listed["topics"]}, listed)
    with call("describe topic"):
        (described,) = json.loads(_output("-b", address, "-L", "-J", "-t", seen))["topics"]
        expect(len(described["partitions"]) == 1, described)
    with call("describe cluster"):
        expect(len(json.loads(_output("-b", address, "-L", "-J"))["brokers"]) == 1, "brokers")
    with call("list offsets"):
        latest = _output("-b", address, "-Q", "-t", f"{seen}:0:-1")
        expect(latest.strip().endswith("offset 10"), latest)


if __name__ == "__main__":
    run(
        {
            "versions": versions,
            "produce": produce,
            "consume": consume,
            "member": member,
            "admin": admin,
            "stream": stream,
        }
    )
