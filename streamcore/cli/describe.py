"""``streamcore describe``: show what an application declares, without running it."""

from __future__ import annotations

import click

from streamcore.cli.applications import application_argument, load_app
from streamcore.cli.options import json_option
from streamcore.cli.output import print_json, print_line
from streamcore.errors import UsageError


def register(group: click.Group) -> None:
    """Add the command."""
    group.add_command(describe)


@click.command("describe")
@application_argument
@click.option("--mermaid", is_flag=True, help="As a Mermaid flowchart.")
@json_option
def describe(application: str, mermaid: bool, as_json: bool) -> None:
    """Show an application's topics, steps and tables.

    MODULE:APP is the module and the name of the application in it, such as apps.flights:app.
    """
    if mermaid and as_json:
        raise UsageError("choose one of --mermaid and --json")
    app = load_app(application)
    if not as_json:
        print_line(app.describe(mermaid=mermaid).rstrip("\n"))
        return
    from streamcore.processing.topology.describe import described

    for row in described(app.plan()):
        print_json(row)
