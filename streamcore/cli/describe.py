"""``streamcore describe``: show what an application declares, without running it."""

from __future__ import annotations

from typing import Annotated

import typer

from streamcore.cli.applications import ApplicationArgument, load_app
from streamcore.cli.options import JsonOption
from streamcore.cli.output import print_json, print_line
from streamcore.errors import UsageError


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("describe")(describe)


def describe(
    application: ApplicationArgument,
    mermaid: Annotated[bool, typer.Option("--mermaid", help="As a Mermaid flowchart.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Show an application's topics, steps and tables."""
    if mermaid and as_json:
        raise UsageError("choose one of --mermaid and --json")
    app = load_app(application)
    if not as_json:
        print_line(app.describe(mermaid=mermaid).rstrip("\n"))
        return
    from streamcore.processing.topology.describe import described

    for row in described(app.plan()):
        print_json(row)
