"""Where we answer otherwise than Apache Kafka 4.3, and why; ``docs/differences.md`` is made of it.

Each place must occur: a test fails over one that no longer does, so the list cannot outlive its reasons.
"""

from __future__ import annotations

from typing import Final

from tests.differential.known import Beyond, Known, Place

_FAILED: Final = "UNKNOWN_SERVER_ERROR"
_NO_ANSWER: Final = "no answer"
_CLOSED: Final = "connection closed"
_SESSIONS: Final = "a_session_remembers_what_is_read"
_ATTRIBUTES: Final = "attributes_that_clients_may_not_set_are_refused"
_ACLS: Final = ("DescribeAcls", "CreateAcls", "DeleteAcls")

KNOWN: Final[tuple[Known, ...]] = (
    Known(
        "Fetch",
        "remembers in a session what a client reads, and what of it has not changed",
        "answers session 0, which tells clients to name everything each time",
        "the marks of all partitions are at hand, and sessions would cost memory for each client",
        (
            Place("Fetch", "session_id", ours=0),
            Place("Fetch", "error_code", _SESSIONS, kafka="NONE", ours="FETCH_SESSION_ID_NOT_FOUND"),
            Place("Fetch", "responses", _SESSIONS, ours=[]),
        ),
    ),
    Known(
        "many",
        "fails within itself (`UNKNOWN_SERVER_ERROR`) over some impossible values",
        "says what is wrong, or takes the nearest value that is possible",
        "the request can be understood, and a client can react to an error that has a name",
        (
            Place("Fetch", "*error_code", kafka=_FAILED),
            Place("Fetch", "responses", kafka=[]),
            Place("Fetch", "responses*", "levels_of_isolation_that_do_not_exist"),
            Place("Fetch", "responses*", "negative_sizes_and_times"),
            Place("Metadata", "*error_code", kafka=_FAILED),
            Place("Metadata", "brokers", kafka=[]),
            Place("Metadata", "controller_id", kafka=-1),
            Place("Metadata", "cluster_id", kafka=None),
            Place("Produce", "*error_code", kafka=_FAILED, ours="INVALID_RECORD"),
            Place("Produce", "*log_start_offset", _ATTRIBUTES, kafka=-1),
            Place("DescribeTopicPartitions", "*error_code", kafka=_FAILED, ours="INVALID_TOPIC_EXCEPTION"),
            Place("DescribeTopicPartitions", "*authorized_operations", kafka=-(2**31)),
            Place("WriteTxnMarkers", "*error_code", kafka=_FAILED),
            Place("IncrementalAlterConfigs", "*error_code", kafka=_FAILED, ours="INVALID_REQUEST"),
            Place("AlterUserScramCredentials", "*error_code", kafka=_FAILED, ours="UNACCEPTABLE_CREDENTIAL"),
        ),
    ),
    Known(
        "Produce, JoinGroup, AddPartitionsToTxn, WriteTxnMarkers, AlterConfigs",
        "never answers null records, a subscription that is none, no transactions at all, markers for "
        "nothing beside others, or a setting that is named twice",
        "answers, and refuses what is wrong",
        "a client would wait for nothing",
        (
            Place("Produce", "", kafka=_NO_ANSWER),
            Place("JoinGroup", "", kafka=_NO_ANSWER),
            Place("AddPartitionsToTxn", "", kafka=_NO_ANSWER),
            Place("WriteTxnMarkers", "", kafka=_NO_ANSWER),
            Place("AlterConfigs", "", kafka=_NO_ANSWER),
        ),
    ),
    Known(
        "DescribeAcls, CreateAcls, DeleteAcls",
        "closes the connection over a kind, an operation or a permission of number 0",
        "answers it as every rule where no authorizer is on: `SECURITY_DISABLED`",
        "the request can be understood, so it has an answer",
        tuple(Place(api, "", kafka=_CLOSED) for api in _ACLS),
    ),
    Known(
        "ApiVersions",
        "serves delegation tokens, telemetry, share groups, Streams groups, and what brokers ask each other",
        "serves what is in the table of [the protocol](wire.md)",
        "a client sees that it is not there, and does without",
        (Place("ApiVersions", "api_keys[]", ours="absent"),),
    ),
    Known(
        "ApiVersions",
        "has features of its controllers, of share groups and of Streams groups",
        "has those of groups and transactions, which clients go by",
        "a feature says that what belongs to it is served",
        (
            Place("ApiVersions", "supported_features*"),
            Place("ApiVersions", "finalized_features[]", ours="absent"),
            Place("ApiVersions", "finalized_features_epoch", ours=0),
        ),
    ),
    Known(
        "Produce",
        "answers a batch that comes again with its records' time as the time of its append",
        "answers it with -1, as the first time",
        "the records have their producer's time, and one batch has one answer",
        (Place("Produce", "*log_append_time_ms", ours=-1),),
    ),
    Known(
        "Produce",
        "calls a batch with a negative count of records an invalid record",
        "calls it corrupt",
        "no encoder makes one: something has changed it on its way, and the checksum with it",
        (Place("Produce", scenario="a_batch_of_fewer_than_no_records_is_refused"),),
    ),
    Known(
        "Produce",
        "takes a batch that claims to have the time of its append, and changes that",
        "refuses it: `INVALID_TIMESTAMP`",
        "only the log knows that time; who claims it means something that will not be",
        (Place("Produce", scenario="a_client_may_not_stamp_a_batch_with_the_time_of_its_append"),),
    ),
    Known(
        "Produce",
        "takes a batch with a producer id and a sequence, but without an epoch",
        "refuses it: `INVALID_RECORD`",
        "without an epoch nothing keeps an older producer of that id from writing",
        (Place("Produce", scenario="a_producer_without_a_sequence_or_an_epoch_is_refused"),),
    ),
    Known(
        "Produce, Fetch",
        "keeps the last of two batches, or of two wishes, for one partition, and answers it alone",
        "does both, and answers both",
        "nothing that was sent is dropped in silence",
        (
            Place("Produce", "responses[]", "a_topic_named_twice_is_answered_as_it_comes", kafka="absent"),
            Place("Fetch", scenario="a_partition_that_is_named_twice_is_read"),
        ),
    ),
    Known(
        "ConsumerGroupHeartbeat",
        "looks in the background for the topics that a pattern fits, so that a first answer has none",
        "looks at once",
        "all names are at hand",
        (Place("ConsumerGroupHeartbeat", scenario="a_member_subscribes_to_a_pattern"),),
    ),
    Known(
        "JoinGroup",
        "has sessions of 6 seconds at least",
        "has sessions of 10 ms at least (`group.min.session.timeout.ms`)",
        "a program that serves its own log may want to notice at once that a part of it is gone",
        (Place("JoinGroup", scenario="times_of_sessions_are_bounded"),),
    ),
    Known(
        "OffsetDelete",
        "knows a group without members after its last position is forgotten",
        "has forgotten the group, too: `GROUP_ID_NOT_FOUND`",
        "nothing is left of it that could be stored, so it would not outlive a restart either",
        (Place("OffsetDelete", scenario="what_is_not_there_is_not_forgotten"),),
    ),
    Known(
        "DescribeProducers",
        "tells the time of a producer's last records",
        "tells when the producer was last heard of",
        "producers are forgotten by that time, which no producer can set",
        (Place("DescribeProducers", "*last_timestamp", ours="recent"),),
    ),
    Known(
        "WriteTxnMarkers",
        "compares a negative epoch with the producer's newest",
        "refuses it as no epoch: `INVALID_REQUEST`",
        "such a marker would end nothing",
        (Place("WriteTxnMarkers", kafka="INVALID_PRODUCER_EPOCH", ours="INVALID_REQUEST"),),
    ),
    Known(
        "DescribeTopicPartitions",
        "goes on from a negative partition where the cursor was beyond the last",
        "is at the end there",
        "there is nothing more",
        (Place("DescribeTopicPartitions", "next_cursor", ours=None),),
    ),
    Known(
        "DescribeTopicPartitions",
        "does not mention an unknown topic where the partitions of others have filled the answer",
        "says that it is unknown",
        "it would be asked for again and again",
        (Place("DescribeTopicPartitions", "topics[]", kafka="absent"),),
    ),
    Known(
        "CreateTopics, DescribeConfigs",
        "has set `min.insync.replicas` for all topics itself (KIP-966), and tells where it is from",
        "has it as a default",
        "there is one replica",
        (Place("*", "*[].config_source", kafka=3, ours=5), Place("DescribeConfigs", "*[].synonyms")),
    ),
    Known(
        "CreateTopics",
        "takes `min.insync.replicas=2` with one broker, and then takes no records",
        "refuses it: `INVALID_CONFIG`",
        "there will never be a second replica",
        (Place("CreateTopics", scenario="more_replicas_are_asked_for_than_there_will_ever_be"),),
    ),
    Known(
        "CreateTopics",
        "gives up at once where a request has no time (`timeout_ms` below 0)",
        "does it: nothing is waited for but the disk",
        "there are no other brokers that would have to agree",
        (Place("CreateTopics", scenario="no_topics_and_no_time"),),
    ),
    Known(
        "DescribeConfigs",
        "refuses all resources of a request where one is of an impossible type",
        "refuses that one",
        "the others are what the client asked for",
        (
            Place("DescribeConfigs", "results[].error_code", "drawn_*", kafka="INVALID_REQUEST"),
            Place("DescribeConfigs", "results[].configs", "drawn_*", kafka=[]),
        ),
    ),
    Known(
        "DescribeConfigs",
        "has settings for clients' metrics",
        "has none: `INVALID_REQUEST`",
        "telemetry is not served: clients that see it ask for it at every start",
        (
            Place(
                "DescribeConfigs",
                "*error_code",
                "what_is_not_there_has_no_settings",
                kafka="NONE",
                ours="INVALID_REQUEST",
            ),
        ),
    ),
    Known(
        "DescribeConfigs",
        "has other values for settings of brokers, and can change others of them while it runs",
        "shows each with the value that it goes by, and as changeable what can be changed",
        "see [the settings of brokers](broker-settings.md)",
        (Place("DescribeConfigs", scenario="settings_of_a_broker_are_told"),),
    ),
    Known(
        "DescribeConfigs",
        "can change settings of share groups and Streams groups",
        "shows them as read only",
        "there are no such groups",
        (Place("DescribeConfigs", "*.read_only", "settings_of_a_group_are_told", kafka=False, ours=True),),
    ),
    Known(
        "IncrementalAlterConfigs",
        "takes unknown settings of brokers, and changes of the number of its threads",
        "refuses both",
        "an unknown name is a mistake in most cases, and there are no such threads",
        (Place("IncrementalAlterConfigs", scenario="settings_of_a_broker_are_changed", kafka="NONE"),),
    ),
    Known(
        "IncrementalAlterConfigs",
        "tells what is wrong with a setting before it tells that a group has no name, or a topic none that "
        "is possible",
        "tells that first",
        "both are wrong",
        (
            Place(
                "IncrementalAlterConfigs",
                scenario="drawn_*",
                kafka="INVALID_CONFIG",
                ours=("INVALID_REQUEST", "INVALID_TOPIC_EXCEPTION").__contains__,
            ),
        ),
    ),
    Known(
        "AlterReplicaLogDirs",
        "tells that a topic's name is too long",
        "tells that there is no such folder",
        "both are wrong",
        (Place("AlterReplicaLogDirs", kafka="INVALID_TOPIC_EXCEPTION", ours="LOG_DIR_NOT_FOUND"),),
    ),
    Known(
        "AlterUserScramCredentials",
        "takes a password without salt",
        "refuses it: `UNACCEPTABLE_CREDENTIAL`",
        "equal passwords of two users would be seen to be equal",
        (Place("AlterUserScramCredentials", kafka="NONE", ours="UNACCEPTABLE_CREDENTIAL"),),
    ),
    Known(
        "DescribeQuorum",
        "tells how far its controllers' log has come",
        "tells of one voter and of a log without records",
        "there are no controllers; what tools look for is there",
        (Place("DescribeQuorum", scenario="the_quorum_is_told"),),
    ),
)

BEYOND: Final[tuple[Beyond, ...]] = (
    Beyond(
        "deletes a segment once its largest record time is older than `retention.ms`",
        "counts from the later of that time and the segment's last append, and logs what it deletes",
        "a history that is loaded would be gone within minutes; see "
        "[decision 27](decisions/0027-retention-counts-from-the-append.md)",
    ),
    Beyond(
        "has `retention.ms` of seven days for a topic that a program creates",
        "has that for topics created over the protocol; its own `create_topic` sets `retention.ms=-1`",
        "a program that creates a topic has not asked for a deletion",
    ),
)
"""Where we do otherwise in what takes time; no request shows it, so tests of the log hold it."""
