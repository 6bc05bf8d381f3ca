"""What `rise ablate` does."""

from __future__ import annotations

import sys
from collections.abc import Collection, Sequence
from fnmatch import fnmatch
from pathlib import Path

from metis_rise.ablation.arms import Arm, load_arms, shipped_arms
from metis_rise.ablation.cells import NOT_THE_ARM, Base, cells
from metis_rise.ablation.claims import load_claims, names
from metis_rise.ablation.decisions import Decision, decide
from metis_rise.ablation.page import page
from metis_rise.ablation.plain import markdown, tables
from metis_rise.ablation.results import MOST_SAMPLES, Row, read_rows
from metis_rise.ablation.tables import pairs, shared_settings, summaries
from metis_rise.errors import InputError
from metis_rise.journal import write_atomic
from metis_rise.recipe.yaml_text import parse_yaml


def ablate(
    named: Sequence[str],
    *,
    seeds: str,
    bases: str,
    results: Path,
    only: Sequence[str],
    settings: Sequence[str],
    root: Path,
    on: str,
    samples: int,
    minutes: float | None,
) -> int:
    """Runs the cells of the arms that have no result yet; returns how many are left when the minutes are over.

    Args:
        named: shipped arms and arm files; none takes all shipped ones.
        seeds: numbers, with commas between them.
        bases: models, likewise.
        results: the results file.
        only: names, patterns or groups of arms; none takes all.
        settings: KEY=VALUE for every leg of every arm that does not set KEY itself.
        root: folder of the runs.
        on: `test` or `dev`.
        samples: sampled answers per problem.
        minutes: no cell is begun after so many.

    Raises:
        InputError: whatever is wrong with these, or with an arm's recipe.
    """
    if samples > MOST_SAMPLES:
        raise InputError(f"--samples {samples}: at most {MOST_SAMPLES}")
    arms = chosen(load_arms(named, _given(settings)), only)
    models, numbers = _bases(bases), _seeds(seeds)
    # A leg's recipe names the model of the one before: the same folder, however it is written.
    root = root.resolve()
    wanted = list(cells(arms, models, numbers))
    for cell in cells(arms, models[:1], numbers[:1]):
        # All recipes are checked before the first of them is done.
        cell.legs(root)
    # Not above: the tables need no torch.
    from metis_rise.ablation.doing import Experiment, do_all

    return do_all(wanted, Experiment(root, results, tuple(sorted(settings)), on, samples, minutes))


def show(named: Sequence[str], *, results: Path, only: Sequence[str], out: Path | None, claims: Path | None) -> None:
    """Prints the tables of a results file as Markdown, or writes them: a page with plots where `out` ends in .html.

    Args:
        named: shipped arms and arm files; none takes all shipped ones.
        results: the results file.
        only: names, patterns or groups of arms; none takes all.
        out: where they are written; None prints them.
        claims: a claims file; without one those of docs/evidence.md, where only shipped arms are named.

    Raises:
        InputError: no results, an ending that says no format, or a faulty claims file.
    """
    if out is not None and out.suffix not in (".md", ".html"):
        raise InputError(f"--out {out}: must end in .md or .html")
    loaded, there = load_arms(named), read_rows(results)
    arms = {arm.name: arm for arm in chosen(loaded, only)}
    rows = [row for row in there if not only or row.arm in arms]
    if not rows:
        raise InputError(f"{results}: no results yet; rise ablate makes them")
    found = summaries(rows, arms)
    decided = _decided(loaded, there, arms, claims) if claims or set(named) <= set(shipped_arms()) else []
    made, shared = tables(found, list(pairs(rows, arms)), decided), shared_settings(rows)
    text = page(found, made, shared) if out is not None and out.suffix == ".html" else markdown(made, shared)
    if out is None:
        sys.stdout.write(text)
    else:
        write_atomic(out, text)


def _decided(loaded: Sequence[Arm], rows: Sequence[Row], shown: Collection[str], path: Path | None) -> list[Decision]:
    """The claims of which all arms are shown; what is not shown counts for the decision all the same.

    None where nothing of any of them has been run: the results are of something else.
    """
    shared = shared_settings(rows)
    ours = [row for row in rows if row.settings == shared]
    decided = decide(load_claims(path, {arm.name: arm for arm in loaded}), ours)
    found = [one for one in decided if set(names(one.claim)) <= set(shown)]
    return found if any(one.outcome != "not run" for one in found) else []


def listed(named: Sequence[str], only: Sequence[str], results: Path) -> str:
    """A line for each arm: its name, its group, how many cells have a result, and its title."""
    arms = chosen(load_arms(named), only)
    rows: list[Row] = read_rows(results)
    width = max(len(arm.name) for arm in arms)
    counts = [sum(row.arm == arm.name for row in rows) for arm in arms]
    return "".join(
        f"{arm.name:<{width}}  {arm.group:<10} {count:>3}  {arm.title}\n"
        for arm, count in zip(arms, counts, strict=True)
    )


def chosen(arms: Sequence[Arm], only: Sequence[str]) -> list[Arm]:
    """The arms whose name or group one of `only` is, * standing for anything; all without any.

    Raises:
        InputError: one of `only` fits no arm.
    """
    for wish in only:
        if not any(_fits(arm, wish) for arm in arms):
            groups = ", ".join(dict.fromkeys(arm.group for arm in arms))
            names = ", ".join(arm.name for arm in arms)
            raise InputError(f"--only {wish}: no such arm; arms: {names}; groups: {groups}")
    return [arm for arm in arms if not only or any(_fits(arm, wish) for wish in only)]


def _fits(arm: Arm, wish: str) -> bool:
    return arm.group == wish or fnmatch(arm.name, wish) or arm.name.partition("@")[0] == wish


def _given(settings: Sequence[str]) -> dict[str, object]:
    found: dict[str, object] = {}
    for each in settings:
        key, equals, text = each.partition("=")
        if not (key and equals):
            raise InputError(f"--set {each}: must be KEY=VALUE, such as rl.steps=20")
        if key in NOT_THE_ARM:
            raise InputError(f"--set {each}: is not an arm's to set; give --seeds and --bases")
        if key in found:
            raise InputError(f"--set {each}: {key} is set twice")
        found[key] = parse_yaml(text, f"--set {each}")
    return found


def _seeds(text: str) -> list[int]:
    words = [word.strip() for word in text.split(",")]
    if not all(word.isdecimal() for word in words) or len(set(map(int, words))) < len(words):
        raise InputError(f"--seeds {text}: must be different whole numbers with commas between them, such as 0,1,2")
    return [int(word) for word in words]


def _bases(text: str) -> list[Base]:
    bases = [Base.of(word.strip()) for word in text.split(",") if word.strip()]
    names = [base.name for base in bases]
    if not bases or len(set(names)) < len(names):
        raise InputError(f"--bases {text}: must be models with different names, with commas between them")
    return bases
