"""A served log is killed with SIGKILL while members of groups work on it, and started on the same folder.

The members are connections that speak the protocol, of both kinds: they go on with the member ids, the
generations and the epochs that they had, as programs do. After every start:

* nobody is asked to join anew who was told that it is a member, unless the group has moved on;
* no partition is given to two members;
* every position that was acknowledged is there.

``CRASH_KILLS`` says how often (20), ``CRASH_SEED`` at which moments.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import pytest

from streamcore.log.api.error_codes import ErrorCode
from streamcore.log.protocol.messages.create_topics import CreatableTopic, CreateTopicsRequest
from tests.support.group_requests import (
    commit_request,
    consumer_heartbeat,
    describe_consumer,
    fetch_request,
    heartbeat_request,
    join_request,
    sync_request,
)
from tests.support.wire_client import WireClient

pytestmark = pytest.mark.crash

PROJECT = Path(__file__).resolve().parent.parent.parent
KILLS = int(os.environ.get("CRASH_KILLS", "20"))
SEED = int(os.environ.get("CRASH_SEED", "2013"))
PARTITIONS = 8
START_S_MAX = 20.0
E = ErrorCode


@contextmanager
def served(folder: Path) -> Iterator[tuple[str, int, subprocess.Popen[str]]]:
    """A broker in a process of its own; killed at the end of the block."""
    command = [sys.executable, "-m", "streamcore.cli.main", "serve"]
    process = subprocess.Popen(
        [*command, "--data", str(folder), "--listen", "127.0.0.1:0"],
        cwd=PROJECT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    watchdog = threading.Timer(START_S_MAX * 6, process.kill)
    watchdog.start()
    try:
        yield *_address(process), process
    finally:
        watchdog.cancel()
        process.kill()
        process.wait()


def _address(process: subprocess.Popen[str]) -> tuple[str, int]:
    assert process.stdout is not None
    said: list[str] = []
    for line in process.stdout:
        said.append(line)
        for word in line.split():
            host, _, port = word.strip(",;").rpartition(":")
            if host == "127.0.0.1" and port.isdigit():
                return host, int(port)
    raise AssertionError(f"the broker did not start: {said}")


@dataclass
class World:
    """What members were told before a kill."""

    new_members: dict[str, int] = field(default_factory=dict)
    """Their epochs."""
    owned: dict[str, dict[bytes, list[int]]] = field(default_factory=dict)
    classic: tuple[str, int] = ("", -1)
    acknowledged: dict[int, int] = field(default_factory=dict)
    next_offset: int = 1


def new_topic() -> CreatableTopic:
    return CreatableTopic(
        name="t", num_partitions=PARTITIONS, replication_factor=1, assignments=[], configs=[]
    )


def work(world: World, client: WireClient, random: Random) -> None:
    """One request after the other, until the broker is gone."""
    while True:
        match random.randrange(4):
            case 0:
                beat_new(world, client, random.choice(("a", "b", "c")))
            case 1:
                beat_classic(world, client)
            case _:
                commit(world, client, random.randrange(PARTITIONS))


def beat_new(world: World, client: WireClient, name: str) -> None:
    epoch = world.new_members.get(name, 0)
    fields: dict[str, Any] = {"owned": world.owned.get(name, {})}
    if epoch == 0:
        fields |= {"subscribed_topic_names": ["t"]}
    answer = consumer_heartbeat(client, "new", name, epoch, **fields)
    assert E(answer.error_code) is E.NONE, f"{name} at {epoch}: {answer.error_message}"
    assert answer.member_epoch >= epoch
    world.new_members[name] = answer.member_epoch
    if answer.assignment is not None:
        world.owned[name] = {each.topic_id: each.partitions for each in answer.assignment.topic_partitions}
    parts = [part for owned in world.owned.values() for part in owned.items()]
    used = [(topic_id, number) for topic_id, numbers in parts for number in numbers]
    assert len(used) == len(set(used)), f"a partition is at two members: {world.owned}"


def beat_classic(world: World, client: WireClient) -> None:
    member_id, generation = world.classic
    if generation < 0:
        # Static, so that one that never heard that it joined does not wait for itself.
        joining = join_request("classic", session_timeout_ms=60_000, group_instance_id="i")
        joined = client.ask(joining, 9)
        member_id, generation = joined.member_id, joined.generation_id
        given = {member_id: b"mine"}
        syncing = sync_request("classic", member_id, generation, assignments=given, group_instance_id="i")
        assert client.ask(syncing, 5).assignment == b"mine"
        world.classic = (member_id, generation)
    assert E(client.ask(heartbeat_request("classic", member_id, generation), 4).error_code) is E.NONE


def commit(world: World, client: WireClient, partition: int) -> None:
    member_id, generation = world.classic
    if generation < 0:
        return
    offset = world.next_offset
    world.next_offset += 1
    request = commit_request("classic", {("t", partition): offset}, member_id, generation)
    (topic,) = client.ask(request, 9).topics
    assert E(topic.partitions[0].error_code) is E.NONE
    world.acknowledged[partition] = offset


def check(world: World, client: WireClient) -> None:
    """What was acknowledged is there, and who was told to be a member is one."""
    (answer,) = client.ask(fetch_request("classic", "t", *range(PARTITIONS)), 9).groups
    for each in answer.topics[0].partitions:
        assert each.committed_offset >= world.acknowledged.get(each.partition_index, -1)
    shown = {each.member_id: each.member_epoch for each in describe_consumer(client, "new").members}
    for name, epoch in world.new_members.items():
        assert shown[name] >= epoch


def test_members_go_on_where_they_were_however_often_the_broker_is_killed(tmp_path: Path) -> None:
    world, random = World(), Random(SEED)
    for kill in range(KILLS):
        with served(tmp_path / "data") as (host, port, process), WireClient(host, port) as client:
            if kill == 0:
                client.ask(CreateTopicsRequest(topics=[new_topic()], timeout_ms=5_000), 7)
            check(world, client)
            killer = threading.Timer(random.uniform(0.05, 0.6), process.kill)
            killer.start()
            try:
                work(world, client, random)
            except (ConnectionError, TimeoutError):
                pass  # the broker was killed under a request, whose answer nobody knows
            finally:
                killer.cancel()
    assert world.acknowledged
