"""Every `rise` command of README and docs is one that the command line takes, with settings that recipes have."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import typer
from pages import PAGES, Command, commands

from metis_rise.cli import app
from metis_rise.errors import InputError
from metis_rise.recipe import load_recipe, shipped_recipes

RISE = typer.main.get_command(app)
FOUND = {str(command): command for page in PAGES for command in commands(page)}
# What stands for a number, or for a part of one.
NUMBERS = re.compile(r"^N$|(?<==)S$|\$gpu")
# A sentence may speak of a command without all that it needs.
CUT_SHORT = ("MissingParameter", "BadOptionUsage")
# Typer does not export it.
UsageError = typer.BadParameter.__bases__[0]
PROBLEMS = ("problems.train=train.jsonl", "problems.test=test.jsonl")


def params(command: Command) -> dict[str, Any]:
    """What the command line makes of a command; raises what it raises for one that it does not take."""
    place, words = RISE, [NUMBERS.sub("1", word) for word in command.words]
    context = place.make_context("rise", words[:1], resilient_parsing=True)
    while hasattr(place, "commands"):
        if not words and command.in_sentence:
            return {}
        name, *words = words
        if name == "--help":
            return {}
        assert name in place.commands, f"there is no command {name}"
        place = place.commands[name]
    try:
        return dict(place.make_context(command.words[0], words, parent=context).params)
    except UsageError as error:
        if command.in_sentence and type(error).__name__ in CUT_SHORT:
            return {}
        raise


def load(given: dict[str, Any]) -> None:
    """Reads the recipe of a command with its settings; one of the reader's own is like `tiny`."""
    name = given["recipe"] if given["recipe"] in shipped_recipes() else "tiny"
    settings = [each.replace("=...", "=x.jsonl") for each in given["overrides"] or () if each != "KEY=VALUE"]
    load_recipe(name, [*(() if name in ("tiny", "evidence") else PROBLEMS), *settings])


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def make(folder: Path, command: Command) -> None:
    """Makes the files and runs that a command names."""
    for word in command.words[1:]:
        if word.startswith(("-", "/", "~")) or "=" in word or ":" in word or not word.isprintable() or len(word) > 60:
            continue
        place = folder / word
        place.parent.mkdir(parents=True, exist_ok=True)
        if place.suffix or word in ("PICTURE", "IMAGE", "FILE"):
            place.touch()
        else:
            place.mkdir(exist_ok=True)


@pytest.mark.parametrize("command", FOUND.values(), ids=FOUND)
def test_a_command_of_the_documentation_is_taken(folder: Path, command: Command):
    make(folder, command)
    given = params(command)
    if "recipe" in given:
        load(given)


def test_all_pages_with_commands_were_read():
    assert {"README.md", "tutorial.md", "own-data.md", "faq.md", "data-engine.md"} <= {c.page for c in FOUND.values()}
    assert len(FOUND) > 100


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("run", "tiny", "--nane", "x"), "--nane"),
        (("rum", "tiny"), "there is no command rum"),
        (("plan",), "recipe"),
        (("bench", "upward"), "upward"),
        (("run", "tiny", "rl.grop_size=8"), "rl.group_size"),
    ],
)
def test_a_wrong_command_is_found(words: tuple[str, ...], said: str):
    with pytest.raises((UsageError, AssertionError, InputError)) as found:
        load(params(Command("page.md", words, in_sentence=False)))
    assert said in str(found.value)
