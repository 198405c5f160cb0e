"""The application and its inputs, which the steps, the loader and the demonstration use."""

from __future__ import annotations

import streamcore as sc
from apps.fleet.events import Flight, Plane

KEEP_FOR_EVER = {
    "retention.ms": "-1"
}  # the events are of 2013: by their own times they are older than any retention

app = sc.App("fleet")

flights = app.topic(
    "flights", key=str, value=Flight, partitions=4, timestamp=lambda flight: flight.ts, config=KEEP_FOR_EVER
)
planes = app.topic("planes", key=str, value=Plane, partitions=4, config={"cleanup.policy": "compact"})
