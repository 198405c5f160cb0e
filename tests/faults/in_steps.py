"""Faults in steps that pass some records, and in processors."""

from __future__ import annotations

from typing import Final

from tests.faults.fault import Fault

FAULTS: Final = (
    Fault(
        "take one more",
        "take(n) passes n records of a key and span",
        "processing/operators/limits.py",
        "(passed := counts.get(place, 0)) < self._count:",
        "(passed := counts.get(place, 0)) <= self._count:",
        "unit/processing/runtime/test_limits.py::test_take_passes_the_first_records_of_each_key_and_span",
    ),
    Fault(
        "take that forgets at a restart",
        "take(n) passes n records of a key and span, also across a restart",
        "processing/operators/limits.py",
        "                changed.append(place)\n"
        "        self._store.mark_dirty(changed)\n"
        "        self._report_late",
        "                changed.append(place)\n        self._report_late",
        "unit/processing/runtime/test_limits.py::test_take_passes_the_first_records_of_each_key_and_span",
    ),
    Fault(
        "limits without grace",
        "a record is late for a limit when its span and grace are over",
        "processing/operators/limits.py",
        "return [end_ms + grace_ms > time_ms for",
        "return [end_ms > time_ms for",
        "unit/processing/runtime/test_limits.py::"
        "test_take_leaves_out_a_record_whose_span_and_grace_have_ended",
    ),
    Fault(
        "a limit that forgets the span before",
        "rate_limit counts in every span that holds the record, wherever it starts",
        "processing/operators/limits.py",
        "before = passed_times.get((key, start_ms - size_ms), ()) if start_ms else ()",
        "before: Sequence[int] = ()",
        "unit/processing/runtime/test_limits.py::test_no_span_has_more_records_than_the_rate_limit",
    ),
    Fault(
        "a limit that forgets the span behind",
        "rate_limit counts records out of order that are later",
        "processing/operators/limits.py",
        "behind = passed_times.get((key, start_ms + size_ms), ())",
        "behind: Sequence[int] = ()",
        "unit/processing/runtime/test_limits.py::"
        "test_a_record_out_of_order_counts_in_the_spans_before_and_behind_it",
    ),
    Fault(
        "a span with an inclusive end",
        "two records a span apart both pass",
        "processing/topology/limits.py",
        "if high_ms - low_ms < size_ms:",
        "if high_ms - low_ms <= size_ms:",
        "unit/processing/runtime/test_limits.py::test_no_span_has_more_records_than_the_rate_limit",
    ),
    Fault(
        "a limit that counts one neighbour less",
        "rate_limit looks at the records on both sides of one out of order",
        "processing/topology/limits.py",
        "for first in range(max(0, at - count), at + 1):",
        "for first in range(max(0, at - count), at):",
        "unit/processing/runtime/test_limits.py::"
        "test_a_record_out_of_order_counts_in_the_spans_before_and_behind_it",
    ),
    Fault(
        "a key that dedupe does not give back",
        "dedupe by a function passes records under their own keys",
        "processing/operators/limits.py",
        "return passed if self._key_serde is None else _under_own_keys(passed, self._key_serde)",
        "return passed",
        "unit/processing/runtime/test_limits.py::"
        "test_repeats_from_several_partitions_meet_and_records_keep_key_time_and_headers",
    ),
    Fault(
        "timers behind all records",
        "a timer comes before the record that is later than it",
        "processing/operators/processors.py",
        "                self._fire(made, source, before=origin)\n",
        "",
        "unit/processing/runtime/test_processors.py::"
        "test_timers_are_called_between_records_when_the_watermark_reaches_their_time",
    ),
    Fault(
        "a timer that is due a millisecond late",
        "a timer is due when the watermark reaches its time",
        "processing/operators/processors.py",
        "until_ms = self._time.watermark_ms + 1",
        "until_ms = self._time.watermark_ms",
        "unit/processing/runtime/test_processors.py::"
        "test_timers_are_called_between_records_when_the_watermark_reaches_their_time",
    ),
    Fault(
        "a timer that comes again",
        "a timer comes once, also across a restart",
        "processing/operators/processors.py",
        "        self._timers(timer.by_clock).delete_many((identity,))\n",
        "",
        "unit/processing/runtime/test_processors.py::"
        "test_timers_are_called_between_records_when_the_watermark_reaches_their_time",
    ),
    Fault(
        "a timer that cannot be cancelled",
        "a timer that is cancelled does not come",
        "processing/operators/processors.py",
        "            if identity in self._event_timers.load((identity,)):\n",
        "            if True:\n",
        "unit/processing/runtime/test_processors.py::"
        "test_a_timer_may_be_set_again_cancelled_and_set_to_a_time_that_has_passed",
    ),
    Fault(
        "a failed call that leaves its writes",
        "what a call wrote before it failed is undone",
        "processing/operators/processors.py",
        "                    store.rollback_event(journal)\n",
        "                    store.end_event()\n",
        "unit/processing/runtime/test_processors.py::"
        "test_what_a_failing_call_wrote_set_and_forwarded_is_undone",
    ),
    Fault(
        "a failed call that forwards",
        "what a call forwarded before it failed is dropped",
        "processing/operators/processors.py",
        "            made: list[Record[Any, Any]] = []\n            self._made = made\n",
        "            made = self._made\n",
        "unit/processing/runtime/test_processors.py::"
        "test_what_a_failing_call_wrote_set_and_forwarded_is_undone",
    ),
    Fault(
        "a timer that makes results late",
        "what a timer forwards is in time for the next window",
        "processing/operators/processors.py",
        "        held_times_ms=[held_ms for _, _, held_ms in made],\n",
        "",
        "unit/processing/runtime/test_processors.py::test_what_timers_forward_is_in_time_for_the_next_window",
    ),
    Fault(
        "timers of the clock that are read once",
        "a timer of the clock that a call sets comes when it is due",
        "processing/operators/processors.py",
        "self._clock_due_ms = time_ms if self._clock_due_ms is None else min(self._clock_due_ms, time_ms)",
        "pass",
        "unit/processing/runtime/test_processors.py::"
        "test_a_timer_of_the_clock_comes_before_one_that_was_set_earlier_for_later",
    ),
)
