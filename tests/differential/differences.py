"""The answers that differ from Apache Kafka 4.3, and why: the source of ``docs/differences.md``.

Each place must occur: a test fails for one that does not, so the list has no outdated entries.
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
        "keeps in a session what a client reads, and which of it has not changed",
        "answers session 0, by which clients name all partitions in each request",
        "a lookup of all partitions is cheap, and sessions would cost memory for each client",
        (
            Place("Fetch", "session_id", ours=0),
            Place("Fetch", "error_code", _SESSIONS, kafka="NONE", ours="FETCH_SESSION_ID_NOT_FOUND"),
            Place("Fetch", "responses", _SESSIONS, ours=[]),
        ),
    ),
    Known(
        "many",
        "fails with an internal error (`UNKNOWN_SERVER_ERROR`) for some invalid values",
        "answers the specific error, or uses the nearest valid value",
        "the request can be decoded, and a client can react to a specific error",
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
        "does not answer null records, an invalid subscription, an empty list of transactions, markers for "
        "no partition among others, or a setting that is named twice",
        "answers, and refuses what is invalid",
        "a client would wait until its timeout",
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
        "closes the connection for a resource type, an operation or a permission with number 0",
        "answers as for every rule without an authorizer: `SECURITY_DISABLED`",
        "the request can be decoded, so it gets an answer",
        tuple(Place(api, "", kafka=_CLOSED) for api in _ACLS),
    ),
    Known(
        "ApiVersions",
        "serves delegation tokens, telemetry, share groups, Streams groups, and requests between brokers",
        "serves the APIs in the table of [the protocol](wire.md)",
        "a client detects that an API is missing, and works without it",
        (Place("ApiVersions", "api_keys[]", ours="absent"),),
    ),
    Known(
        "ApiVersions",
        "has features of its controllers, of share groups and of Streams groups",
        "has those of groups and transactions, which clients use",
        "a feature means that its APIs are served",
        (
            Place("ApiVersions", "supported_features*"),
            Place("ApiVersions", "finalized_features[]", ours="absent"),
            Place("ApiVersions", "finalized_features_epoch", ours=0),
        ),
    ),
    Known(
        "Produce",
        "answers a repeated batch with its records' time as the time of its append",
        "answers it with -1, as at the first time",
        "the records have their producer's time, and one batch has one answer",
        (Place("Produce", "*log_append_time_ms", ours=-1),),
    ),
    Known(
        "Produce",
        "answers a batch with a negative count of records as an invalid record",
        "answers it as corrupt",
        "no encoder writes such a batch: it was damaged, and the checksum with it",
        (Place("Produce", scenario="a_batch_of_fewer_than_no_records_is_refused"),),
    ),
    Known(
        "Produce",
        "accepts a batch that claims to have the time of its append, and changes the attribute",
        "refuses it: `INVALID_TIMESTAMP`",
        "only the log knows that time; a client that sets the attribute expects something else",
        (Place("Produce", scenario="a_client_may_not_stamp_a_batch_with_the_time_of_its_append"),),
    ),
    Known(
        "Produce",
        "accepts a batch with a producer id and a sequence, but without an epoch",
        "refuses it: `INVALID_RECORD`",
        "without an epoch an older producer with that id cannot be fenced",
        (Place("Produce", scenario="a_producer_without_a_sequence_or_an_epoch_is_refused"),),
    ),
    Known(
        "Produce, Fetch",
        "uses only the last of two batches or fetches for one partition, and answers only that",
        "handles both, and answers both",
        "nothing that was sent is dropped without an answer",
        (
            Place("Produce", "responses[]", "a_topic_named_twice_is_answered_as_it_comes", kafka="absent"),
            Place("Fetch", scenario="a_partition_that_is_named_twice_is_read"),
        ),
    ),
    Known(
        "ConsumerGroupHeartbeat",
        "resolves patterns in the background, so that a first answer has no topics",
        "resolves them in the same request",
        "all topic names are in memory",
        (Place("ConsumerGroupHeartbeat", scenario="a_member_subscribes_to_a_pattern"),),
    ),
    Known(
        "JoinGroup",
        "has sessions of at least 6 seconds",
        "has sessions of at least 10 ms (`group.min.session.timeout.ms`)",
        "a program that serves its own log may need to detect a failed member quickly",
        (Place("JoinGroup", scenario="times_of_sessions_are_bounded"),),
    ),
    Known(
        "OffsetDelete",
        "keeps a group without members after its last committed offset is deleted",
        "deletes the group too: `GROUP_ID_NOT_FOUND`",
        "nothing of it is left to store, so it would not exist after a restart either",
        (Place("OffsetDelete", scenario="what_is_not_there_is_not_forgotten"),),
    ),
    Known(
        "DescribeProducers",
        "answers the time of a producer's last records",
        "answers the time of the producer's last request",
        "producers expire by that time, which no producer can set",
        (Place("DescribeProducers", "*last_timestamp", ours="recent"),),
    ),
    Known(
        "WriteTxnMarkers",
        "compares a negative epoch with the producer's newest",
        "refuses it as invalid: `INVALID_REQUEST`",
        "such a marker would end no transaction",
        (Place("WriteTxnMarkers", kafka="INVALID_PRODUCER_EPOCH", ours="INVALID_REQUEST"),),
    ),
    Known(
        "DescribeTopicPartitions",
        "continues at a negative partition if the cursor was beyond the last one",
        "ends there",
        "there are no more partitions",
        (Place("DescribeTopicPartitions", "next_cursor", ours=None),),
    ),
    Known(
        "DescribeTopicPartitions",
        "leaves out an unknown topic if the partitions of others have filled the answer",
        "answers that it is unknown",
        "a client would ask for it again and again",
        (Place("DescribeTopicPartitions", "topics[]", kafka="absent"),),
    ),
    Known(
        "CreateTopics, DescribeConfigs",
        "has set `min.insync.replicas` for all topics itself (KIP-966), and answers that source",
        "has it as a default",
        "there is one replica",
        (Place("*", "*[].config_source", kafka=3, ours=5), Place("DescribeConfigs", "*[].synonyms")),
    ),
    Known(
        "CreateTopics",
        "accepts `min.insync.replicas=2` with one broker, and then accepts no records",
        "refuses it: `INVALID_CONFIG`",
        "there will never be a second replica",
        (Place("CreateTopics", scenario="more_replicas_are_asked_for_than_there_will_ever_be"),),
    ),
    Known(
        "CreateTopics",
        "times out at once if `timeout_ms` is below 0",
        "creates the topics: the broker waits only for the disk",
        "no other broker has to agree",
        (Place("CreateTopics", scenario="no_topics_and_no_time"),),
    ),
    Known(
        "DescribeConfigs",
        "refuses all resources of a request if one has an invalid type",
        "refuses only that one",
        "the client asked for the others too",
        (
            Place("DescribeConfigs", "results[].error_code", "drawn_*", kafka="INVALID_REQUEST"),
            Place("DescribeConfigs", "results[].configs", "drawn_*", kafka=[]),
        ),
    ),
    Known(
        "DescribeConfigs",
        "has settings for clients' metrics",
        "has none: `INVALID_REQUEST`",
        "telemetry is not served: clients that detect it use it at every start",
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
        "has other values of broker settings, and can change other ones of them at run time",
        "answers the effective values, and as changeable the settings that can be changed",
        "see [the settings of brokers](broker-settings.md)",
        (Place("DescribeConfigs", scenario="settings_of_a_broker_are_told"),),
    ),
    Known(
        "DescribeConfigs",
        "can change settings of share groups and Streams groups",
        "answers them as read-only",
        "there are no such groups",
        (Place("DescribeConfigs", "*.read_only", "settings_of_a_group_are_told", kafka=False, ours=True),),
    ),
    Known(
        "IncrementalAlterConfigs",
        "accepts unknown broker settings, and changes of the number of its threads",
        "refuses both",
        "an unknown name is a mistake in most cases, and there are no such threads",
        (Place("IncrementalAlterConfigs", scenario="settings_of_a_broker_are_changed", kafka="NONE"),),
    ),
    Known(
        "IncrementalAlterConfigs",
        "answers the error of a setting, also if the name of the group is empty or the name of the topic "
        "is invalid",
        "answers the error of the name",
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
        "answers that a topic's name is too long",
        "answers that the folder does not exist",
        "both are wrong",
        (Place("AlterReplicaLogDirs", kafka="INVALID_TOPIC_EXCEPTION", ours="LOG_DIR_NOT_FOUND"),),
    ),
    Known(
        "AlterUserScramCredentials",
        "accepts a password without salt",
        "refuses it: `UNACCEPTABLE_CREDENTIAL`",
        "equal passwords of two users would be visible",
        (Place("AlterUserScramCredentials", kafka="NONE", ours="UNACCEPTABLE_CREDENTIAL"),),
    ),
    Known(
        "DescribeQuorum",
        "answers with the end of its controllers' log",
        "answers with one voter, at the end offset of the broker's state log",
        "there are no controllers; the fields that tools read are present",
        (Place("DescribeQuorum", scenario="the_quorum_is_told"),),
    ),
)

BEYOND: Final[tuple[Beyond, ...]] = (
    Beyond(
        "deletes a segment once its largest record time is older than `retention.ms`",
        "counts from the later of that time and the segment's last append, and logs what it deletes",
        "a loaded history would be deleted within minutes; see "
        "[decision 27](decisions/0027-retention-counts-from-the-append.md)",
    ),
    Beyond(
        "has `retention.ms` of seven days for a topic that a program creates",
        "has that for topics created over the protocol; its own `create_topic` sets `retention.ms=-1`",
        "a program that creates a topic has not asked for a deletion",
    ),
)
"""Differences that no single request shows; tests of the log check them."""
