"""What `rise data check` does."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.text import Text

from metis_rise.data.duplicates import find_duplicates
from metis_rise.data.findings import Report, lines
from metis_rise.data.leaks import find_leaks
from metis_rise.data.lengths import Lengths
from metis_rise.data.survey import Measure, survey
from metis_rise.errors import InputError
from metis_rise.recipe import Recipe, load_recipe


def check(path: Path, recipe: str, overrides: Sequence[str], benchmarks: Path | None, *, as_json: bool) -> bool:
    """Checks the problem file at `path` and prints what was found; whether nothing must be mended.

    Args:
        path: what `problems.train` may be.
        recipe: whose model reads the prompts; it need not name problems.
        overrides: settings that replace the recipe's.
        benchmarks: a folder of benchmark data; None takes VLMEvalKit's.
        as_json: one JSON object in place of lines.

    Raises:
        InputError: there is no such file or recipe.
    """
    lengths, why_not = _lengths(_load(recipe, overrides, path))
    measure: Measure = (lambda problem, sizes: None) if lengths is None else lengths.add
    found = survey(path, measure)
    report = Report(found, find_duplicates(found), find_leaks(found, benchmarks), lengths, why_not)
    if as_json:
        print(json.dumps(report.to_json(), ensure_ascii=False))
    else:
        console = Console()
        for style, line in lines(report):
            console.print(Text(line, style=style), soft_wrap=True)
    return not report.faulty


def _load(recipe: str, overrides: Sequence[str], path: Path) -> Recipe:
    """The recipe; one that is for problem files need not name any."""
    try:
        return load_recipe(recipe, overrides)
    except InputError:
        file = json.dumps(str(path))
        return load_recipe(recipe, [f"problems.train={file}", f"problems.test={file}", *overrides])


def _lengths(recipe: Recipe) -> tuple[Lengths | None, str]:
    try:
        return Lengths(recipe), ""
    except InputError as error:
        return None, str(error)
