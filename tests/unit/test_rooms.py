"""The rooms of docs/design.md: imports point downwards only, and the light rooms stay free of torch."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import metis_rise
from metis_rise.recipe.faults import known_keys
from metis_rise.tracking.watching import MODULES as TRACKERS

SOURCE = Path(metis_rise.__file__).parent
# From the top down; rooms of one row do not import each other.
ROWS = (
    ("__main__",),
    ("cli", "api"),
    ("rewards",),
    ("ablation",),
    ("pipeline", "ask", "bench", "verify", "exchange", "look", "data", "starter"),
    ("evaluation",),
    ("opening",),
    ("fork",),
    ("stages",),
    ("report", "check", "tracking"),
    ("benchmarks",),
    ("cluster",),
    ("foreign",),
    ("engines",),
    ("policy",),
    ("verifier",),
    ("problems",),
    ("run",),
    ("run_format",),
    ("journal", "recipe", "crew", "attempt", "lock", "jinja_trial"),
    ("terminal",),
    ("types", "errors", "seeding", "json_text", "redaction", "stopping", "disk", "leftovers"),
)
RANK = {room: rank for rank, row in enumerate(reversed(ROWS)) for room in row}
LIGHT = (
    "attempt",
    "crew",
    "lock",
    "recipe",
    "verifier",
    "problems",
    "foreign",
    "journal",
    "run",
    "run_format",
    "check",
    "report",
    "tracking",
    "stopping",
    "terminal",
    "look",
    "types",
    "errors",
    "cli",
    "verify",
    "rewards",
    "api",
    "benchmarks",
    "data",
    "starter",
)
HEAVY = ("torch", "torchvision", "transformers")
MODULES = sorted(path for path in SOURCE.rglob("*.py") if path != SOURCE / "__init__.py")


def room(path: Path) -> str:
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


def imports(path: Path) -> Iterator[tuple[int, str]]:
    """Row and absolute dotted name of everything that a module imports, wherever in it."""
    package = ["metis_rise", *path.relative_to(SOURCE).parts[:-1]]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            whole = ".".join([*base, *([node.module] if node.module else [])])
            yield from ((node.lineno, f"{whole}.{alias.name}") for alias in node.names)


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(SOURCE)))
def test_imports_point_downwards_only(path: Path):
    here = room(path)
    assert here in RANK, f"{here} is in no row: give it its place in ROWS and in docs/design.md"
    upwards = []
    for row, name in imports(path):
        parts = name.split(".")
        if parts[0] != "metis_rise" or len(parts) == 1 or parts[1] == here:
            continue
        if parts[1] in RANK and RANK[parts[1]] >= RANK[here]:
            upwards.append(f"row {row}: {name}")
    assert upwards == []


@pytest.mark.parametrize("path", [p for p in MODULES if room(p) in LIGHT], ids=lambda p: str(p.relative_to(SOURCE)))
def test_light_rooms_do_not_name_torch(path: Path):
    assert [f"row {row}: {name}" for row, name in imports(path) if name.split(".")[0] in HEAVY] == []


def test_light_rooms_import_where_there_is_no_torch():
    light = [p for p in MODULES if room(p) in LIGHT]
    named = {".".join((SOURCE.name, *p.relative_to(SOURCE).with_suffix("").parts)) for p in light}
    # Trackers are imported in processes of their own, with packages that need not be there.
    names = sorted(name.removesuffix(".__init__") for name in named - set(TRACKERS.values()))
    code = "\n".join(
        ["import importlib, sys"]
        + [f"sys.modules[{heavy!r}] = None" for heavy in HEAVY]
        + [f"importlib.import_module({name!r})" for name in names]
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_every_recipe_field_is_read_outside_the_recipe_room():
    """A setting that nothing reads is a lie to the user. Names are compared, so a shared name is a weak check."""
    read = {
        node.attr
        for path in MODULES
        if room(path) != "recipe"
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load)
    }
    unread = [key for key in known_keys() if key.rpartition(".")[2] not in read]
    assert unread == []
