"""The folders of partitions in a log's root folder: their names, and leftover folders with these names.

A folder is named ``<topic>-<partition>``. Only the registry decides which folders belong to topics; a folder
that it does not name is left from an interrupted creation or deletion. Such a folder is removed only if it
holds no data.
"""

from __future__ import annotations

import logging
import re
from pathlib import Path
from typing import Final

from streamcore.errors import CorruptDataError, InvalidConfigError, StorageError, with_facts
from streamcore.log.storage.files import FileSystem, remove_tree
from streamcore.log.storage.topics.topic_registry import REGISTRY_NAME, TopicState
from streamcore.model import TopicName, TopicPartition

_log = logging.getLogger(__name__)

_NAME_LENGTH_MAX: Final = 249
_TOPIC_NAME: Final = re.compile(rf"[a-zA-Z0-9._-]{{1,{_NAME_LENGTH_MAX}}}")


def check_topic_name(name: TopicName) -> None:
    """Raise ``InvalidConfigError`` unless Kafka, too, would take the name."""
    if name in (".", "..") or not _TOPIC_NAME.fullmatch(name):
        raise InvalidConfigError(
            with_facts(
                "a topic name has 1 to 249 letters, digits, dots, underscores and hyphens", topic=repr(name)
            ),
            kafka_text=f"Topic name is invalid: {_kafkas_reason(name)}",
        )


def _kafkas_reason(name: TopicName) -> str:
    """Return Kafka's text for an invalid name."""
    if not name:
        return "the empty string is not allowed"
    if name in (".", ".."):
        return f"'{name}' is not allowed"
    if len(name) > _NAME_LENGTH_MAX:
        return f"the length of '{name}' is longer than the max allowed length {_NAME_LENGTH_MAX}"
    return f"'{name}' contains one or more characters other than ASCII alphanumerics, '.', '_' and '-'"


def partitions_of(topic: TopicState) -> list[TopicPartition]:
    """Return a topic's partitions; the name of each is the name of its folder."""
    return [TopicPartition(topic.name, number) for number in range(topic.partition_count)]


def parse_partition(directory_name: str) -> TopicPartition:
    """Return the partition whose folder has this name."""
    topic, _, partition = directory_name.rpartition("-")
    return TopicPartition(topic, int(partition))


def ensure_no_partitions(file_system: FileSystem, root: Path) -> None:
    """Raise if the directory has folders of partitions, because no registry names their topics."""
    for name in file_system.list_directory(root):
        if file_system.is_directory(root / name):
            raise CorruptDataError(
                with_facts(
                    f"the folder has partitions but no {REGISTRY_NAME}: restore that file, or use an empty "
                    "folder",
                    path=root,
                )
            )


def remove_unused(file_system: FileSystem, path: Path) -> None:
    """Remove a directory with the name of a new partition, unless it holds data."""
    for name in file_system.list_directory(path):
        if not name.endswith(".log"):
            continue
        file = file_system.open(path / name)
        try:
            if file.size():
                raise StorageError(
                    with_facts(
                        "a folder with data of an unknown topic has the name of the new partition: move "
                        "it away",
                        path=path,
                    )
                )
        finally:
            file.close()
    remove_tree(file_system, path)


def remove_leftover(file_system: FileSystem, path: Path) -> None:
    """Remove the folders of a failed creation, if the disk allows it; otherwise the next creation removes
    them.
    """
    try:
        if file_system.exists(path):
            remove_tree(file_system, path)
    except StorageError as error:
        _log.warning("an unused folder could not be removed: %s", error)
