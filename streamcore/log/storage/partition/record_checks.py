"""Checks of the records of a batch by a topic's settings: missing keys and impossible times. Pure.

Records are read only if the settings require it. All bad records are named, as in Kafka (KIP-467): a client
then fails these with their own reasons, and the rest of the batch with a common one. The texts are Kafka's.
"""

from __future__ import annotations

from typing import Final

from streamcore.errors import InvalidRecordError, InvalidTimestampError, with_facts
from streamcore.log.records.batch import NO_TIMESTAMP, BatchHeader, Bytes
from streamcore.log.records.decode import batch_records
from streamcore.log.storage.topics.setting_kinds import LONG_MAX
from streamcore.log.storage.topics.topic_config import TopicConfig
from streamcore.model import TimestampMs, TopicPartition

RECORD_ERRORS_MAX: Final = 10_000
"""The maximum number of named bad records. A batch may have millions, and an answer must not grow with
them.
"""


def ensure_records_allowed(
    batch: Bytes,
    header: BatchHeader,
    config: TopicConfig,
    partition: TopicPartition,
    *,
    now_ms: TimestampMs,
    has_all_keys: bool,
) -> None:
    """Check keys and times of a batch from a client.

    Args:
        has_all_keys: the caller encoded the batch itself and knows that each record has a key.

    Raises:
        InvalidTimestampError: a time is outside the range that the topic allows.
        InvalidRecordError: a record of a compacted topic has no key.
    """
    needs_keys = config.is_compacted and not has_all_keys
    latest_ms = now_ms + config.message_timestamp_after_max_ms
    earliest_ms = now_ms - config.message_timestamp_before_max_ms
    has_future_time = False
    needs_times = False
    # The largest time is in the header; the smallest is not.
    if not config.has_append_time and header.max_timestamp_ms != NO_TIMESTAMP:
        has_future_time = header.max_timestamp_ms > latest_ms
        needs_times = has_future_time or config.message_timestamp_before_max_ms != LONG_MAX
    if not (needs_keys or needs_times):
        return
    without_key = f"Compacted topic cannot accept message without key in topic partition {partition}."
    found: dict[int, str] = {}
    first_time_ms: TimestampMs | None = None
    for record in batch_records(batch, 0, header):
        index = record.offset - header.base_offset
        time_ms = record.timestamp
        if needs_keys and record.key is None:
            found[index] = without_key
        elif needs_times and time_ms != NO_TIMESTAMP and not earliest_ms <= time_ms <= latest_ms:
            found[index] = (
                f"Timestamp {time_ms} of message with offset {record.offset} is out of range. "
                f"The timestamp should be within [{earliest_ms}, {latest_ms}]"
            )
            first_time_ms = time_ms if first_time_ms is None else first_time_ms
        if len(found) == RECORD_ERRORS_MAX:
            break
    if first_time_ms is not None:
        raise _out_of_range(first_time_ms, now_ms, found)
    if has_future_time and not found:
        # The header claims a time that no record has; readers by time would use it.
        raise _out_of_range(header.max_timestamp_ms, now_ms, found)
    if found:
        raise InvalidRecordError(
            with_facts(
                "a compacted topic keeps the newest record of each key, so every record needs one",
                record_index=min(found),
                bad_records=len(found),
            ),
            record_errors=found,
        )


def _out_of_range(time_ms: TimestampMs, now_ms: TimestampMs, found: dict[int, str]) -> InvalidTimestampError:
    if time_ms > now_ms:
        return InvalidTimestampError(
            with_facts(
                "a record is further in the future than message.timestamp.after.max.ms allows: "
                "check the clock or the unit (milliseconds)",
                timestamp_ms=time_ms,
                ahead_ms=time_ms - now_ms,
            ),
            record_errors=found,
        )
    return InvalidTimestampError(
        with_facts(
            "a record is further in the past than message.timestamp.before.max.ms allows",
            timestamp_ms=time_ms,
            behind_ms=now_ms - time_ms,
        ),
        record_errors=found,
    )
