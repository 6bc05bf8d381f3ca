"""The tables as Markdown."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from metis_rise.ablation.decisions import Decision, Finding
from metis_rise.ablation.statistics import Estimate
from metis_rise.ablation.tables import (
    MODES,
    TARGETS,
    Comparison,
    Pair,
    Summary,
    compared,
    needed,
    transitions,
)

_BUCKETS = ("absent", "inconsistent", "mastered")


@dataclass(frozen=True, slots=True)
class Table:
    """A table of texts; `words` are the columns that hold no figures."""

    title: str
    note: str
    heads: Sequence[str]
    rows: Sequence[Sequence[str]]
    words: Sequence[int] = (0,)


def tables(found: Sequence[Summary], pairs: Sequence[Pair], decisions: Sequence[Decision]) -> list[Table]:
    """All tables that the results have something for."""
    differences = [each for pair in pairs for each in compared(pair)]
    made = [
        _claims(decisions),
        *_accuracies(found),
        _budgets(found),
        *_comparisons(differences),
        _by_base(pairs),
        _needed(found),
    ]
    made += [_shares("By family", "Greedy, percent.", found, [one.families for one in found])]
    made += [_kinds(found), _pass_at(found), _transitions(pairs)]
    return [table for table in made if table.rows]


def markdown(made: Sequence[Table], shared: Sequence[str] = ()) -> str:
    """The tables one after the other; `shared` is what the command line set in all arms."""
    head = [f"All arms with {', '.join(shared)}.\n"] if shared else []
    return "\n".join([*head, *(line for table in made for line in _lines(table))])


def _lines(table: Table) -> Iterator[str]:
    yield f"### {table.title}\n"
    yield f"{table.note}\n"
    yield "| " + " | ".join(table.heads) + " |"
    yield "|" + "|".join("---" if place in table.words else "---:" for place in range(len(table.heads))) + "|"
    yield from ("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in table.rows)
    yield ""


def percent(found: Estimate) -> str:
    """A share with its interval."""
    return f"{100 * found.mean:.1f} ({100 * found.low:.1f} to {100 * found.high:.1f})"


def points(found: Estimate) -> str:
    """A difference with its interval, in percentage points."""
    return f"{100 * found.mean:+.1f} ({100 * found.low:+.1f} to {100 * found.high:+.1f})"


def chance(p: float) -> str:
    """How likely chance alone is to do as much."""
    return "<0.001" if p < 0.0005 else f"{p:.3f}"


def _claims(decisions: Sequence[Decision]) -> Table:
    note = "Decided by greedy accuracy on the cells of the protocol, once all are there; Holm's p over primary claims."
    heads = ["", "claim", "outcome", "p, Holm", "rests on", "cells", "greedy", "sampled", "p", "", "why"]
    rows = [row for one in decisions for row in _claim(one)]
    return Table("Claims", note, heads, rows, words=(0, 1, 2, 4, 9, 10))


def _claim(one: Decision) -> Iterator[list[str]]:
    """A row with the claim and its first difference, and one for each of its other differences."""
    kind = "primary" if one.claim.primary else "secondary"
    p = kind if one.corrected is None else chance(one.corrected)
    head, why = [str(one.claim.number), one.claim.claim, one.outcome, p], one.why
    for difference in [_difference(each) for each in one.findings] or [[""] * 6]:
        yield [*head, *difference, why]
        head, why = [""] * len(head), ""


def _difference(one: Finding) -> list[str]:
    said = [points(one.greedy.found), f"{100 * one.sampled.found.mean:+.1f}"]
    return [one.label, str(one.greedy.found.cells), *said, chance(one.p), one.reading]


def _accuracies(found: Sequence[Summary]) -> Iterator[Table]:
    for split in dict.fromkeys(split for one in found for split in one.scores):
        rows = [
            [
                one.title,
                str(one.cells),
                f"{one.costs['expert_traces']:.0f}",
                *(percent(one.scores[split][mode]) for mode in MODES),
            ]
            for one in found
            if split in one.scores
        ]
        n = next(one.scores[split]["greedy"].problems for one in found if split in one.scores)
        note = f"Right and well formed, percent of {n} problems, with 95 % intervals over seeds and problems."
        yield Table(f"Accuracy: {split}", note, ["arm", "cells", "expert traces", *MODES], rows)


def _budgets(found: Sequence[Summary]) -> Table:
    heads = ["arm", "generated, k tokens", "trained, k tokens", "seconds"]
    heads += ["expert calls", "traces kept", "taught", "their tokens", "money"]
    rows = [
        [
            one.title,
            *(f"{one.costs[kind] / 1000:.0f}" for kind in ("generated", "trained")),
            f"{one.costs['seconds']:.0f}",
            *(f"{one.costs[f'expert_{name}']:.0f}" for name in ("calls", "traces", "taught", "tokens")),
            f"{one.costs['expert_money']:.2f}",
        ]
        for one in found
    ]
    note = "Means of a cell. Stages that arms share are counted in each; scores in none, but for stages' seconds."
    return Table("What it cost", note, heads, rows)


def _comparisons(differences: Sequence[Comparison]) -> Iterator[Table]:
    for split in dict.fromkeys(each.split for each in differences):
        rows = [
            [
                f"{each.arm} - {each.against}",
                each.mode,
                str(each.found.cells),
                points(each.found),
                "-" if each.found.p is None else chance(each.found.p),
                each.verdict,
            ]
            for each in differences
            if each.split == split
        ]
        note = "Percentage points on the same problems, bases and seeds; p of no difference, over seeds and problems."
        yield Table(f"Paired: {split}", note, ["difference", "mode", "cells", "points", "p", ""], rows)


def _by_base(pairs: Sequence[Pair]) -> Table:
    bases = sorted({base for pair in pairs for base in pair.bases})
    rows = [
        [f"{pair.arm} - {pair.against}", *(_of_base(pair, base) for base in bases)]
        for pair in (pairs if len(bases) > 1 else ())
    ]
    return Table("Paired, base by base", "Greedy, percentage points.", ["difference", *bases], rows)


def _of_base(pair: Pair, base: str) -> str:
    return points(next(compared(pair.of_base(base))).found) if base in pair.bases else "-"


def _needed(found: Sequence[Summary]) -> Table:
    rows = [[line, *("-" if x is None else f"{x:.0f}" for x in xs)] for line, xs in needed(found, MODES[0]).items()]
    heads = ["line", *(f"{100 * target:.0f} %" for target in TARGETS)]
    note = "Between the points of a line; where its first point is as high already, fewer may do."
    return Table("Expert traces needed for a greedy accuracy of", note, heads, rows)


def _kinds(found: Sequence[Summary]) -> Table:
    note = "Greedy, percent of answers; perception and reasoning are told apart by the chain checker."
    return _shares("What answers are", note, found, [one.kinds for one in found])


def _shares(title: str, note: str, found: Sequence[Summary], shares: Sequence[Mapping[str, float]]) -> Table:
    names = list(dict.fromkeys(name for each in shares for name in each))
    rows = [
        [one.title, *(f"{100 * each.get(name, 0.0):.1f}" for name in names)]
        for one, each in zip(found, shares, strict=True)
    ]
    return Table(title, note, ["arm", *names], rows)


def _pass_at(found: Sequence[Summary]) -> Table:
    powers = sorted({k for one in found for k in one.pass_at})
    rows = [
        [
            one.title,
            "-" if one.entropy is None else f"{one.entropy:.3f}",
            *(f"{100 * one.pass_at[k]:.1f}" if k in one.pass_at else "-" for k in powers),
        ]
        for one in found
        if one.pass_at
    ]
    heads = ["arm", "entropy, nats a token", *(f"pass@{k}" for k in powers)]
    return Table("pass@k", "Sampled, percent.", heads, rows)


def _transitions(pairs: Sequence[Pair]) -> Table:
    heads = [(before, after) for before in _BUCKETS for after in _BUCKETS]
    rows = [
        [f"{pair.against} to {pair.arm}", *(f"{100 * shares.get(change, 0.0):.1f}" for change in heads)]
        for pair in pairs
        if (shares := transitions(pair))
    ]
    note = "Percent of problems, by how many of their samples are right: none, some, all."
    return Table("Solve rates, from one arm to another", note, ["arms", *(f"{a} to {b}" for a, b in heads)], rows)
