"""A round of a task: the records that the task takes at once from all its inputs, in the order of events.

The order is by partition time, lowest first; of equal partition times the records of the input with the
lowest rank come first, and of one input the order of its partition. A record's *origin* is its place in this
order, so origins of batches from different inputs can be compared: steps that meet records of several inputs
restore the order of events by them.

The watermark of a task is the least time of the inputs that hold it: no record that comes later can be in
time for a window that ends before. The time of an input is its partition time; of a repartition topic it is
what the tasks that write it say (``topology/marks.py``). An input that has had no record yet does not hold
the watermark, nor does an idle one (``idle.py``).
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Container, Iterable, Sequence
from itertools import accumulate, repeat
from typing import overload

from streamcore.model import Offset, Record, TopicName
from streamcore.processing.operators.batch import Batch
from streamcore.processing.operators.guard import Guard
from streamcore.processing.runtime.inputs import QueueSlice, RecordQueue
from streamcore.processing.topology.error_policy import ErrorPolicy
from streamcore.processing.topology.marks import NOT_KNOWN
from streamcore.processing.topology.times import NO_TIME


class Round:
    """Consecutive records of each of some inputs of a task, as the source of batches."""

    __slots__ = ("_order", "_origins", "_starts", "partition_times_ms", "queues", "slices")

    def __init__(self, queues: Sequence[RecordQueue], slices: Sequence[QueueSlice]) -> None:
        """Create a round of the records taken from queues, which are in the order of their ranks."""
        self.queues = queues
        self.slices = slices
        self.partition_times_ms: Sequence[int] = slices[0].partition_times_ms
        self._origins: list[Sequence[int]] = [range(len(slices[0]))]
        self._starts = [0]
        self._order: list[int] | None = None
        if len(slices) > 1:
            self._merge()

    def _merge(self) -> None:
        times_ms = [time_ms for taken in self.slices for time_ms in taken.partition_times_ms]
        # The sort is stable, and fast on parts that are sorted already.
        order = sorted(range(len(times_ms)), key=times_ms.__getitem__)
        places = [0] * len(order)
        for place, index in enumerate(order):
            places[index] = place
        self.partition_times_ms = [times_ms[index] for index in order]
        self._order = order
        self._starts = list(accumulate((len(taken) for taken in self.slices), initial=0))[:-1]
        self._origins = [
            places[start : start + len(taken)] for start, taken in zip(self._starts, self.slices, strict=True)
        ]

    def __len__(self) -> int:
        return len(self.partition_times_ms)

    def batch(self, number: int, guard: Guard) -> Batch:
        """Return the records of one input that decode; the guard decides about the others."""
        return self.slices[number].batch(guard, self, self._origins[number])

    def record_at(self, origin: int) -> Record[bytes | None, bytes | None]:
        """Return the record as the log holds it."""
        number, index = self._found(origin)
        return self.slices[number].record_at(index)

    def places_at(
        self, origins: Sequence[int]
    ) -> tuple[Iterable[TopicName], Iterable[int], Iterable[Offset]]:
        """Return topic, partition and offset of each of these records, as columns."""
        if self._order is None:
            taken = self.slices[0]
            return repeat(taken.partition.topic), repeat(taken.partition.partition), taken.offsets_at(origins)
        records = [self.record_at(origin) for origin in origins]
        return (
            [record.topic for record in records],
            [record.partition for record in records],
            [record.offset for record in records],
        )

    def policy_at(self, origin: int) -> ErrorPolicy | None:
        """Return the policy of the record's topic, if the topic declares one."""
        return self.slices[self._found(origin)[0]].on_error

    def origins_of(self, number: int) -> Sequence[int]:
        """Return the places of the records of one input."""
        return self._origins[number]

    def input_numbers(self) -> list[int]:
        """Return for each place the number of the input in this round that its record came from."""
        found = [0] * len(self)
        for number, origins in enumerate(self._origins):
            for origin in origins:
                found[origin] = number
        return found

    def counts_before(self, end: int) -> list[int]:
        """Return for each input the number of its records before a place."""
        return [bisect_left(origins, end) for origins in self._origins]

    @property
    def mark_count(self) -> int:
        """The number of places that are no records but marks."""
        return sum(taken.mark_count for taken in self.slices)

    def done(self, end: int) -> None:
        """Move the positions of the inputs past the records before a place: these are done."""
        for queue, taken, count in zip(self.queues, self.slices, self.counts_before(end), strict=True):
            queue.done(taken, count)

    def _found(self, origin: int) -> tuple[int, int]:
        if self._order is None:
            return 0, origin
        index = self._order[origin]
        number = len(self._starts) - 1
        while self._starts[number] > index:
            number -= 1
        return number, index - self._starts[number]


class _Times(Sequence[int]):
    """Gives each origin of a time advance the time that it is."""

    @overload
    def __getitem__(self, origin: int) -> int: ...
    @overload
    def __getitem__(self, origin: slice) -> Sequence[int]: ...
    def __getitem__(self, origin: int | slice) -> int | Sequence[int]:
        if isinstance(origin, slice):
            raise TypeError("a time advance has no records to cut")
        return origin

    def __len__(self) -> int:
        return 0


class TimeAdvance:
    """The source of results that the passing of time causes: it stands for no record.

    An origin is a time that the watermark passes, so the results of several tasks are merged by time.
    """

    partition_times_ms: Sequence[int] = _Times()

    def record_at(self, origin: int) -> Record[bytes | None, bytes | None]:
        """Return a record without key and value, at a time that the watermark passed."""
        return Record(None, None, origin)

    def places_at(
        self, origins: Sequence[int]
    ) -> tuple[Iterable[TopicName], Iterable[int], Iterable[Offset]]:
        """Return no topic, and partition and offset -1."""
        return repeat(""), repeat(-1), repeat(-1)

    def policy_at(self, origin: int) -> ErrorPolicy | None:
        """Return ``None``: no topic has declared a policy for it."""
        return None


class TaskTime:
    """The watermark of a task, and its advance within the current round."""

    def __init__(self, watermark_ms: int, holding: Sequence[RecordQueue] = ()) -> None:
        """Create the time of a task; ``holding`` are the inputs that hold the watermark."""
        self.watermark_ms = watermark_ms
        """The watermark after the current round, or after its records that are done."""
        self.floor_ms = watermark_ms
        """The watermark before them: a window that was closed then takes no more records."""
        self.order_ms = max([watermark_ms, *(queue.record_time_ms for queue in holding)])
        """The highest time of a record of the inputs that hold the watermark; the watermark if it is later.

        In contrast to the watermark behind marks, it is reached at a definite place among the records.
        """
        self.order_floor_ms = self.order_ms
        """The same before the current round."""
        self._orders_ms: Sequence[int] | None = None
        self._holding = holding
        self._round: Round | None = None
        self._start = self._end = 0
        self._before: dict[int, int] = {}
        self._watermarks_ms: Sequence[int] | None = None

    def advance(self, taken: Round, start: int, end: int) -> None:
        """Move over the records of a round from one place to another, which are being done."""
        self.floor_ms, self.order_floor_ms = self.watermark_ms, self.order_ms
        self._round, self._start, self._end, self._watermarks_ms = taken, start, end, None
        self._orders_ms = None
        self._before = {id(queue): queue.time_ms for queue in self._holding if not queue.is_left_behind}
        if any(queue.has_marks for queue in taken.queues):
            # With marks the time of an input can fall: a task that was idle goes on.
            self._watermarks_ms = self._watermarks(taken)
            self._move_to(self._watermarks_ms[-1])
            self._move_order(taken)
            return
        times_ms = dict(self._before)
        counts = taken.counts_before(end)
        first = taken.counts_before(start)
        for number, queue in enumerate(taken.queues):
            if counts[number] > first[number] and queue in self._holding:
                times_ms[id(queue)] = taken.slices[number].partition_times_ms[counts[number] - 1]
        self._move_to(_least(times_ms))
        self._move_order(taken)

    def advance_to(self, watermark_ms: int) -> None:
        """Move without records; never back."""
        self.floor_ms, self.order_floor_ms = self.watermark_ms, self.order_ms
        self._round = None
        self._move_to(watermark_ms)
        self.order_ms = max(self.order_ms, self.watermark_ms)

    def end_round(self) -> None:
        """Release the round, which is done: the next fetch can use the memory of its records."""
        self._round = self._watermarks_ms = None

    def without_idle(self) -> int:
        """Return the least time of the inputs that are not idle; if all are idle, the highest time."""
        times_ms = {id(queue): queue.time_ms for queue in self._holding if not queue.is_left_behind}
        if times_ms:
            return _least(times_ms)
        return max((queue.time_ms for queue in self._holding), default=NO_TIME)

    def progress(self, topics: Container[str] | None) -> tuple[int, bool] | None:
        """Return how far some inputs are, and whether none of them is waited for; ``None``: not known yet.

        Args:
            topics: the names of the inputs; ``None`` for all, whose time is the watermark.
        """
        inputs = [queue for queue in self._holding if topics is None or queue.partition.topic in topics]
        if not all(queue.is_known for queue in inputs):
            return None
        waited_for = [queue.time_ms for queue in inputs if not queue.is_left_behind]
        if topics is None:
            return self.watermark_ms, not waited_for
        time_ms = min(waited_for) if waited_for else max(queue.time_ms for queue in inputs)
        return time_ms, not waited_for

    def place_reaching(self, time_ms: int) -> int:
        """Return the place of the record with which the watermark reached a time; in an advance, the time."""
        if self._round is None:
            return min(max(time_ms, self.floor_ms), self.watermark_ms)
        if self._watermarks_ms is None:
            self._watermarks_ms = self._watermarks(self._round)
        found = self._start + bisect_left(self._watermarks_ms, time_ms)
        return min(found, self._end - 1)

    def watermarks_before(self, origins: Sequence[int]) -> list[int]:
        """Return the watermark before each of these records of the round."""
        if self._round is None:
            return [max(self.floor_ms, time_ms - 1) for time_ms in origins]
        if self._watermarks_ms is None:
            self._watermarks_ms = self._watermarks(self._round)
        before_ms = [self.floor_ms, *(max(self.floor_ms, time_ms) for time_ms in self._watermarks_ms)]
        return [before_ms[origin - self._start] for origin in origins]

    def order_place_reaching(self, time_ms: int) -> int:
        """Return the place of the record with which ``order_ms`` reached a time; in an advance, the time."""
        if self._round is None:
            return min(max(time_ms, self.order_floor_ms), self.order_ms)
        if self._orders_ms is None:
            self._orders_ms = self._orders(self._round)
        found = self._start + bisect_left(self._orders_ms, time_ms)
        return min(found, self._end - 1)

    def places_behind(self, interval_of: Callable[[int], int]) -> Container[int]:
        """Return the places of the round without a record, and of records in an interval that had ended.

        Args:
            interval_of: returns the number of the interval that has begun at a time.
        """
        taken = self._round
        if taken is None:
            return range(2**63)
        is_alone = len(taken.queues) == 1 and list(taken.queues) == list(self._holding)
        if is_alone and not taken.mark_count and taken.slices[0].is_in_order:
            return ()
        if self._orders_ms is None:
            self._orders_ms = self._orders(taken)
        found = set()
        counts, numbers = taken.counts_before(self._start), taken.input_numbers()
        sources = [iter(each.sources_ms[count:]) for each, count in zip(taken.slices, counts, strict=True)]
        for place, order_ms in enumerate(self._orders_ms, self._start):
            source_ms = next(sources[numbers[place]])
            if source_ms is None or interval_of(source_ms) < interval_of(order_ms):
                found.add(place)
        return found or ()

    def _move_order(self, taken: Round) -> None:
        counts = taken.counts_before(self._end)
        first = taken.counts_before(self._start)
        reached_ms = [
            each.record_time_ms(count - 1)
            for queue, each, count, before in zip(taken.queues, taken.slices, counts, first, strict=True)
            if count > before and queue in self._holding
        ]
        self.order_ms = max([self.order_ms, self.watermark_ms, *reached_ms])

    def _orders(self, taken: Round) -> Sequence[int]:
        """Return ``order_ms`` after each of the records that are being done."""
        if self._watermarks_ms is None:
            self._watermarks_ms = self._watermarks(taken)
        if len(taken.queues) == 1 and not taken.queues[0].has_marks:
            records_ms: Sequence[int] = self._watermarks_ms
            if taken.queues[0] in self._holding:
                records_ms = taken.partition_times_ms[self._start : self._end]
        else:
            first, numbers = taken.counts_before(self._start), taken.input_numbers()
            times_ms = [
                iter(each.record_times_ms[count:]) if queue in self._holding else repeat(NO_TIME)
                for queue, each, count in zip(taken.queues, taken.slices, first, strict=True)
            ]
            records_ms = [next(times_ms[number]) for number in numbers[self._start : self._end]]
        times = map(max, records_ms, self._watermarks_ms)
        return list(accumulate(times, max, initial=self.order_floor_ms))[1:]

    def _watermarks(self, taken: Round) -> Sequence[int]:
        """Return the watermark after each of the records that are being done."""
        is_alone = len(taken.queues) == 1 and list(taken.queues) == list(self._holding)
        if is_alone and not taken.queues[0].has_marks:
            return taken.partition_times_ms[self._start : self._end]
        found: list[int] = []
        watermark_ms = self.floor_ms
        if is_alone:
            for time_ms, count in taken.slices[0].steps(self._start, self._end):
                if time_ms != NOT_KNOWN:
                    watermark_ms = max(watermark_ms, time_ms)
                found += [watermark_ms] * count
            return found
        latest = dict(self._before)
        for place, queue, time_ms in self._steps(taken):
            found += [watermark_ms] * (place - self._start - len(found))
            latest[queue] = time_ms
            watermark_ms = max(watermark_ms, _least(latest))
        return found + [watermark_ms] * (self._end - self._start - len(found))

    def _steps(self, taken: Round) -> list[tuple[int, int, int]]:
        """Return where the time of an input changes: place, id of the input, time; in the order of places."""
        counts = zip(taken.counts_before(self._start), taken.counts_before(self._end), strict=True)
        steps: list[tuple[int, int, int]] = []
        for number, (first, end) in enumerate(counts):
            queue, index = taken.queues[number], first
            if queue in self._holding:
                for time_ms, count in taken.slices[number].steps(first, end):
                    steps.append((taken.origins_of(number)[index], id(queue), time_ms))
                    index += count
        return sorted(steps)

    def _move_to(self, watermark_ms: int) -> None:
        self.watermark_ms = max(self.watermark_ms, watermark_ms)


def _least(times_ms: dict[int, int]) -> int:
    """Return the least time of inputs that have had a record with a time; ``NO_TIME`` if there is none, or if
    the time of one is not known.
    """
    least_ms = min((time_ms for time_ms in times_ms.values() if time_ms != NO_TIME), default=NO_TIME)
    return NO_TIME if least_ms == NOT_KNOWN else least_ms


class HeldTime:
    """The watermark of a task as a step sees it that gets records which another step has held back."""

    def __init__(self, time: TaskTime, held_ms: int) -> None:
        self._time = time
        self._held_ms = held_ms

    @property
    def watermark_ms(self) -> int:
        """The watermark after the current round."""
        return self._time.watermark_ms - self._held_ms

    @property
    def floor_ms(self) -> int:
        """The watermark before the current round."""
        return self._time.floor_ms - self._held_ms

    def place_reaching(self, time_ms: int) -> int:
        """Return the place of the record with which the watermark reached a time."""
        return self._time.place_reaching(time_ms + self._held_ms)

    def watermarks_before(self, origins: Sequence[int]) -> list[int]:
        """Return the watermark before each of these records of the round."""
        return [time_ms - self._held_ms for time_ms in self._time.watermarks_before(origins)]


class OrderTime:
    """The time by which intervals end, as ``HeldTime`` the watermark: ``TaskTime.order_ms``."""

    def __init__(self, time: TaskTime, held_ms: int) -> None:
        self._time = time
        self._held_ms = held_ms

    @property
    def watermark_ms(self) -> int:
        """The time after the current round."""
        return self._time.order_ms - self._held_ms

    @property
    def floor_ms(self) -> int:
        """The time before the current round."""
        return self._time.order_floor_ms - self._held_ms

    def place_reaching(self, time_ms: int) -> int:
        """Return the place of the record with which the time was reached."""
        return self._time.order_place_reaching(time_ms + self._held_ms)

    def places_behind(self, interval_of: Callable[[int], int]) -> Container[int]:
        """Return the places of the round without a record, and of records in an interval that had ended."""
        return self._time.places_behind(lambda time_ms: interval_of(time_ms - self._held_ms))
