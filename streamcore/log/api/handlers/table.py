"""The function that answers each request; its module is loaded at the first request of its kind.

Each function checks what the client may do with the topics, groups and so on that the request names. Nothing
checks before it: the access needed depends on more than the kind of request.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib import import_module
from types import MappingProxyType
from typing import Final

from streamcore.log.api.calls import Handler

HANDLERS: Final[Mapping[int, str]] = MappingProxyType(
    {
        0: "produce.produce",
        1: "fetch.fetch",
        2: "list_offsets.list_offsets",
        3: "metadata.metadata",
        8: "group_offsets.offset_commit",
        9: "group_offsets.offset_fetch",
        10: "coordinators.find_coordinator",
        11: "group_membership.join_group",
        12: "group_membership.heartbeat",
        13: "group_membership.leave_group",
        14: "group_membership.sync_group",
        15: "groups.describe_groups",
        16: "groups.list_groups",
        17: "sasl.sasl_handshake",
        18: "api_versions.api_versions",
        19: "topics.create_topics",
        20: "topics.delete_topics",
        21: "records.delete_records",
        22: "transactions.init_producer_id",
        23: "leader_epochs.offset_for_leader_epoch",
        24: "transactions.add_partitions_to_txn",
        25: "transactions.add_offsets_to_txn",
        26: "transactions.end_txn",
        27: "transaction_admin.write_txn_markers",
        28: "transactions.txn_offset_commit",
        29: "acls.describe_acls",
        30: "acls.create_acls",
        31: "acls.delete_acls",
        32: "configs.describe_configs",
        33: "config_changes.whole",
        34: "log_dirs.alter_replica_log_dirs",
        35: "log_dirs.describe_log_dirs",
        36: "sasl.sasl_authenticate",
        37: "topics.create_partitions",
        42: "groups.delete_groups",
        43: "replicas.elect_leaders",
        44: "config_changes.incremental",
        45: "replicas.alter_partition_reassignments",
        46: "replicas.list_partition_reassignments",
        47: "group_offsets.offset_delete",
        48: "cluster.describe_client_quotas",
        50: "users.describe_user_scram_credentials",
        51: "users.alter_user_scram_credentials",
        55: "cluster.describe_quorum",
        57: "cluster.update_features",
        60: "cluster.describe_cluster",
        61: "transaction_admin.describe_producers",
        65: "transaction_admin.describe_transactions",
        66: "transaction_admin.list_transactions",
        68: "consumer_groups.consumer_group_heartbeat",
        69: "consumer_groups.consumer_group_describe",
        74: "configs.list_config_resources",
        75: "topic_partitions.describe_topic_partitions",
    }
)
"""Module and function by API key."""


@cache
def handler_of(key: int) -> Handler:
    """Return the function that answers an API's requests."""
    module, function = HANDLERS[key].split(".")
    handler: Handler = getattr(import_module(f"streamcore.log.api.handlers.{module}"), function)
    return handler
