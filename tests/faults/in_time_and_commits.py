"""Faults in the order of inputs, in the watermark, and in commits and restores."""

from __future__ import annotations

from typing import Final

from tests.faults.fault import Fault

FAULTS: Final = (
    Fault(
        "inputs one after the other",
        "a task takes the record with the lowest partition time first",
        "processing/runtime/rounds.py",
        "order = sorted(range(len(times_ms)), key=times_ms.__getitem__)",
        "order = list(range(len(times_ms)))",
        "unit/processing/runtime/test_rounds.py::"
        "test_records_of_several_inputs_are_in_the_order_of_their_partition_times",
    ),
    Fault(
        "the watermark of the fastest input",
        "the watermark is the least time of the inputs",
        "processing/runtime/rounds.py",
        "least_ms = min((time_ms for time_ms in times_ms.values() if time_ms != NO_TIME), default=NO_TIME)",
        "least_ms = max((time_ms for time_ms in times_ms.values() if time_ms != NO_TIME), default=NO_TIME)",
        "unit/processing/runtime/test_late_records.py::"
        "test_a_window_over_two_inputs_closes_when_both_have_passed_it",
    ),
    Fault(
        "a table that holds windows open",
        "a topic that is read as a table does not hold the watermark back",
        "processing/runtime/task.py",
        "zip(inputs, self._entries, strict=True) if entry.holds_time]",
        "zip(inputs, self._entries, strict=True)]",
        "unit/processing/runtime/test_late_records.py::"
        "test_a_topic_that_is_only_a_table_does_not_hold_windows",
    ),
    Fault(
        "a place one record too late",
        "windows close with the record that moves the watermark past their end",
        "processing/runtime/rounds.py",
        "found = self._start + bisect_left(self._watermarks_ms, time_ms)",
        "found = self._start + bisect_left(self._watermarks_ms, time_ms) + 1",
        "unit/processing/runtime/test_rounds.py::test_the_watermark_of_one_input_moves_with_each_record",
    ),
    Fault(
        "a step that does not see what is held",
        "a step behind one that holds records back closes its windows later by as much",
        "processing/runtime/rounds.py",
        "return self._time.watermark_ms - self._held_ms",
        "return self._time.watermark_ms",
        "unit/processing/runtime/test_cases_of_kafka.py::"
        "test_windows_of_final_results_close_when_no_such_result_can_come",
    ),
    Fault(
        "a watermark that goes back",
        "the watermark never goes back",
        "processing/runtime/rounds.py",
        "self.watermark_ms = max(self.watermark_ms, watermark_ms)",
        "self.watermark_ms = watermark_ms",
        "unit/processing/runtime/test_rounds.py::"
        "test_an_idle_input_does_not_hold_the_watermark_and_its_next_record_brings_it_back",
    ),
    Fault(
        "an idle input that still holds",
        "an input that is silent for idle_after does not hold the watermark",
        "processing/runtime/inputs.py",
        "return self.is_idle or self.time_ms == NO_TIME",
        "return self.time_ms == NO_TIME",
        "unit/processing/runtime/test_late_records.py::test_a_silent_input_holds_windows_for_a_second",
    ),
    Fault(
        "an input that stays idle",
        "the next record of an idle input brings it back",
        "processing/runtime/inputs.py",
        "        self.is_idle = False\n        end = self._cursor + count\n",
        "        end = self._cursor + count\n",
        "unit/processing/runtime/test_rounds.py::"
        "test_an_idle_input_does_not_hold_the_watermark_and_its_next_record_brings_it_back",
    ),
    Fault(
        "time that moves while one input is not silent",
        "time follows the clock only while all inputs are silent",
        "processing/runtime/idle.py",
        "is_silent = all(",
        "is_silent = any(",
        "unit/processing/runtime/test_idle.py::"
        "test_the_watermark_follows_the_clock_only_from_the_last_record_of_any_input",
    ),
    Fault(
        "idle a millisecond late",
        "an input is idle after idle_after of silence",
        "processing/runtime/idle.py",
        "now_ms - silence.last_record_ms >= silence.idle_after_ms",
        "now_ms - silence.last_record_ms > silence.idle_after_ms",
        "unit/processing/runtime/test_idle.py::test_an_input_without_records_is_idle_when_its_time_is_over",
    ),
    Fault(
        "time from the first silence",
        "time follows the clock from the last record of any input",
        "processing/runtime/idle.py",
        "now_ms - max(each.last_record_ms for each in watched.inputs)",
        "now_ms - min(each.last_record_ms for each in watched.inputs)",
        "unit/processing/runtime/test_idle.py::"
        "test_the_watermark_follows_the_clock_only_from_the_last_record_of_any_input",
    ),
    Fault(
        "a restart that forgets the watermark",
        "a window that has closed stays closed after a restart",
        "processing/runtime/commit.py",
        "return InputNote(task.time.watermark_ms, queue.partition_time_ms, record_time_ms, queue.marks)",
        "return InputNote(NO_TIME, queue.partition_time_ms, record_time_ms, queue.marks)",
        "unit/processing/runtime/test_late_records.py::"
        "test_a_restart_knows_which_windows_have_closed_and_which_records_are_late",
    ),
    Fault(
        "offsets outside of the transaction",
        "each record counts once, whatever crashes",
        "processing/runtime/commit.py",
        "            transaction.commit_offsets(group, positions, membership=membership)\n",
        "            pass\n",
        "unit/processing/runtime/test_commit.py::"
        "test_a_commit_writes_everything_and_a_second_one_has_no_work",
    ),
    Fault(
        "a changelog that is not written",
        "a table is restored from its changelog",
        "processing/runtime/commit.py",
        "            _append_changelogs(transaction, change, now_ms)\n",
        "            pass\n",
        "unit/processing/runtime/test_commit.py::"
        "test_a_commit_writes_everything_and_a_second_one_has_no_work",
    ),
    Fault(
        "a store that is stamped before its writes",
        "a store that is behind its changelog is restored",
        "processing/runtime/commit.py",
        "        [writes for _, writes in change.drained],\n        changelog.checkpoints",
        "        [],\n        changelog.checkpoints",
        "simulation/test_application_simulation.py::test_crashes_change_nothing",
    ),
    Fault(
        "outputs that stay after the commit",
        "outputs appear once",
        "processing/runtime/commit.py",
        "    for outputs in written:\n        outputs.clear()\n",
        "",
        "unit/processing/runtime/test_commit.py::"
        "test_a_commit_writes_everything_and_a_second_one_has_no_work",
    ),
    Fault(
        "a restore that leaves tombstones out",
        "a row that was deleted does not come back with a restore",
        "state/restore.py",
        "        return zip(keys, values, strict=True)\n\n    def _apply",
        "        return (pair for pair in zip(keys, values, strict=True) if pair[1] is not None)\n"
        "\n"
        "    def _apply",
        "unit/state/test_restore.py::test_a_store_that_is_behind_gets_the_tail_alone",
    ),
    Fault(
        "a restore that does not reach the end",
        "a restored table has the last change of its changelog",
        "state/restore.py",
        "        self._apply(newest, plan.end)\n",
        "        self._apply({}, plan.end)\n",
        "unit/state/test_restore.py::test_a_store_that_is_behind_gets_the_tail_alone",
    ),
    Fault(
        "an old store that is believed",
        "a store of another log, or of a topic that was made anew, is not used",
        "state/restoring.py",
        "    if checkpoint.topic_id != changelog.topic_id:\n",
        "    if False:\n",
        "unit/state/test_restoring.py::test_a_checkpoint_of_another_incarnation_means_nothing",
    ),
    Fault(
        "a restore that reads too much",
        "a table that follows a topic is not ahead of the task's position",
        "state/restore.py",
        "            yield columns if position <= plan.end else _cut(columns, plan.end)",
        "            yield columns",
        "unit/state/test_restore.py::test_a_table_that_follows_a_topic_stops_where_the_task_reads_on",
    ),
    Fault(
        "a time without records that is not committed",
        "a window that closed with the clock is closed after a restart too",
        "processing/runtime/commit.py",
        "            or self.task.time.watermark_ms != self.committed_time_ms\n",
        "",
        "unit/processing/runtime/test_late_records.py::"
        "test_a_window_that_closed_with_the_clock_stays_closed_after_a_restart",
    ),
    Fault(
        "a restart that forgets the stream time",
        "a record that is late is late after a restart too",
        "processing/runtime/commit.py",
        "return InputNote(task.time.watermark_ms, queue.partition_time_ms, record_time_ms, queue.marks)",
        "return InputNote(task.time.watermark_ms, NO_TIME, record_time_ms, queue.marks)",
        "unit/processing/runtime/test_late_records.py::"
        "test_a_restart_knows_the_time_of_a_partition_that_is_ahead_of_another",
    ),
    Fault(
        "an event undone that leaves a value in the cache",
        "a key that an event wrote first is not there once the event is undone",
        "state/write_back.py",
        "                self._cache.set_absent(key)\n            else:",
        "                pass\n            else:",
        "unit/state/test_write_back.py::test_undoing_an_event_takes_back_a_key_that_was_not_there",
    ),
)
