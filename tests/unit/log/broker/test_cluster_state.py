"""The broker's own values: kept by kind and name, all or nothing, across crashes."""

from __future__ import annotations

import msgspec
import pytest

from streamcore.clock import ManualClock
from streamcore.errors import CorruptDataError, StorageError, UnsupportedVersionError
from streamcore.log.broker.broker import Broker
from streamcore.log.broker.cluster_state import StateTable
from streamcore.log.broker.settings import BrokerSettings
from streamcore.log.node.operation_driver import OperationDriver
from streamcore.testing.sim_disk import PowerCut, SimDisk
from tests.support.managed_log import ManagedLog
from tests.support.partition_fixture import NOW_MS, ROOT


class Colour(msgspec.Struct):
    red: int
    name: str = ""


class Place:
    """A broker on a simulated disk, with two tables of its own."""

    def __init__(self, seed: int = 1) -> None:
        self.disk = SimDisk(seed)
        self.clock = ManualClock(NOW_MS)
        self.heard: list[tuple[str, Colour | None]] = []
        self.open()

    def open(self, *, colour_version: int = 1) -> None:
        self.heard.clear()
        manager = ManagedLog.open(ROOT, file_system=self.disk, clock=self.clock)
        self.broker = Broker(manager, self.clock, BrokerSettings())
        self.colours = self.broker.state.add(
            StateTable("colour", Colour, version=colour_version, listener=self.hear)
        )
        self.words = self.broker.state.add(StateTable("word", dict[str, str]))
        self.driver = OperationDriver(self.clock, self.broker.unsynced, self.broker.groups)
        self.driver.run(self.broker.recover())

    def hear(self, name: str, colour: Colour | None) -> None:
        self.heard.append((name, colour))

    def crash(self) -> None:
        self.disk.crash()
        self.open()


def test_values_of_every_kind_survive_a_crash() -> None:
    place = Place()
    place.driver.run(
        place.broker.state.write(
            [
                place.colours.put("a/b", Colour(1, "ä")),
                place.words.put("", {"x": "y"}),
                place.words.put("gone", {}),
            ]
        )
    )
    place.driver.run(place.broker.state.write([place.words.delete("gone"), place.words.delete("never")]))

    place.crash()

    assert place.colours.values == {"a/b": Colour(1, "ä")}
    assert place.words.values == {"": {"x": "y"}}


def test_a_listener_hears_the_same_live_and_at_start() -> None:
    place = Place()
    place.driver.run(place.broker.state.write([place.colours.put("a", Colour(1))]))
    place.driver.run(place.broker.state.write([place.colours.delete("a")]))
    live = list(place.heard)

    place.crash()

    assert live == [("a", Colour(1)), ("a", None)]
    assert place.heard == live


@pytest.mark.parametrize("operation", range(1, 30))
def test_changes_written_together_are_there_all_or_none(operation: int) -> None:
    place = Place(seed=operation)
    place.driver.run(
        place.broker.state.write([place.colours.put("a", Colour(0)), place.colours.put("b", Colour(0))])
    )
    place.disk.crash_at(operation)
    acknowledged = 0
    with pytest.raises(PowerCut):
        for number in range(1, 40):
            both = [place.colours.put(name, Colour(number)) for name in ("a", "b")]
            place.driver.run(place.broker.state.write(both))
            acknowledged = number

    place.crash()

    assert place.colours.values["a"] == place.colours.values["b"]
    assert place.colours.values["a"].red in (acknowledged, acknowledged + 1)


def test_a_disk_that_refuses_leaves_the_values_as_they_were() -> None:
    place = Place()
    place.driver.run(place.broker.state.write([place.colours.put("a", Colour(1))]))
    place.disk.fill_after(1)

    with pytest.raises(StorageError):
        place.driver.run(place.broker.state.write([place.colours.put("a", Colour(2))]))

    assert place.colours.values == {"a": Colour(1)}


def test_records_of_an_unknown_kind_are_left_alone() -> None:
    place = Place()
    other = StateTable("flavour", dict[str, int])

    place.driver.run(place.broker.state.write([other.put("a", {"sweet": 1}), place.words.put("w", {})]))
    place.crash()

    assert place.words.values == {"w": {}}


def test_a_log_without_such_values_has_no_topic_for_them() -> None:
    place = Place()

    place.driver.run(place.broker.state.write([]))

    assert place.broker.topics == {}


def test_a_newer_version_is_refused_and_damage_is_named() -> None:
    place = Place()
    place.open(colour_version=2)
    place.driver.run(place.broker.state.write([place.colours.put("a", Colour(1))]))

    with pytest.raises(UnsupportedVersionError, match=r"upgrade the program: .* kind=colour"):
        place.crash()
    with pytest.raises(CorruptDataError, match="name='a'"):
        place.words.replay("a", b'{"version":1,"value":{"x":1}}')
