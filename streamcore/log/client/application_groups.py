"""Which consumer groups belong to applications, and the topic that marks them.

An application commits offsets for a group of its own name, in one transaction with its tables. Another
program that commits for that group makes the tables wrong, so clients refuse it where they can detect it:
the application has the topic ``<group>-descriptions``.
"""

from __future__ import annotations

from collections.abc import Container

from streamcore.errors import UsageError, with_facts
from streamcore.model import TopicName


def descriptions_topic(app_id: str) -> TopicName:
    """Return the topic that holds an application's descriptions of its tables and inputs."""
    return f"{app_id}-descriptions"


def worker_transactional_id(app_id: str, worker: str = "") -> str:
    """Return the transactional id of an application's worker; a new user of the id fences the last.

    Args:
        worker: the name of the worker, if it shares the application's tasks with others.
    """
    return f"{app_id}-worker-{worker}" if worker else f"{app_id}-worker"


def ensure_not_an_application(group: str, topics: Container[TopicName], doing: str) -> None:
    """Check that a group does not belong to an application.

    Args:
        topics: the topics that the log has.
        doing: what is refused, as in ``cannot {doing}``.

    Raises:
        UsageError: the group belongs to an application.
    """
    if descriptions_topic(group) in topics:
        raise UsageError(
            with_facts(
                f"cannot {doing}: the group belongs to an application, whose tables reflect its committed "
                "offsets; use another group, or start the application over with "
                "`streamcore app MODULE:APP reset`",
                group=group,
            )
        )
