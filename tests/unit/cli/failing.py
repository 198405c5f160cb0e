"""An application whose records fail while ``MENDED`` is false."""

from __future__ import annotations

import streamcore as sc

MENDED = [False]

app = sc.App("failing", on_error=sc.dead_letter("dead"))
numbers = app.topic("numbers", key=str, value=int, partitions=3)
others = app.topic("others", key=str, value=int, on_error=sc.dead_letter("dead-others"))


@numbers.map
def checked(value: int) -> int:
    if value < 0 and not MENDED[0]:
        raise ValueError("negative")
    return value


checked.to("out")
others.count("others-counts")


@app.command()
def load() -> None:
    for partition, value in enumerate((1, -2, -3)):
        numbers.send_many([sc.Record("k", value, 7, (("own", b"1"),), partition=partition)])
