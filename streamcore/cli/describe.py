"""``streamcore describe``: shows what an application declares, without running anything."""

from __future__ import annotations

from typing import Annotated

import typer

from streamcore.cli.applications import ApplicationArgument, load_app
from streamcore.cli.output import print_line


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("describe")(describe)


def describe(
    application: ApplicationArgument,
    mermaid: Annotated[bool, typer.Option("--mermaid", help="As a Mermaid flowchart.")] = False,
) -> None:
    """Show an application's topics, steps and tables."""
    print_line(load_app(application).describe(mermaid=mermaid).rstrip("\n"))
