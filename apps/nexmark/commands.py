"""The commands of every query: ``load`` events that were made elsewhere, or ``generate`` them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

import streamcore as sc
from apps.nexmark.generator import Recipe, event_lines
from apps.nexmark.loading import create_topics, load_lines

Partitions = Annotated[
    int | None, typer.Option(min=1, help="Partitions of the topics, if they hold nothing.")
]


def add_commands(app: sc.App) -> None:
    """Add the commands to an application."""

    @app.command()
    def load(
        log: sc.Log,
        path: Annotated[Path, typer.Argument(help="A file of events, one a line, in the order of arrival.")],
        partitions: Partitions = None,
    ) -> None:
        """Write the events of a file to the topics, in one transaction."""
        create_topics(log, app, partitions)
        with path.open("rb") as lines:
            count = load_lines(log, lines)
        print(f"{count:,} events loaded")

    @app.command()
    def generate(
        log: sc.Log,
        events: Annotated[int, typer.Option(min=1, help="How many events.")] = 100_000,
        seed: Annotated[int, typer.Option(help="Decides what the events are.")] = 0,
        first: Annotated[int, typer.Option(min=0, help="The number of the first event.")] = 0,
        rate: Annotated[int, typer.Option(min=1, help="Events a second of event time.")] = 10_000,
        out_of_order: Annotated[
            int, typer.Option(min=1, help="Permute the arrival in groups of this length.")
        ] = 1,
        late: Annotated[float, typer.Option(min=0, max=1, help="The share of events that are late.")] = 0.0,
        partitions: Partitions = None,
        output: Annotated[Path | None, typer.Option(help="Write a file of lines instead.")] = None,
    ) -> None:
        """Make events and write them to the topics, in one transaction, or to a file."""
        recipe = Recipe(seed=seed, rate=rate, out_of_order=out_of_order, late=late)
        lines = event_lines(recipe, events, first=first)
        if output is not None:
            with output.open("w", encoding="ascii") as file:
                file.writelines(f"{line}\n" for line in lines)
        else:
            create_topics(log, app, partitions)
            load_lines(log, (line.encode() for line in lines))
        print(f"{events:,} events made")
