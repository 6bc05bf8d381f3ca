"""The Typer app, and what its commands share."""

from __future__ import annotations

import io
import os
import shlex
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer

from metis_rise.disk import disk_fault
from metis_rise.errors import InputError
from metis_rise.redaction import hide_environment, redacted
from metis_rise.stopping import heeding_signals
from metis_rise.terminal import say, speaking

app = typer.Typer(
    name="rise",
    help="Metis-RISE: reinforcement learning first, then targeted fine-tuning, for vision-language models.\n\n"
    "Start with: rise run tiny",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
)

Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing but warnings and errors.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object; what else is said goes to stderr.")]
Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an unexpected error.")]


def leads() -> bool:
    """Whether this is the one of several processes that speaks with the user."""
    return "LOCAL_RANK" not in os.environ or os.environ["RANK"] == "0"


def say_loading() -> None:
    """Importing torch and transformers takes seconds, in which a person at a terminal would see nothing."""
    if sys.stderr.isatty() and leads():
        say("loading torch and transformers ...", aside=True)


@contextmanager
def exit_codes(debug: bool, *, quiet: bool = False, as_json: bool = False) -> Iterator[None]:
    """Turn what a command raises into the exit codes that scripts rely on (docs/design.md).

    Within it a `quiet` command says nothing but warnings, and one that prints JSON says all else on stderr.
    """
    hide_environment(os.environ)
    if isinstance(sys.stdout, io.TextIOWrapper):
        # A sign that the terminal's encoding lacks is shown by its number.
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        with heeding_signals(), speaking(quiet=quiet, apart=as_json):
            yield
    except InputError as error:
        for line in redacted(str(error)).splitlines():
            _error(line)
        raise typer.Exit(2) from error
    except (KeyboardInterrupt, typer.Abort) as error:
        typer.echo(f"\ninterrupted; resume with: {_resume_command()}", err=True)
        raise typer.Exit(130) from error
    except typer.Exit:
        raise
    except Exception as error:  # the one place that catches everything: the edge of the program
        if debug:
            typer.echo(redacted(traceback.format_exc()), err=True, nl=False)
        if (fault := disk_fault(error)) is not None:
            _error(redacted(fault))
        elif not debug:
            said = " ".join(redacted(str(error)).split())
            _error(f"{type(error).__name__}: {said} (use --debug for the traceback)")
        raise typer.Exit(1) from error


def _error(line: str) -> None:
    say(f"error: {line}", aside=True)


def _resume_command() -> str:
    """This very command without what would delete the run."""
    program, *arguments = sys.argv
    start = [sys.executable, "-m", "metis_rise"] if program.endswith("__main__.py") else [program]
    return shlex.join([*start, *(a for a in arguments if a not in ("--fresh", "--yes", "-y"))])
