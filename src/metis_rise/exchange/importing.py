"""`rise import`: trajectories made elsewhere, verified like an expert's, for a run's expert stage."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import typer
from tqdm import tqdm

from metis_rise.cluster.history import recipe_of
from metis_rise.errors import InputError
from metis_rise.lock import locked
from metis_rise.opening import look_at_workshop
from metis_rise.run import Run, append_jsonl, read_jsonl
from metis_rise.run_format import read_format
from metis_rise.stages.expert import examiner
from metis_rise.stages.experts import imported
from metis_rise.stages.workshop import Workshop
from metis_rise.types import Problem

_PROBLEM_KEYS = ("problem", "problem_id", "id")
_TEXT_KEYS = ("completion", "text", "response")
# Lists of chat turns: where who speaks and what is said are kept, and who the model is.
_TURNS = {"messages": ("role", "content", "assistant"), "conversations": ("from", "value", "gpt")}
_MEND = 'write {"problem": id of a training problem, "completion": text}, or a row of rise export sft --format sharegpt'


def import_trajectories(run_folder: Path, file: Path) -> None:
    """Reads `file` into the run's `imported.jsonl` and says what the verifier makes of it.

    The expert stage takes the first completion of an absent problem that passes, and asks nobody about it. What does
    not pass is told and left out.

    Raises:
        InputError: no run, a run whose expert stage is done, or a row that cannot be read (nothing is then imported).
    """
    run = Run(run_folder)
    if not (run_folder / "recipe.json").is_file():
        raise InputError(f"{run_folder}: no run folder (it holds no recipe.json); name one such as runs/tiny")
    read_format(run_folder)
    recipe = recipe_of(run_folder)
    with look_at_workshop(recipe, run_folder.parent, run_folder.name) as shop:
        if all(shop.in_round(n + 1).run.is_done("expert") for n in range(recipe.rounds)):
            raise InputError(f"{run_folder}: its expert stage is done; import into a new run, before that stage")
        rows = list(_rows(file, {problem.id: problem for problem in shop.sets.train}))
        fresh, refused = _examine(shop, rows)
    with locked(run_folder, "stop it"):
        append_jsonl(imported.path_of(run), fresh)
        run.event("import", file=str(file), rows=len(rows), accepted=len(fresh), refused=dict(refused))
    problems = len({row["problem"] for row in fresh})
    typer.echo(f"{file}: {len(rows)} trajectories, {len(fresh)} accepted for {problems} problems")
    for reason, number in refused.most_common():
        typer.echo(f"  {number} refused: {reason}")


def _examine(shop: Workshop, rows: list[tuple[Problem, str]]) -> tuple[list[dict[str, Any]], Counter[str]]:
    """The rows to keep, and why others are not kept."""
    known = {(problem, text) for problem, texts in imported.held(shop.run).items() for text in texts}
    examine, refused, fresh = examiner(shop), Counter[str](), list[dict[str, Any]]()
    for problem, text in tqdm(rows, desc="import", unit="trajectory", leave=False, delay=2):
        fault = "imported before" if (problem.id, text) in known else ""
        fault = fault or examine(problem, text, whole=True, told=True)[0]
        if fault:
            refused[fault] += 1
        else:
            known.add((problem.id, text))
            fresh.append({"problem": problem.id, "text": text})
    return fresh, refused


def _rows(file: Path, problems: Mapping[str, Problem]) -> Iterator[tuple[Problem, str]]:
    for number, row in enumerate(read_jsonl(file), 1):
        name = next((str(row[key]) for key in _PROBLEM_KEYS if row.get(key) is not None), None)
        text = _completion(row)
        if name is None or text is None:
            raise InputError(f"{file}, row {number}: no {'problem' if name is None else 'completion'} there; {_MEND}")
        if name not in problems:
            raise InputError(f"{file}, row {number}: the run has no training problem {name[:80]!r}; leave the row out")
        # A lone surrogate, which JSON can hold, has no bytes in UTF-8.
        yield problems[name], text.encode("utf-8", "replace").decode().strip()


def _completion(row: Mapping[str, Any]) -> str | None:
    """What the model said: a text of its own, or the last turn of a conversation."""
    for key in _TEXT_KEYS:
        if isinstance(row.get(key), str):
            return str(row[key])
    for key, (who, what, model) in _TURNS.items():
        turns = row.get(key)
        if isinstance(turns, list) and turns and isinstance(turns[-1], dict) and turns[-1].get(who) == model:
            return _joined(turns[-1].get(what))
    return None


def _joined(said: Any) -> str | None:
    """The text of a turn, whose content may be parts."""
    if isinstance(said, list) and all(isinstance(part, dict) and part.get("type") == "text" for part in said):
        said = "".join(str(part.get("text") or "") for part in said)
    return said if isinstance(said, str) and said else None
