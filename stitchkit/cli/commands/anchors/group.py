"""The group ``stitchkit anchors``."""

from __future__ import annotations

import typer

from stitchkit.cli.commands.anchors.card import card
from stitchkit.cli.commands.anchors.check import check
from stitchkit.cli.commands.anchors.collect import collect
from stitchkit.cli.commands.anchors.select import select
from stitchkit.cli.flags import Command

anchors = typer.Typer(
    name="anchors",
    add_completion=False,
    help="Make a table of a public set, choose anchors out of it, check them against a test, and write their card.",
    rich_markup_mode="rich",
)
for _command in (collect, select, check, card):
    anchors.command(cls=Command)(_command)
