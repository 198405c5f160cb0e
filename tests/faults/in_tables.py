"""Faults in tables, aggregations and retraction."""

from __future__ import annotations

from typing import Final

from tests.faults.fault import Fault

FAULTS: Final = (
    Fault(
        "a tombstone of a topic that is dropped",
        "None deletes a row",
        "processing/operators/tables.py",
        "    newest = dict(zip(identities, values, strict=True))\n    store.put_many(",
        "    newest = {key: row for key, row in zip(identities, values, strict=True) if row is not None}\n"
        "    store.put_many(",
        "unit/processing/runtime/test_derived_tables.py::test_a_join_of_tables_emits_the_change_of_its_row",
    ),
    Fault(
        "a row that no longer passes and stays",
        "a row that no longer passes a filter is deleted behind it",
        "processing/operators/derived_tables.py",
        "[value if flag is not negated else None for value, flag in zip(rest.values, flags, strict=True)]",
        "[value for value in rest.values]",
        "unit/processing/runtime/test_derived_tables.py::"
        "test_a_row_that_no_longer_passes_a_filter_is_deleted_behind_it",
    ),
    Fault(
        "the old value that is not taken back",
        "table.group_by takes back what a changed row added",
        "processing/operators/regrouping.py",
        "for key, change in regrouped(key_type, current[identity], row):",
        "for key, change in regrouped(key_type, None, row):",
        "unit/processing/runtime/test_grouped_tables.py::"
        "test_aggregations_follow_rows_that_change_move_and_go_through_a_crash",
    ),
    Fault(
        "a row that stays where it was",
        "a row that moves to another group leaves the one where it was",
        "processing/topology/retraction.py",
        "    return [(old[0], [removed]), (new[0], [added])]",
        "    return [(new[0], [removed, added])]",
        "unit/processing/runtime/test_grouped_tables.py::"
        "test_aggregations_follow_rows_that_change_move_and_go_through_a_crash",
    ),
    Fault(
        "a row that changes twice in a batch",
        "table.group_by takes back what the row added last",
        "processing/operators/regrouping.py",
        "            current[identity] = row\n",
        "            current.setdefault(identity, row)\n",
        "unit/processing/runtime/test_grouped_tables.py::"
        "test_aggregations_follow_rows_that_change_move_and_go_through_a_crash",
    ),
    Fault(
        "a deleted row that is kept for retraction",
        "a row that is deleted and comes again is taken back once",
        "processing/operators/regrouping.py",
        "        self._store.put_many(current)\n",
        "        self._store.put_many({key: row for key, row in current.items() if row is not None})\n",
        "unit/processing/runtime/test_grouped_tables.py::"
        "test_aggregations_follow_rows_that_change_move_and_go_through_a_crash",
    ),
    Fault(
        "a value that is added instead of taken back",
        "an aggregation of a table removes old values",
        "processing/topology/retraction.py",
        "return add(accumulator, value) if is_added else take_back(accumulator, value)",
        "return add(accumulator, value)",
        "unit/processing/runtime/test_grouped_tables.py::"
        "test_aggregations_follow_rows_that_change_move_and_go_through_a_crash",
    ),
    Fault(
        "the least value that never leaves",
        "min of a table is that of the rows which are there",
        "processing/topology/retraction.py",
        "        if all(is_added for is_added, _ in changes):\n",
        "        if True:\n",
        "unit/processing/runtime/test_grouped_tables.py::"
        "test_aggregations_follow_rows_that_change_move_and_go_through_a_crash",
    ),
    Fault(
        "None that is aggregated",
        "None values of an aggregation are left out",
        "processing/operators/groups.py",
        "is_there = [value is not None for value in ordered]",
        "is_there = [True] * len(ordered)",
        "unit/processing/runtime/test_aggregates.py::"
        "test_values_that_are_none_are_left_out_and_nothing_has_a_result",
    ),
    Fault(
        "a table that is never written",
        "a table is in its changelog after a commit",
        "processing/operators/aggregate.py",
        "                self._store.mark_dirty(groups)\n",
        "                pass\n",
        "unit/processing/runtime/test_aggregates.py::"
        "test_every_aggregate_survives_a_crash_and_is_written_as_json",
    ),
    Fault(
        "streams of a cogroup that add the same",
        "each stream of a cogroup adds by its own function",
        "processing/dsl/cogrouping.py",
        "return adds[number](accumulator, value)",
        "return adds[0](accumulator, value)",
        "unit/processing/runtime/test_cogroup.py::"
        "test_each_stream_adds_with_its_function_through_its_own_repartition_and_a_crash",
    ),
    Fault(
        "an accumulator that keys share",
        "each key of a cogroup has an accumulator of its own",
        "processing/dsl/cogrouping.py",
        "initial=initial if callable(initial) else CopyOf(initial),",
        "initial=initial if callable(initial) else lambda: initial,",
        "unit/processing/runtime/test_cogroup.py::"
        "test_keys_share_no_initial_accumulator_that_functions_change_in_place",
    ),
    Fault(
        "a branch that takes all",
        "a record goes to the first arm whose function is true",
        "processing/operators/stateless.py",
        "            waiting = waiting.where(others)\n",
        "",
        "unit/processing/runtime/test_streams_and_tables.py::"
        "test_branches_take_each_value_once_and_merge_restores_the_order_of_events",
    ),
    Fault(
        "paths that meet in the wrong order",
        "where paths meet again, records are in the order of events",
        "processing/operators/batch.py",
        "    return united.take(sorted(range(len(origins)), key=origins.__getitem__))",
        "    return united",
        "unit/processing/runtime/test_streams_and_tables.py::"
        "test_branches_take_each_value_once_and_merge_restores_the_order_of_events",
    ),
    Fault(
        "columns that a failing function shifts",
        "a record that fails leaves the others with their own keys",
        "processing/operators/aggregate.py",
        "                keys = [keys[index] for index in kept]\n",
        "",
        "unit/processing/runtime/test_aggregates.py::"
        "test_a_record_whose_function_fails_leaves_the_others_their_own_keys",
    ),
    Fault(
        "a failing result that is counted",
        "a record whose result fails leaves no trace in the table",
        "processing/operators/aggregate.py",
        "            result = self._result(new_state) if self._emits else None\n"
        "            states[key] = new_state\n",
        "            states[key] = new_state\n"
        "            result = self._result(new_state) if self._emits else None\n",
        "unit/processing/runtime/test_aggregates.py::test_a_record_whose_result_fails_is_not_in_the_table",
    ),
)
