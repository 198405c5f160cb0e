"""Counts words in 4 partitions; the topics have the name of the environment variable ``COUNTING``."""

from __future__ import annotations

import os

import streamcore as sc

NAME = os.environ.get("COUNTING", "counting")
PARTITIONS = 4

app = sc.App(NAME)
words = app.topic(f"{NAME}-words", key=str, value=int, partitions=PARTITIONS)
counts = words.sum("counts", lambda number: number)
counts.updates().to(app.topic(f"{NAME}-counts", key=str, value=int, partitions=PARTITIONS))
