"""Creation, growth, settings and deletion of topics, while other operations run.

The disk work of a change is off-lock work (``storage.topics.topic_changes``). Meanwhile its topics are taken:
another change of one of them waits for its turn, and then sees the result of the first one. So of two equal
requests at the same time, one creates the topic and the other gets the error that it exists.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Final, TypeAlias
from uuid import UUID

from msgspec import Struct, field

from streamcore.errors import (
    InvalidConfigError,
    StorageError,
    StreamCoreError,
    TopicExistsError,
    UnknownTopicError,
    with_facts,
)
from streamcore.log.broker.api_errors import ApiError, ErrorName
from streamcore.log.broker.operations import Completed, OffLockWork, Operation, OperationFuture, Unsynced
from streamcore.log.storage.topics.catalog import PARTITION_COUNT_MAX, Catalog
from streamcore.log.storage.topics.topic_changes import Growth
from streamcore.log.storage.topics.topic_folders import check_topic_name
from streamcore.log.storage.topics.topic_registry import TopicState
from streamcore.model import TopicName

_FOR_EVER_S: Final = float("inf")


def ensure_topic_name(name: str) -> None:
    """Raise ``ApiError`` if the name is not valid for a topic."""
    try:
        check_topic_name(name)
    except InvalidConfigError as error:
        raise ApiError(
            ErrorName.INVALID_TOPIC_EXCEPTION, kafka_text=error.kafka_text, topic=repr(name)
        ) from error


class WantedTopic(Struct, frozen=True):
    """A topic to create, or the new partition count of a topic."""

    name: TopicName
    partition_count: int
    config: Mapping[str, str] = field(default_factory=dict)
    unset: str | None = None
    """The name of a setting without a value."""
    misplaced: ApiError | None = None
    """The error in the requested placement of replicas. Kafka checks it after the settings."""


Outcome: TypeAlias = TopicState | StreamCoreError | ApiError
"""The topic after the change, or the error."""

ConfigChange: TypeAlias = Callable[[Mapping[str, str]], Mapping[str, str]]
"""Returns the settings to set for the present settings of a topic."""

_Plan: TypeAlias = Callable[[WantedTopic], Growth]


class Topics:
    """The changes of a log's topics, one at a time per topic."""

    def __init__(self, catalog: Catalog, unsynced: Unsynced) -> None:
        self._catalog = catalog
        self._unsynced = unsynced
        self._taken: set[TopicName] = set()
        self._freed: OperationFuture[None] = OperationFuture()

    def create(
        self, wanted: Sequence[WantedTopic], *, validate_only: bool = False
    ) -> Operation[list[Outcome]]:
        """Create topics, durably; return the error of each that may not be created. The others are created
        together.

        With ``validate_only`` nothing is created, and the topics that would be created are returned.
        """
        return (yield from self._make(wanted, self._new, validate_only=validate_only))

    def grow(self, wanted: Sequence[WantedTopic], *, validate_only: bool = False) -> Operation[list[Outcome]]:
        """Add partitions to topics, durably; as ``create``."""
        return (yield from self._make(wanted, self._grown, validate_only=validate_only))

    def _make(
        self, wanted: Sequence[WantedTopic], plan: _Plan, *, validate_only: bool
    ) -> Operation[list[Outcome]]:
        names = {each.name for each in wanted}
        yield from self._take(names)
        try:
            planned = [_attempt(plan, each) for each in wanted]
            growths = [each for each in planned if isinstance(each, Growth)]
            if growths and not validate_only:
                change = self._catalog.begin_creation(growths)
                try:
                    yield OffLockWork(change.run)
                except StorageError as error:
                    return [error if isinstance(each, Growth) else each for each in planned]
                self._catalog.complete_creation(change)
            return [each.topic if isinstance(each, Growth) else each for each in planned]
        finally:
            self._free(names)

    def set_configs(
        self, changes: Mapping[TopicName, ConfigChange], *, validate_only: bool = False
    ) -> Operation[dict[TopicName, Outcome]]:
        """Change the settings of topics, durably; return the error of each that may not be changed.

        A change is called with the topic's settings when its turn has come. With ``validate_only`` nothing is
        changed, and the topics that would result are returned.
        """
        yield from self._take(changes)
        try:
            outcomes = {name: self._changed(name, change) for name, change in changes.items()}
            states = [each for each in outcomes.values() if isinstance(each, TopicState)]
            if states and not validate_only:
                settings = self._catalog.begin_settings(states)
                try:
                    yield OffLockWork(settings.run)
                except StorageError as error:
                    return {name: error if each in states else each for name, each in outcomes.items()}
                self._catalog.complete_settings(settings)
            return outcomes
        finally:
            self._free(changes)

    def _changed(self, name: TopicName, change: ConfigChange) -> Outcome:
        try:
            topic = self._catalog.topics.get(name)
            config = change({} if topic is None else topic.config)
            # Kafka reports an error in the settings before the error that there is no such topic.
            self._catalog.ensure_possible(config)
            return self._catalog.with_config(name, config)
        except UnknownTopicError as error:
            error.kafka_text = f"The topic '{name}' does not exist."
            return error
        except (StreamCoreError, ApiError) as error:
            return error

    def delete(
        self,
        ids: Mapping[TopicName, UUID | None],
        prepare: Callable[[Collection[TopicName]], Operation[None]],
    ) -> Operation[dict[TopicName, Outcome]]:
        """Delete topics with their data, durably; return the error of each that does not exist.

        Topics are looked up when their turn has come: with an id only the topic of that id is deleted, not
        another one that has its name by then. ``prepare`` runs before, for the topics that are deleted.
        """
        yield from self._take(ids)
        try:
            outcomes = {name: self._doomed(name, topic_id) for name, topic_id in ids.items()}
            present = [name for name, outcome in outcomes.items() if isinstance(outcome, TopicState)]
            if present:
                yield from prepare(present)
                yield from self._remove(present, outcomes)
            return outcomes
        finally:
            self._free(ids)

    def _doomed(self, name: TopicName, topic_id: UUID | None) -> Outcome:
        state = self._catalog.topics.get(name)
        if topic_id is not None and (state is None or state.topic_id != topic_id):
            return unknown_topic_id(topic_id.hex)
        try:
            return self._catalog.topic(name)
        except UnknownTopicError as error:
            return error

    def _remove(self, names: Sequence[TopicName], outcomes: dict[TopicName, Outcome]) -> Operation[None]:
        removal = self._catalog.begin_removal(names)
        try:
            yield OffLockWork(removal.run)
        except StorageError as error:
            self._catalog.abandon_removal(removal, error)
            outcomes.update(dict.fromkeys(names, error))
            return
        for log in self._catalog.complete_removal(removal):
            self._unsynced.forget(log)
        yield OffLockWork(removal.remove_files)

    # --- what may be made -----------------------------------------------------------------------

    def _new(self, wanted: WantedTopic) -> Growth:
        name = wanted.name
        if name in self._catalog.topics:
            raise TopicExistsError(
                with_facts("the topic exists already", topic=name),
                kafka_text=f"Topic '{name}' already exists.",
            )
        ensure_topic_name(name)
        if "." in name or "_" in name:
            self._ensure_no_collision(name)
        if wanted.unset is not None:
            raise ApiError(ErrorName.INVALID_CONFIG, topic=name, setting=wanted.unset, value="null")
        self._catalog.ensure_possible(wanted.config)
        if wanted.misplaced is not None:
            raise wanted.misplaced
        _ensure_count(wanted)
        return self._catalog.new_topic(name, wanted.partition_count, wanted.config)

    def _grown(self, wanted: WantedTopic) -> Growth:
        current = self._catalog.topic(wanted.name).partition_count
        if wanted.partition_count <= current:
            raise ApiError(
                ErrorName.INVALID_PARTITIONS,
                kafka_text=_kafkas_text_of_no_increase(wanted, current),
                topic=wanted.name,
                partitions=current,
                wanted=wanted.partition_count,
            )
        if wanted.misplaced is not None:
            raise wanted.misplaced
        _ensure_count(wanted)
        return self._catalog.more_partitions(wanted.name, wanted.partition_count)

    def _ensure_no_collision(self, name: TopicName) -> None:
        """Refuse a name that differs from a topic's only in dots and underscores, which Kafka's metrics
        cannot distinguish.
        """
        plain = name.replace(".", "_")
        for other in self._catalog.topics:
            if other.replace(".", "_") == plain:
                raise ApiError(
                    ErrorName.INVALID_TOPIC_EXCEPTION,
                    kafka_text=f"Topic '{name}' collides with existing topic: {other}",
                    topic=name,
                    collides_with=other,
                )

    # --- one change of a topic at a time --------------------------------------------------------

    def _take(self, names: Collection[TopicName]) -> Operation[None]:
        while not self._taken.isdisjoint(names):
            yield Completed(self._freed, _FOR_EVER_S)
        self._taken.update(names)

    def _free(self, names: Collection[TopicName]) -> None:
        self._taken.difference_update(names)
        freed, self._freed = self._freed, OperationFuture()
        freed.keep(None)


def _attempt(plan: _Plan, wanted: WantedTopic) -> Growth | StreamCoreError | ApiError:
    try:
        return plan(wanted)
    except (StreamCoreError, ApiError) as error:
        return error


def unknown_topic_id(topic_id: str) -> ApiError:
    """Return the refusal of a topic id, given in hexadecimal, that no topic has."""
    kafka_text = "This server does not host this topic ID."
    return ApiError(ErrorName.UNKNOWN_TOPIC_ID, kafka_text=kafka_text, topic_id=topic_id)


def _ensure_count(wanted: WantedTopic) -> None:
    if not 1 <= wanted.partition_count <= PARTITION_COUNT_MAX:
        is_positive = wanted.partition_count > 0
        raise ApiError(
            ErrorName.INVALID_PARTITIONS,
            kafka_text=""
            if is_positive
            else "Number of partitions was set to an invalid non-positive value.",
            topic=wanted.name,
            partitions=wanted.partition_count,
            partitions_max=PARTITION_COUNT_MAX,
        )


def _kafkas_text_of_no_increase(wanted: WantedTopic, current: int) -> str:
    if wanted.partition_count == current:
        return f"Topic already has {current} partition(s)."
    return (
        f"The topic {wanted.name} currently has {current} partition(s); "
        f"{wanted.partition_count} would not be an increase."
    )
