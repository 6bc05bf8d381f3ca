"""A problem of a run on the terminal: pictures, question, where it stands, and who answered what."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.padding import Padding
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from metis_rise.errors import InputError
from metis_rise.look.picture import Way, draw, way_of
from metis_rise.look.problem import Answers, Found, find
from metis_rise.problems.images import ImageStore
from metis_rise.report.text import percent
from metis_rise.terminal.plain import one_line, plain
from metis_rise.types import Problem, Trajectory

_LINES = 12
_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


def print_problem(
    path: Path, name: str, console: Console, *, every: bool = False, as_json: bool = False, way: Way | None = None
) -> None:
    """Prints the problem `name` of the run in `path`, as one JSON object on stdout or for people.

    Args:
        path: a run folder.
        name: the problem's id, or a part that no other id has.
        console: where it goes.
        every: all trajectories in full; else of each source one that is right and one that is wrong, cut short.
        as_json: print JSON instead.
        way: how pictures are drawn; None: the best that the terminal can.
    """
    found = find(path, name)
    if as_json:
        print(json.dumps(found.to_json(), ensure_ascii=False))
        return
    problem = found.problem
    title = f"{problem.id}  {found.split}, {problem.family or problem.source or 'no family'}, level {problem.level}"
    console.print(Rule(Text(one_line(title), style="bold"), align="left"))
    _pictures(problem, ImageStore(path / "images"), console, way_of(console) if way is None else way)
    console.print(Text(plain(problem.question)))
    for letter, choice in zip(_LETTERS, problem.choices or (), strict=False):
        console.print(Text(f"  {letter}. {plain(choice)}"))
    console.print(Text.assemble(("gold answer: ", "dim"), (plain(problem.answer), "bold")))
    console.print(_standing(found))
    for answers in found.answers:
        console.print()
        _print_answers(answers, console, every=every)
    if found.unread:
        console.print(Text(f"{found.unread} files of RL's rollouts, in the middle, were not read.", style="dim"))


def _pictures(problem: Problem, store: ImageStore, console: Console, way: Way) -> None:
    for key in problem.images:
        try:
            picture = store.open(key)
        except InputError as error:
            console.print(Text(f"picture: {one_line(str(error))}", style="yellow"), soft_wrap=True)
            continue
        draw(picture, console, way)
        said = f"picture: {store.path(key)} ({picture.width} x {picture.height})"
        console.print(Text(said, style="dim"), soft_wrap=True)


def _standing(found: Found) -> Text:
    why = "not diagnosed yet" if found.split == "train" else f"a {found.split} problem, which is never trained on"
    said = "; then ".join(f"{bucket}, {percent(rate, 0)} right" for bucket, rate in found.standings)
    unsolved = f"; no expert's answer was kept: {one_line(found.unsolved)}" if found.unsolved else ""
    return Text.assemble(("where it stands: ", "dim"), (said, "bold") if said else why, (unsolved, "yellow"))


def _print_answers(answers: Answers, console: Console, *, every: bool) -> None:
    total = len(answers.trajectories)
    shown = answers.trajectories if every else _examples(answers.trajectories)
    some = f", {len(shown)} shown" if len(shown) < total else ""
    title = f"{answers.where}: {answers.right} of {total} right{some}"
    console.print(Rule(Text(title, style="bold cyan"), align="left", style="dim"))
    for each in shown:
        console.print(_verdict(each))
        console.print(Padding(_text(each.text, None if every else _LINES), (0, 0, 0, 2), expand=False))


def _examples(trajectories: Sequence[Trajectory]) -> list[Trajectory]:
    """The last that is right and the last that is wrong: of the newest weights, where there are several."""
    found = {t.strict: t for t in trajectories}
    return [found[right] for right in (True, False) if right in found]


def _verdict(t: Trajectory) -> Table:
    said = [f"sample {t.sample}", f"weights {t.weights_version}", f"ended by {t.stop.value}"]
    if t.verdict is not None:
        answer = "no answer" if t.verdict.extracted is None else f"answered {one_line(t.verdict.extracted, 40)}"
        form = "" if t.verdict.well_formed else "not well formed"
        reason = one_line(t.verdict.reason, 120)
        said = [part for part in (answer, form, reason, *said) if part]
    sign = Text("✓ right", style="bold green") if t.strict else Text("✗ wrong", style="bold red")
    row = Table.grid(padding=(0, 2))
    row.add_column(no_wrap=True)
    row.add_column()
    row.add_row(sign, Text(", ".join(said), style="dim"))
    return row


def _text(text: str, most: int | None) -> Text:
    """The completion, of a long one its beginning and its end."""
    lines = plain(text).strip().splitlines()
    if most is not None and len(lines) > most:
        left = len(lines) - most
        lines = [*lines[: most // 2], f"… {left} lines, shown with --all …", *lines[-(most - most // 2) :]]
    return Text("\n".join(lines))
