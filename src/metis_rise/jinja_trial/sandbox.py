"""How templates of prompts are compiled, here and where they are tried."""

from __future__ import annotations

from jinja2 import StrictUndefined, Template
from jinja2.sandbox import ImmutableSandboxedEnvironment


def compiled(template: str) -> Template:
    """The template; jinja2.TemplateError where it is none.

    There is no loader: it includes no other file. The sandbox keeps it from everything but its values.
    """
    environment = ImmutableSandboxedEnvironment(undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    return environment.from_string(template)
