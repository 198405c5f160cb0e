"""The right answers of the fleet, computed by DuckDB over the same events: what the tables must equal."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import duckdb
import msgspec

from apps.fleet.events import Flight, Plane

HOUR_MS = 3_600_000

HOURLY_SQL = """
    SELECT origin, ts // 3600000 * 3600000 AS hour_ms,
           count(dep_delay), coalesce(sum(dep_delay), 0)::BIGINT, max(dep_delay),
           count(*) FILTER (event = 'cancelled')
    FROM flights WHERE event <> 'landed' GROUP BY ALL
"""

LAST_SQL = """
    SELECT tailnum, last(event ORDER BY seq), last(ts ORDER BY seq), last(flight ORDER BY seq),
           last(CASE event WHEN 'landed' THEN dest ELSE origin END ORDER BY seq)
    FROM flights WHERE tailnum IS NOT NULL GROUP BY tailnum
"""

MAKER_SQL = """
    SELECT coalesce(manufacturer, '') AS maker, count(*), coalesce(sum(seats), 0)::BIGINT
    FROM flights LEFT JOIN planes USING (tailnum) WHERE event = 'departed' GROUP BY maker
"""

FLIGHT_TYPES = (
    "{'ts': 'BIGINT', 'event': 'VARCHAR', 'flight': 'VARCHAR', 'carrier': 'VARCHAR', 'tailnum': 'VARCHAR', "
    "'origin': 'VARCHAR', 'dest': 'VARCHAR', 'sched_ts': 'BIGINT', 'dep_delay': 'BIGINT', "
    "'arr_delay': 'BIGINT', 'distance': 'BIGINT', 'seq': 'BIGINT'}"
)
PLANE_TYPES = (
    "{'tailnum': 'VARCHAR', 'manufacturer': 'VARCHAR', 'model': 'VARCHAR', 'year': 'BIGINT', "
    "'seats': 'BIGINT'}"
)


@dataclass(frozen=True, slots=True)
class Answers:
    """Rows of the three tables, keys first, sorted by their keys."""

    hourly: list[tuple[str, int, int, int, int | None, int]]
    last: list[tuple[str, str, int, str, str]]
    by_maker: list[tuple[str, int, int]]


def answers_of_duckdb(flights: Iterable[Flight], planes: Iterable[Plane], folder: Path) -> Answers:
    """Compute all three answers; the events travel through files of JSON lines in ``folder``."""
    encode = msgspec.json.encode
    with (folder / "flights.jsonl").open("wb") as lines:
        for seq, flight in enumerate(flights):
            lines.write(encode(flight)[:-1] + b',"seq":%d}\n' % seq)
    with (folder / "planes.jsonl").open("wb") as lines:
        lines.writelines(encode(plane) + b"\n" for plane in planes)
    with duckdb.connect() as database:
        for name, types in (("flights", FLIGHT_TYPES), ("planes", PLANE_TYPES)):
            database.execute(
                f"CREATE TABLE {name} AS SELECT * FROM read_json("
                f"'{folder / name}.jsonl', format = 'newline_delimited', columns = {types})"
            ).fetchall()
        hourly, last, by_maker = (
            sorted(database.execute(sql).fetchall(), key=lambda row: row[:2])
            for sql in (HOURLY_SQL, LAST_SQL, MAKER_SQL)
        )
    return Answers(hourly, last, by_maker)
