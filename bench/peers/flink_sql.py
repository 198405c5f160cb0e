"""Nexmark's queries in the SQL of Apache Flink 2, and the tables that they read and write.

The input is one file of JSON lines for each kind of event: what StreamCore's topics hold. A window is
complete when the watermark passes its end; the watermark is 5 s behind the events, like the grace of the
windows of ``apps/nexmark``. Results whose rows never change are written as JSON lines, the others as a
changelog in Debezium's JSON: so the connector for files writes rows that replace each other.

The columns of a result have the order that docs/nexmark.md gives. ``q13`` joins the side table as of the time
of the bid: the connector for files cannot look up single keys.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

SIDE_FILE: Final = "side"
"""The side table's file is read like a kind of events."""

INPUTS: Final = {
    "person": "seq BIGINT, id BIGINT, name STRING, emailAddress STRING, creditCard STRING, city STRING, "
    "state STRING, `dateTime` BIGINT, extra STRING",
    "auction": "seq BIGINT, id BIGINT, itemName STRING, description STRING, initialBid BIGINT, "
    "reserve BIGINT, `dateTime` BIGINT, expires BIGINT, seller BIGINT, category BIGINT, extra STRING",
    "bid": "seq BIGINT, auction BIGINT, bidder BIGINT, price BIGINT, channel STRING, url STRING, "
    "`dateTime` BIGINT, extra STRING",
    SIDE_FILE: "id BIGINT, text STRING, `dateTime` BIGINT, PRIMARY KEY (id) NOT ENFORCED",
}
"""The fields of each kind of input that the queries may read."""

_EVENT_TIME: Final = (
    "event_time AS TO_TIMESTAMP_LTZ(`dateTime`, 3), "
    "WATERMARK FOR event_time AS event_time - INTERVAL '5' SECOND"
)


@dataclass(frozen=True, slots=True)
class Query:
    """A query: the columns of its result with their types, and the statement."""

    columns: str
    select: str
    changes: bool = False
    """Whether rows of the result replace earlier ones."""


def input_table(name: str, file: Path) -> str:
    """Return the statement that declares an input."""
    fields, _, key = INPUTS[name].partition(", PRIMARY")
    columns = f"{fields}, {_EVENT_TIME}" + (f", PRIMARY{key}" if key else "")
    return (
        f"CREATE TABLE {name} ({columns}) "
        f"WITH ('connector' = 'filesystem', 'path' = '{file.as_uri()}', 'format' = 'json')"
    )


def result_table(name: str, query: Query, folder: Path) -> str:
    """Return the statement that declares a result; its files will be in the folder."""
    kind = "debezium-json" if query.changes else "json"
    return (
        f"CREATE TABLE {name} ({query.columns}) "
        f"WITH ('connector' = 'filesystem', 'path' = '{folder.as_uri()}', 'format' = '{kind}')"
    )


_DAY: Final = "DATE_FORMAT(event_time, 'yyyy-MM-dd')"
_MINUTE: Final = "DATE_FORMAT(event_time, 'HH:mm')"
_START: Final = "CAST(TIMESTAMPDIFF(SECOND, TIMESTAMP '1970-01-01 00:00:00', {}) AS BIGINT) * 1000"
_TUMBLE: Final = "TABLE(TUMBLE(TABLE {}, DESCRIPTOR(event_time), INTERVAL '10' SECOND))"

_RANKS: Final = ("price < 10000", "price >= 10000 AND price < 1000000", "price >= 1000000")

_NUMBERS: Final = ", ".join(
    [
        "COUNT(*)",
        *(f"COUNT(*) FILTER (WHERE {rank})" for rank in _RANKS),
        "COUNT(DISTINCT bidder)",
        *(f"COUNT(DISTINCT bidder) FILTER (WHERE {rank})" for rank in _RANKS),
        "COUNT(DISTINCT auction)",
        *(f"COUNT(DISTINCT auction) FILTER (WHERE {rank})" for rank in _RANKS),
    ]
)
_NUMBERS_COLUMNS: Final = ", ".join(f"n{number} BIGINT" for number in range(12))

_WINNING: Final = """
    SELECT * FROM (
        SELECT a.id, a.itemName, a.description, a.initialBid, a.reserve, a.`dateTime`, a.expires, a.seller,
            a.category, a.extra, b.auction, b.bidder, b.price, b.`dateTime` AS bid_time, b.extra AS bid_extra,
            ROW_NUMBER() OVER (PARTITION BY a.id ORDER BY b.price DESC, b.`dateTime`, b.seq) AS place
        FROM auction AS a JOIN bid AS b
        ON a.id = b.auction AND b.`dateTime` BETWEEN a.`dateTime` AND a.expires
    ) WHERE place = 1"""

_BID: Final = "auction BIGINT, bidder BIGINT, price BIGINT"
_WHOLE_BID: Final = f"{_BID}, channel STRING, url STRING, `dateTime` BIGINT, extra STRING"
_WHOLE_AUCTION: Final = (
    "itemName STRING, description STRING, initialBid BIGINT, reserve BIGINT, auction_time BIGINT, "
    "expires BIGINT, seller BIGINT, category BIGINT, auction_extra STRING"
)

QUERIES: Final = {
    "q0": Query(
        f"{_BID}, `dateTime` BIGINT, extra STRING",
        "SELECT auction, bidder, price, `dateTime`, extra FROM bid",
    ),
    "q1": Query(
        f"{_BID}, `dateTime` BIGINT, extra STRING",
        "SELECT auction, bidder, price * 908, `dateTime`, extra FROM bid",
    ),
    "q2": Query("auction BIGINT, price BIGINT", "SELECT auction, price FROM bid WHERE MOD(auction, 123) = 0"),
    "q3": Query(
        "name STRING, city STRING, state STRING, auction BIGINT",
        """SELECT p.name, p.city, p.state, a.id FROM auction AS a JOIN person AS p ON a.seller = p.id
        WHERE a.category = 10 AND p.state IN ('OR', 'ID', 'CA')""",
    ),
    "q4": Query(
        "category BIGINT, average BIGINT",
        """SELECT category, AVG(final) FROM (
            SELECT a.category, MAX(b.price) AS final FROM auction AS a JOIN bid AS b
            ON a.id = b.auction AND b.`dateTime` BETWEEN a.`dateTime` AND a.expires
            GROUP BY a.id, a.category
        ) GROUP BY category""",
        changes=True,
    ),
    "q5": Query(
        "window_start BIGINT, auction BIGINT, bids BIGINT",
        f"""WITH counts AS (
            SELECT auction, COUNT(*) AS bids, window_start, window_end
            FROM TABLE(HOP(
                TABLE bid, DESCRIPTOR(event_time), INTERVAL '2' SECOND, INTERVAL '10' SECOND))
            GROUP BY auction, window_start, window_end
        )
        SELECT {_START.format("c.window_start")}, c.auction, c.bids FROM counts AS c JOIN (
            SELECT MAX(bids) AS most, window_start, window_end FROM counts
            GROUP BY window_start, window_end
        ) AS m
        ON c.window_start = m.window_start AND c.window_end = m.window_end AND c.bids = m.most""",
    ),
    "q6": Query(
        "seller BIGINT, average BIGINT",
        f"""SELECT seller, AVG(price) FROM (
            SELECT seller, price, ROW_NUMBER() OVER (
                PARTITION BY seller ORDER BY bid_time DESC, price DESC, id DESC) AS age
            FROM ({_WINNING})
        ) WHERE age <= 10 GROUP BY seller""",
        changes=True,
    ),
    "q7": Query(
        "auction BIGINT, price BIGINT, bidder BIGINT, `dateTime` BIGINT, extra STRING",
        f"""SELECT b.auction, b.price, b.bidder, b.`dateTime`, b.extra
        FROM (SELECT * FROM {_TUMBLE.format("bid")}) AS b JOIN (
            SELECT MAX(price) AS most, window_start, window_end FROM {_TUMBLE.format("bid")}
            GROUP BY window_start, window_end
        ) AS m
        ON b.window_start = m.window_start AND b.window_end = m.window_end AND b.price = m.most""",
    ),
    "q8": Query(
        "id BIGINT, name STRING, window_start BIGINT",
        f"""SELECT p.id, p.name, {_START.format("p.window_start")} FROM (
            SELECT id, name, window_start, window_end FROM {_TUMBLE.format("person")}
            GROUP BY id, name, window_start, window_end
        ) AS p JOIN (
            SELECT seller, window_start, window_end FROM {_TUMBLE.format("auction")}
            GROUP BY seller, window_start, window_end
        ) AS a
        ON p.window_start = a.window_start AND p.window_end = a.window_end AND p.id = a.seller""",
    ),
    "q9": Query(
        f"id BIGINT, {_WHOLE_AUCTION}, {_BID}, bid_time BIGINT, bid_extra STRING",
        f"""SELECT id, itemName, description, initialBid, reserve, `dateTime`, expires, seller, category,
            extra, auction, bidder, price, bid_time, bid_extra FROM ({_WINNING})""",
        changes=True,
    ),
    "q10": Query(
        f"day_text STRING, minute_text STRING, {_BID}, `dateTime` BIGINT, extra STRING",
        f"SELECT {_DAY}, {_MINUTE}, auction, bidder, price, `dateTime`, extra FROM bid",
    ),
    "q11": Query(
        "bidder BIGINT, bids BIGINT, first_time BIGINT, last_time BIGINT",
        """SELECT bidder, COUNT(*), MIN(`dateTime`), MAX(`dateTime`) FROM TABLE(SESSION(
            TABLE bid PARTITION BY bidder, DESCRIPTOR(event_time), INTERVAL '10' SECOND))
        GROUP BY bidder, window_start, window_end""",
    ),
    "q12": Query(
        "bidder BIGINT, bids BIGINT, window_start BIGINT",
        f"""SELECT bidder, COUNT(*), {_START.format("window_start")} FROM {_TUMBLE.format("bid")}
        GROUP BY bidder, window_start, window_end""",
    ),
    "q13": Query(
        f"{_BID}, `dateTime` BIGINT, text STRING",
        f"""SELECT b.auction, b.bidder, b.price, b.`dateTime`, s.text
        FROM (SELECT *, MOD(auction, 10000) AS number FROM bid) AS b
        JOIN {SIDE_FILE} FOR SYSTEM_TIME AS OF b.event_time AS s ON b.number = s.id""",
    ),
    "q14": Query(
        f"{_BID}, time_of_day STRING, `dateTime` BIGINT, extra STRING, letters INT",
        """SELECT auction, bidder, price * 908,
            CASE WHEN HOUR(event_time) BETWEEN 8 AND 18 THEN 'dayTime'
                WHEN HOUR(event_time) <= 6 OR HOUR(event_time) >= 20 THEN 'nightTime' ELSE 'otherTime' END,
            `dateTime`, extra, CHAR_LENGTH(extra) - CHAR_LENGTH(REPLACE(extra, 'c', ''))
        FROM bid WHERE price * 908 > 1000000000 AND price * 908 < 50000000000""",
    ),
    "q15": Query(
        f"day_text STRING, {_NUMBERS_COLUMNS}",
        f"SELECT {_DAY}, {_NUMBERS} FROM bid GROUP BY {_DAY}",
        changes=True,
    ),
    "q16": Query(
        f"channel STRING, day_text STRING, minute_text STRING, {_NUMBERS_COLUMNS}",
        f"SELECT channel, {_DAY}, MAX({_MINUTE}), {_NUMBERS} FROM bid GROUP BY channel, {_DAY}",
        changes=True,
    ),
    "q17": Query(
        "auction BIGINT, day_text STRING, bids BIGINT, rank_1 BIGINT, rank_2 BIGINT, rank_3 BIGINT, "
        "lowest BIGINT, highest BIGINT, average BIGINT, total BIGINT",
        f"""SELECT auction, {_DAY}, COUNT(*), {", ".join(f"COUNT(*) FILTER (WHERE {r})" for r in _RANKS)},
            MIN(price), MAX(price), AVG(price), SUM(price) FROM bid GROUP BY auction, {_DAY}""",
        changes=True,
    ),
    "q18": Query(
        _WHOLE_BID,
        """SELECT auction, bidder, price, channel, url, `dateTime`, extra FROM (
            SELECT *, ROW_NUMBER() OVER (
                PARTITION BY bidder, auction ORDER BY event_time DESC) AS age FROM bid
        ) WHERE age <= 1""",
        changes=True,
    ),
    "q19": Query(
        f"{_WHOLE_BID}, place BIGINT",
        """SELECT auction, bidder, price, channel, url, `dateTime`, extra, place FROM (
            SELECT *, ROW_NUMBER() OVER (PARTITION BY auction ORDER BY price DESC, seq) AS place FROM bid
        ) WHERE place <= 10""",
        changes=True,
    ),
    "q20": Query(
        f"{_WHOLE_BID}, {_WHOLE_AUCTION}",
        """SELECT b.auction, b.bidder, b.price, b.channel, b.url, b.`dateTime`, b.extra, a.itemName,
            a.description, a.initialBid, a.reserve, a.`dateTime`, a.expires, a.seller, a.category, a.extra
        FROM bid AS b JOIN auction AS a ON b.auction = a.id WHERE a.category = 10""",
    ),
    "q21": Query(
        f"{_BID}, channel STRING, channel_id STRING",
        r"""SELECT * FROM (SELECT auction, bidder, price, channel, CASE LOWER(channel)
                WHEN 'apple' THEN '0' WHEN 'google' THEN '1' WHEN 'facebook' THEN '2' WHEN 'baidu' THEN '3'
                ELSE REGEXP_EXTRACT(url, '[?&]channel_id=([^&#]*)', 1) END AS channel_id
            FROM bid) WHERE channel_id IS NOT NULL""",
    ),
    "q22": Query(
        f"{_BID}, channel STRING, part_4 STRING, part_5 STRING, part_6 STRING",
        """SELECT auction, bidder, price, channel,
            SPLIT_INDEX(url, '/', 3), SPLIT_INDEX(url, '/', 4), SPLIT_INDEX(url, '/', 5) FROM bid""",
    ),
    "q23": Query(
        "bid BIGINT, person BIGINT, auction BIGINT",
        """SELECT b.seq, p.id, a.id FROM bid AS b JOIN person AS p ON b.bidder = p.id
        JOIN auction AS a ON a.seller = b.bidder""",
    ),
}
