"""Settings of topics that StreamCore's clients create: they keep their records unless the caller sets it.

Kafka deletes records after seven days. Topics that a Kafka client creates over the protocol get that default;
a program that creates a topic with ``create_topic`` has not asked for a deletion.
"""

from __future__ import annotations

from collections.abc import Mapping


def own_topic_config(config: Mapping[str, str] | None) -> dict[str, str]:
    """Return the settings for a new topic: the caller's, and ``retention.ms=-1`` if the caller did not set
    it.

    A topic whose ``cleanup.policy`` deletes nothing by age keeps the settings as given.
    """
    given = dict(config or {})
    if "retention.ms" in given or "delete" not in given.get("cleanup.policy", "delete"):
        return given
    return {**given, "retention.ms": "-1"}
