"""Faults in joins of streams, of streams with tables, and of tables."""

from __future__ import annotations

from typing import Final

from tests.faults.fault import Fault

FAULTS: Final = (
    Fault(
        "a bound of the span that is exclusive",
        "both bounds of the span of a join are inclusive",
        "processing/operators/stream_joins.py",
        "if first_ms <= row_ms <= last_ms:",
        "if first_ms <= row_ms < last_ms:",
        "unit/processing/runtime/test_joins_of_streams.py::test_both_bounds_of_the_span_are_inclusive",
    ),
    Fault(
        "before and after exchanged",
        "before= and after= are those of the left record",
        "processing/topology/joins.py",
        "return self.after_ms if is_right else self.before_ms",
        "return self.before_ms if is_right else self.after_ms",
        "unit/processing/runtime/test_cases_of_kafka.py::test_bounds_of_the_span",
    ),
    Fault(
        "a record that is late too early",
        "a record counts while the end of its window and the grace are after the stream time",
        "processing/operators/stream_joins.py",
        "self._in_time_ms = self.ahead_ms + 1 + node.span.grace_ms",
        "self._in_time_ms = self.ahead_ms + node.span.grace_ms",
        "unit/processing/runtime/test_joins_of_streams.py::"
        "test_a_record_is_late_when_its_window_and_grace_are_before_the_time_of_its_source",
    ),
    Fault(
        "a side that looks into too few buckets",
        "a record meets all rows of the other side within the span",
        "processing/operators/stream_joins.py",
        "                newest_ms[0],\n",
        "                newest_ms[1],\n",
        "unit/processing/runtime/test_cases_of_kafka.py::test_bounds_of_the_span",
    ),
    Fault(
        "a side that is not kept",
        "a record meets rows of the other side that come later",
        "processing/operators/stream_joins.py",
        "            bucket.add(identity, Row(time_ms, data, is_matched and keeps))\n",
        "            if not is_right:\n"
        "                bucket.add(identity, Row(time_ms, data, is_matched and keeps))\n",
        "unit/processing/runtime/test_cases_of_kafka.py::test_bounds_of_the_span",
    ),
    Fault(
        "the earlier time of a pair",
        "a pair has the later of the two times",
        "processing/operators/stream_joins.py",
        "times_ms.append(row_ms if row_ms > time_ms else time_ms)",
        "times_ms.append(time_ms)",
        "unit/processing/runtime/test_joins_of_streams.py::test_both_bounds_of_the_span_are_inclusive",
    ),
    Fault(
        "a match that is not marked",
        "a row that has met another is never emitted alone",
        "processing/operators/stream_joins.py",
        "                            row.is_matched = True\n",
        "",
        "unit/processing/runtime/test_joins_of_streams.py::"
        "test_a_record_that_has_met_another_is_never_emitted_alone_even_after_a_crash",
    ),
    Fault(
        "a mark that is not written",
        "a row that has met another is never emitted alone, also after a restart",
        "processing/operators/stream_joins.py",
        "                            bucket.note_change(identity, row)\n",
        "",
        "unit/processing/runtime/test_joins_of_streams.py::"
        "test_a_record_that_has_met_another_is_never_emitted_alone_even_after_a_crash",
    ),
    Fault(
        "a match that is forgotten at once",
        "a row that meets rows which are there is never emitted alone",
        "processing/operators/stream_joins.py",
        "bucket.add(identity, Row(time_ms, data, is_matched and keeps))",
        "bucket.add(identity, Row(time_ms, data, False))",
        "unit/processing/runtime/test_joins_of_streams.py::"
        "test_a_record_that_has_met_another_is_never_emitted_alone_even_after_a_crash",
    ),
    Fault(
        "a row that waits too short",
        "a missing side is None only when no match in time can come",
        "processing/topology/joins.py",
        "return watermark_ms - self.held_ms",
        "return watermark_ms - self.held_ms + 1",
        "unit/processing/runtime/test_joins_of_streams.py::"
        "test_null_comes_only_when_no_match_in_time_can_come",
    ),
    Fault(
        "a wait without the other side's reach",
        "a row waits for all records that can still meet it",
        "processing/topology/joins.py",
        "return self.before_ms + self.after_ms + self.grace_ms",
        "return self.after_ms + self.grace_ms",
        "unit/processing/runtime/test_joins_of_streams.py::"
        "test_null_comes_only_when_no_match_in_time_can_come",
    ),
    Fault(
        "rows that are emitted again after a restart",
        "a row without a match is emitted once, also across a restart",
        "processing/operators/stream_joins.py",
        "self._emitted_ms = max(0, bound_ms)",
        "self._emitted_ms = 0",
        "unit/processing/runtime/test_joins_of_streams.py::"
        "test_a_record_without_a_match_comes_once_with_its_own_time",
    ),
    Fault(
        "rows that a restart forgets",
        "a row that waits for a match is found after a restart",
        "processing/operators/stream_joins.py",
        "self._read_ms = self._emitted_ms - self._emitted_ms % bucket_ms",
        "self._read_ms = self._emitted_ms + bucket_ms",
        "unit/processing/runtime/test_joins_of_streams.py::"
        "test_a_record_without_a_match_comes_once_with_its_own_time",
    ),
    Fault(
        "rows without an order",
        "rows without a match are emitted by time, left first, then by key",
        "processing/operators/stream_joins.py",
        "        ended.sort(key=lambda each: each[:3])\n",
        "",
        "unit/processing/runtime/test_cases_of_kafka.py::"
        "test_rows_without_a_match_come_left_and_right_in_the_order_of_their_times",
    ),
    Fault(
        "a held row that is late",
        "a row without a match is in time for the next step",
        "processing/operators/stream_joins.py",
        "rows, times_ms, origins, None, source, held_times_ms=list(times_ms))",
        "rows, times_ms, origins, None, source)",
        "unit/processing/runtime/test_joins_of_streams.py::"
        "test_joins_chain_and_held_rows_are_in_time_for_the_next_join_and_window",
    ),
    Fault(
        "a record without a key that is lost",
        "a left or outer join emits a record without a key at once",
        "processing/operators/stream_joins.py",
        "                indexes.append(index)\n                others.append(None)\n",
        "                continue\n                others.append(None)\n",
        "unit/processing/runtime/test_joins_of_streams.py::"
        "test_a_record_without_a_key_has_no_match_and_comes_at_once",
    ),
    Fault(
        "values exchanged where the right comes later",
        "the function of a join gets the left value first",
        "processing/operators/stream_joins.py",
        "return function(None if other is None else left_value(other), value)",
        "return function(value, None if other is None else left_value(other))",
        "unit/processing/runtime/test_cases_of_kafka.py::test_two_streams_in_turn",
    ),
    Fault(
        "rows of a join that are kept for ever",
        "rows leave the store when no record can meet them",
        "processing/topology/joins.py",
        "TimeWindows(self.bucket_ms, self.bucket_ms, self.grace_ms, self.held_ms)",
        "TimeWindows(self.bucket_ms, self.bucket_ms, self.grace_ms, None)",
        "unit/processing/runtime/test_joins_of_streams.py::"
        "test_rows_leave_the_stores_when_no_record_can_meet_them",
    ),
    Fault(
        "rows that are believed to be in memory",
        "a join reads the rows that are not in memory, as after a restart",
        "state/row_store.py",
        "        return start_ms >= self._whole_from_ms\n",
        "        return True\n",
        "unit/processing/runtime/test_joins_of_streams.py::"
        "test_a_record_that_has_met_another_is_never_emitted_alone_even_after_a_crash",
    ),
    Fault(
        "only the first chunk of a key's rows",
        "a key with many rows has them all after a restart",
        "state/row_store.py",
        "            while len(values[-1]) >= CHUNK_BYTES:\n",
        "            while False:\n",
        "unit/state/test_row_store.py::test_the_cost_of_a_commit_does_not_grow_with_the_rows_of_a_key",
    ),
    Fault(
        "a mark in a closed chunk that is not written",
        "a row of a key with many rows that has met another is never emitted alone, also after a restart",
        "state/row_store.py",
        "            yield number, encode(self.closed[number])\n",
        "            pass\n",
        "unit/state/test_row_store.py::test_a_row_that_changes_in_a_closed_chunk_is_written_again",
    ),
    Fault(
        "a row in no chunk",
        "rows that come after the first chunk of a key was closed are kept",
        "state/row_store.py",
        "            add_row(chunks.open, row)\n",
        "            pass\n",
        "unit/state/test_row_store.py::test_the_store_keeps_what_a_plain_dict_keeps",
    ),
    Fault(
        "rows that meet only in memory",
        "a record meets the rows of its span that have left memory",
        "processing/operators/stream_joins.py",
        "            ranges.append((other, self.ahead_ms, self.back_ms))\n",
        "            pass\n",
        "unit/processing/runtime/test_joins_of_streams.py::"
        "test_a_record_that_has_met_another_is_never_emitted_alone_even_after_a_crash",
    ),
    Fault(
        "a table a record behind",
        "a join sees the table as of its record, changes of the same record included",
        "processing/operators/tables.py",
        "while next_origin <= origin:",
        "while next_origin < origin:",
        "unit/processing/runtime/test_derived_tables.py::test_a_table_joins_itself_and_its_own_aggregation",
    ),
    Fault(
        "a table as it was in no round",
        "a join sees the value from before the round until it changes",
        "processing/operators/tables.py",
        "self._before = {identity: before.get(identity) for identity in identities}",
        "self._before = {}",
        "unit/processing/runtime/test_derived_tables.py::test_a_join_of_tables_emits_the_change_of_its_row",
    ),
    Fault(
        "a history that ends too early",
        "the value as of a time is known for the history of the table",
        "processing/operators/versions.py",
        "            None if timestamp_ms + history_ms < time_ms else timestamp_ms\n",
        "            None if timestamp_ms + history_ms <= time_ms else timestamp_ms\n",
        "unit/processing/runtime/test_as_of_joins.py::"
        "test_records_of_one_batch_are_older_than_the_history_each_by_its_own_time",
    ),
    Fault(
        "a version of the round that comes after the record",
        "a record meets the versions that came before it in its round",
        "processing/operators/versions.py",
        "while of_key and of_key[-1][0] <= origin:",
        "while of_key:",
        "property/test_as_of_joins_against_plain_python.py::"
        "test_a_payment_meets_the_versions_that_came_before_it_in_its_round",
    ),
    Fault(
        "an older version of the round",
        "of the versions from before the round and of the round the newest at the time counts",
        "processing/operators/versions.py",
        "(version is None or version.time_ms <= newer.time_ms)",
        "True",
        "property/test_as_of_joins_against_plain_python.py::"
        "test_a_payment_meets_the_versions_that_came_before_it_in_its_round",
    ),
    Fault(
        "a version before the horizon that is taken for another",
        "a version with a time before the history replaces what is known, or is left out",
        "processing/operators/versions.py",
        "version.time_ms < horizon_ms for version, horizon_ms in zip(versions, horizons_ms, strict=True)",
        "False for _ in versions",
        "property/test_as_of_joins_against_plain_python.py::"
        "test_a_payment_meets_the_versions_that_came_before_it_in_its_round",
    ),
    Fault(
        "a horizon ahead of the history",
        "versions are kept for the history of the table",
        "processing/topology/versions.py",
        "return max(0, self.start_of(watermark_ms - behind_ms - self.history_ms))",
        "return max(0, self.start_of(watermark_ms))",
        "unit/processing/runtime/test_as_of_joins.py::test_a_record_meets_the_value_that_held_at_its_time",
    ),
    Fault(
        "an inner join without a table value",
        "an inner join emits only records with a table value",
        "processing/operators/tables.py",
        "        if not self._left and not all(flags):\n            batch = batch.where(flags)\n",
        "        if False:\n            batch = batch.where(flags)\n",
        "unit/processing/runtime/test_cases_of_kafka.py::test_a_stream_and_a_table_in_turn",
    ),
    Fault(
        "the sides of a join of tables exchanged",
        "the function of a join of tables gets the left value first",
        "processing/operators/derived_tables.py",
        "return function(other, own) if is_right else function(own, other)",
        "return function(own, other)",
        "unit/processing/runtime/test_derived_tables.py::test_a_join_of_tables_emits_the_change_of_its_row",
    ),
    Fault(
        "a table that is read at the end of the round",
        "each half of a join of tables reads the other table as of the change",
        "processing/operators/derived_tables.py",
        "        if self._history is None:\n            others",
        "        if True:\n            others",
        "unit/processing/runtime/test_derived_tables.py::test_a_join_of_tables_emits_the_change_of_its_row",
    ),
    Fault(
        "a deletion of what is not there",
        "a derived table emits no deletion of a row that is not there",
        "processing/operators/derived_tables.py",
        "value is not None or old is not None for value, old",
        "True for value, old",
        "unit/processing/runtime/test_derived_tables.py::test_a_join_of_tables_emits_the_change_of_its_row",
    ),
    Fault(
        "a bound of the span that is exclusive among many rows",
        "both bounds of the span of a join are inclusive, however many rows a key has",
        "processing/operators/stream_joins.py",
        "bisect_right(rows, last_ms, lo=start, key=time_of)",
        "bisect_left(rows, last_ms, lo=start, key=time_of)",
        "unit/processing/runtime/test_joins_of_streams.py::"
        "test_both_bounds_of_the_span_are_inclusive_among_many_rows_of_a_key",
    ),
    Fault(
        "versions of equal times that are both kept",
        "the later of two versions of one time replaces the earlier",
        "processing/topology/versions.py",
        "    if index and versions[index - 1].time_ms == version.time_ms:",
        "    if False:",
        "unit/processing/topology/test_versions.py::test_a_version_replaces_the_one_of_its_time",
    ),
)
