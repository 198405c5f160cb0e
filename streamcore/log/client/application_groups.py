"""Which consumer groups belong to applications, and the topic that says so.

An application commits its positions for a group of its own name, in one transaction with its tables. A
program that commits for that group makes the tables wrong, so clients refuse it where they can know: the
application has the topic ``<group>-descriptions``.
"""

from __future__ import annotations

from collections.abc import Container

from streamcore.errors import UsageError, fact_text
from streamcore.model import TopicName


def descriptions_topic(app_id: str) -> TopicName:
    """The topic that holds an application's descriptions of its tables and inputs."""
    return f"{app_id}-descriptions"


def worker_transactional_id(app_id: str) -> str:
    """The transactional id of an application's worker: who uses it fences the one before."""
    return f"{app_id}-worker"


def ensure_not_an_application(group: str, topics: Container[TopicName], doing: str) -> None:
    """Refuse to do something with the positions of an application.

    Args:
        topics: the topics that the log has.
        doing: what is refused, as in ``cannot {doing}``.

    Raises:
        UsageError: the group belongs to an application.
    """
    if descriptions_topic(group) in topics:
        raise UsageError(
            f"cannot {doing}: the group belongs to an application, whose tables reflect its committed "
            "positions; use another group, or start the application over with "
            "`streamcore app MODULE:APP reset` " + fact_text(group=group)
        )
