"""The reference of the command line, from the commands themselves."""

from __future__ import annotations

import re

import typer
from typer.cli import get_docs_for_click

from docs_site.pages import linked
from metis_rise.cli import app


def reference() -> str:
    """Every command with its arguments and options, as typer writes them."""
    group = typer.main.get_command(app)
    text = get_docs_for_click(obj=group, ctx=typer.Context(group, info_name="rise"), name="rise")
    # The page has its own title and introduction; a list of its headings stands beside it.
    _, heading, body = text.partition("\n## ")
    return linked(re.sub(r"^Example: (.+)$", r"Example: `\1`", heading + body, flags=re.MULTILINE))
