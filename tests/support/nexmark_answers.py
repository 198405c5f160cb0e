"""The right answers of Nexmark's queries, computed by DuckDB over the same events.

Windowed queries leave out late records: those for which ``window end + grace`` is not above the stream time
of the record's partition, this record included. The partition of an event follows from the key with which it
is loaded, and its place in the partition from ``seq``. The sessions of q11 leave out none: which session a
late record would join depends on the order of all, so q11 is compared over events that are in time.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import duckdb
import msgspec

from apps.nexmark.events import BID
from streamcore.partitioning import partition_of_key

Rows = list[tuple[Any, ...]]

_TYPES: Final = {
    "event_type": "INTEGER",
    "seq": "BIGINT",
    "id": "BIGINT",
    "name": "VARCHAR",
    "emailAddress": "VARCHAR",
    "creditCard": "VARCHAR",
    "city": "VARCHAR",
    "state": "VARCHAR",
    "dateTime": "BIGINT",
    "extra": "VARCHAR",
    "itemName": "VARCHAR",
    "description": "VARCHAR",
    "initialBid": "BIGINT",
    "reserve": "BIGINT",
    "expires": "BIGINT",
    "seller": "BIGINT",
    "category": "BIGINT",
    "auction": "BIGINT",
    "bidder": "BIGINT",
    "price": "BIGINT",
    "channel": "VARCHAR",
    "url": "VARCHAR",
    "partition": "INTEGER",
}

_EVENTS: Final = """
    CREATE TABLE events AS
    SELECT *, max(dateTime) OVER (
        PARTITION BY event_type, partition ORDER BY seq ROWS UNBOUNDED PRECEDING
    ) AS partition_time
    FROM read_json($file, format = 'newline_delimited', columns = $types);
    CREATE VIEW person AS SELECT * FROM events WHERE event_type = 0;
    CREATE VIEW auction AS SELECT * FROM events WHERE event_type = 1;
    CREATE VIEW bid AS SELECT *,
        CASE WHEN price < 10000 THEN 1 WHEN price < 1000000 THEN 2 ELSE 3 END AS rank,
        strftime(to_timestamp(dateTime // 1000) AT TIME ZONE 'UTC', '%Y-%m-%d') AS day,
        strftime(to_timestamp(dateTime // 1000) AT TIME ZONE 'UTC', '%H:%M') AS minute
    FROM events WHERE event_type = 2;
    CREATE VIEW winning AS
    SELECT auction.*, b.seq AS b_seq, b.auction AS b_auction, b.bidder AS b_bidder, b.price AS b_price,
        b.dateTime AS b_time, b.extra AS b_extra
    FROM auction JOIN bid b ON b.auction = auction.id
        AND b.dateTime BETWEEN auction.dateTime AND auction.expires
    QUALIFY row_number() OVER (PARTITION BY auction.id ORDER BY b.price DESC, b.dateTime, b.seq) = 1;
    CREATE VIEW bid_10s AS SELECT *, dateTime // 10000 * 10000 AS start FROM bid
    WHERE dateTime // 10000 * 10000 + 15000 > partition_time;
    SET TimeZone = 'UTC';
"""

_NUMBERS: Final = """
    count(*), count(*) FILTER (rank = 1), count(*) FILTER (rank = 2), count(*) FILTER (rank = 3),
    count(DISTINCT bidder), count(DISTINCT bidder) FILTER (rank = 1),
    count(DISTINCT bidder) FILTER (rank = 2), count(DISTINCT bidder) FILTER (rank = 3),
    count(DISTINCT auction), count(DISTINCT auction) FILTER (rank = 1),
    count(DISTINCT auction) FILTER (rank = 2), count(DISTINCT auction) FILTER (rank = 3)
"""

SQL: Final = {
    "q0": "SELECT auction, bidder, price, dateTime, extra FROM bid",
    "q1": "SELECT auction, bidder, price * 908, dateTime, extra FROM bid",
    "q2": "SELECT auction, price FROM bid WHERE auction % 123 = 0",
    "q3": """SELECT p.name, p.city, p.state, a.id FROM auction a JOIN person p ON a.seller = p.id
        WHERE a.category = 10 AND p.state IN ('OR', 'ID', 'CA')""",
    "q4": "SELECT category, sum(b_price)::BIGINT // count(*) FROM winning GROUP BY category",
    "q5": """WITH counts AS (
            SELECT start, auction, count(*) AS n
            FROM bid, LATERAL (SELECT unnest(range(
                dateTime // 2000 * 2000 - 8000, dateTime // 2000 * 2000 + 1, 2000)) AS start)
            WHERE start + 15000 > partition_time GROUP BY start, auction
        )
        SELECT start, auction, n FROM counts QUALIFY n = max(n) OVER (PARTITION BY start)""",
    "q6": """SELECT seller, sum(b_price)::BIGINT // count(*) FROM (
            SELECT * FROM winning QUALIFY row_number() OVER (
                PARTITION BY seller ORDER BY b_time DESC, b_price DESC, id DESC) <= 10)
        GROUP BY seller""",
    "q7": """SELECT auction, price, bidder, dateTime, extra FROM bid_10s
        QUALIFY price = max(price) OVER (PARTITION BY start)""",
    "q8": """SELECT DISTINCT p.id, p.name, p.dateTime // 10000 * 10000
        FROM person p JOIN auction a
            ON a.seller = p.id AND a.dateTime // 10000 = p.dateTime // 10000
        WHERE p.dateTime // 10000 * 10000 + 15000 > p.partition_time
            AND a.dateTime // 10000 * 10000 + 15000 > a.partition_time""",
    "q9": """SELECT id, itemName, description, initialBid, reserve, dateTime, expires, seller, category,
        extra, b_auction, b_bidder, b_price, b_time, b_extra FROM winning""",
    "q10": "SELECT day, minute, auction, bidder, price, dateTime, extra FROM bid",
    "q11": """SELECT bidder, count(*), min(dateTime), max(dateTime) FROM (
            SELECT *, sum(begins) OVER (PARTITION BY bidder ORDER BY dateTime, seq) AS session FROM (
                SELECT *, CASE WHEN dateTime - lag(dateTime) OVER (PARTITION BY bidder ORDER BY dateTime, seq)
                    <= 10000 THEN 0 ELSE 1 END AS begins FROM bid))
        GROUP BY bidder, session""",
    "q12": "SELECT bidder, count(*), start FROM bid_10s GROUP BY bidder, start",
    "q13": "SELECT auction, bidder, price, dateTime, (auction % 10000)::VARCHAR FROM bid",
    "q14": """SELECT auction, bidder, price * 908,
            CASE WHEN h BETWEEN 8 AND 18 THEN 'dayTime' WHEN h <= 6 OR h >= 20 THEN 'nightTime'
                ELSE 'otherTime' END,
            dateTime, extra, length(extra) - length(replace(extra, 'c', ''))
        FROM (SELECT *, dateTime // 3600000 % 24 AS h FROM bid)
        WHERE price * 908 > 1000000000 AND price * 908 < 50000000000""",
    "q15": f"SELECT day, {_NUMBERS} FROM bid GROUP BY day",
    "q16": f"SELECT channel, day, max(minute), {_NUMBERS} FROM bid GROUP BY channel, day",
    "q17": """SELECT auction, day, count(*), count(*) FILTER (rank = 1), count(*) FILTER (rank = 2),
        count(*) FILTER (rank = 3), min(price), max(price), sum(price)::BIGINT // count(*), sum(price)::BIGINT
        FROM bid GROUP BY auction, day""",
    "q18": """SELECT auction, bidder, price, channel, url, dateTime, extra FROM bid
        QUALIFY row_number() OVER (PARTITION BY bidder, auction ORDER BY dateTime DESC, seq DESC) = 1""",
    "q19": """SELECT auction, bidder, price, channel, url, dateTime, extra,
            row_number() OVER (PARTITION BY auction ORDER BY price DESC, seq) AS place
        FROM bid QUALIFY place <= 10""",
    "q20": """SELECT b.auction, b.bidder, b.price, b.channel, b.url, b.dateTime, b.extra,
            a.itemName, a.description, a.initialBid, a.reserve, a.dateTime, a.expires, a.seller, a.category,
            a.extra
        FROM bid b JOIN auction a ON b.auction = a.id WHERE a.category = 10""",
    "q21": """SELECT auction, bidder, price, channel, CASE lower(channel) WHEN 'apple' THEN '0'
            WHEN 'google' THEN '1' WHEN 'facebook' THEN '2' WHEN 'baidu' THEN '3'
            ELSE regexp_extract(url, '[?&]channel_id=([^&#]*)', 1) END AS channel_id
        FROM bid
        WHERE lower(channel) IN ('apple', 'google', 'facebook', 'baidu') OR contains(url, 'channel_id=')""",
    "q22": """SELECT auction, bidder, price, channel,
        split_part(url, '/', 4), split_part(url, '/', 5), split_part(url, '/', 6) FROM bid""",
    "q23": """SELECT b.seq, p.id, a.id FROM bid b JOIN person p ON b.bidder = p.id
        JOIN auction a ON a.seller = b.bidder""",
}


def _with_partition(line: str, partitions: int) -> str:
    event = msgspec.json.decode(line)
    key = event["auction"] if event["event_type"] == BID else event["id"]
    return f'{line[:-1]},"partition":{partition_of_key(b"%d" % key, partitions)}}}\n'


class Answers:
    """The events of one run in DuckDB."""

    def __init__(self, lines: Iterable[str], folder: Path, *, partitions: int = 1) -> None:
        file = folder / f"events-{partitions}.jsonl"
        file.write_text("".join(_with_partition(line, partitions) for line in lines), "utf-8")
        self._database = duckdb.connect()
        types = "{" + ", ".join(f"'{name}': '{kind}'" for name, kind in _TYPES.items()) + "}"
        self._database.execute(_EVENTS.replace("$file", f"'{file}'").replace("$types", types))

    def rows(self, query: str) -> Rows:
        """Return the sorted result of a query."""
        return sorted(self._database.execute(SQL[query]).fetchall())
