"""What results say of claims, by the rules of a claims file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from metis_rise.ablation.claims import Claim, Difference, Protocol, Rule
from metis_rise.ablation.results import Row
from metis_rise.ablation.statistics import holm
from metis_rise.ablation.tables import MODES, Comparison, Pair, Reading, comparison

Outcome = Literal["supported", "refuted", "open", "not yet", "not run"]
LEVEL_OF_P = 0.05
_Rows = Mapping[tuple[str, tuple[str, int]], Row]


@dataclass(frozen=True, slots=True)
class Finding:
    """A difference as it came out; `base` is "" over all bases."""

    difference: Difference
    base: str
    greedy: Comparison
    sampled: Comparison

    @property
    def reading(self) -> Reading:
        """Greedy, above or below what, or level with it."""
        return self.greedy.verdict

    @property
    def p(self) -> float:
        """Of the greedy difference."""
        found = self.greedy.found.p
        assert found is not None, "differences are tested"
        return found

    @property
    def label(self) -> str:
        """What it is of."""
        one = self.difference
        more = [*([] if one.split == "test" else [one.split]), *one.families, *([self.base] if self.base else [])]
        return f"{one.of} ({', '.join(more)})" if more else one.of

    @property
    def contradicted(self) -> bool:
        """Whether sampled accuracy has the other sign. What is level has none."""
        return self.reading in ("above", "below") and self.greedy.found.mean * self.sampled.found.mean < 0


@dataclass(frozen=True, slots=True)
class Decision:
    """A claim's outcome, what it rests on, and why it is not decided.

    p: the largest of what it rests on. corrected: of a primary claim, after Holm's correction.
    """

    claim: Claim
    outcome: Outcome
    why: str
    findings: Sequence[Finding] = ()
    p: float | None = None
    corrected: float | None = None


def decide(protocol: Protocol, rows: Sequence[Row]) -> list[Decision]:
    """Every claim of a file; `rows` are of one command line's settings.

    A primary claim that is not decided yet counts as if its p were 1: then nothing that is supported now is less so
    when it comes in.
    """
    there = {(row.arm, row.cell): row for row in rows}
    decided = [_decided(claim, protocol, there) for claim in protocol.claims]
    primary = [one for one in decided if one.claim.primary]
    found = holm([1.0 if one.p is None else one.p for one in primary])
    corrected = {one.claim.number: p for one, p in zip(primary, found, strict=True)}
    return [_held(one, corrected[one.claim.number]) if one.claim.primary else one for one in decided]


def _held(one: Decision, corrected: float) -> Decision:
    """A primary claim, which the corrected p must leave as it is."""
    if one.p is None:
        return one
    if one.outcome != "supported" or corrected < LEVEL_OF_P:
        return replace(one, corrected=corrected)
    return replace(one, corrected=corrected, outcome="open", why=f"p is {corrected:.3f} after Holm's correction")


def _decided(claim: Claim, protocol: Protocol, there: _Rows) -> Decision:
    """Without Holm's correction."""
    if not protocol.known(claim):
        return Decision(claim, "not run", "its arms are not there")
    wanted = {
        (name, cell, split)
        for part in claim.parts
        for each in part
        for name in each.arms
        for cell in protocol.both(each)
        for split in (each.split, *([each.level_on] if each.level_on else []))
    }
    missing = {(name, cell) for name, cell, split in wanted if not _scored(there.get((name, cell)), split)}
    n = len({(name, cell) for name, cell, _ in wanted})
    if missing:
        outcome: Outcome = "not run" if len(missing) == n else "not yet"
        return Decision(claim, outcome, f"{n - len(missing)} of {n} cells are there")
    parts = [[found for one in part for found in _findings(one, protocol, there)] for part in claim.parts]
    return _ruled(claim, parts)


def _scored(row: Row | None, split: str) -> bool:
    return row is not None and split in row.raw["scores"]


def _findings(one: Difference, protocol: Protocol, there: _Rows) -> Iterator[Finding]:
    """Over all bases, and base by base where it must hold on each; none where the arms are to be level and are not."""
    second, first = one.arms
    cells = protocol.both(one)
    pair = Pair(second, first, *([there[name, cell] for cell in cells] for name in (second, first)))
    if one.level_on is not None and comparison(pair, one.level_on, MODES[0]).verdict != "level":
        return
    yield _finding(one, pair, "")
    for base in dict.fromkeys(pair.bases) if one.each_base else ():
        yield _finding(one, pair.of_base(base), base)


def _finding(one: Difference, pair: Pair, base: str) -> Finding:
    return Finding(one, base, *(comparison(pair, one.split, mode, one.families) for mode in MODES))


def _ruled(claim: Claim, parts: Sequence[Sequence[Finding]]) -> Decision:
    speaking = [part for part in parts if part and all(each.reading in claim.supported.when for each in part)]
    against = [part for part in parts if any(each.reading in claim.refuted.when for each in part)]
    findings = [each for part in parts for each in part]
    barred = [each for each in findings if each.reading in claim.supported.never]
    outcome: Outcome = "open"
    counted: list[Finding] = []
    if len(against) >= _needed(claim.refuted, parts):
        outcome, counted = "refuted", [f for part in against for f in part if f.reading in claim.refuted.when]
    elif len(speaking) >= _needed(claim.supported, parts) and not barred:
        outcome, counted = "supported", [each for part in speaking for each in part]
    why = ""
    if contradicted := [each.label for each in counted if each.contradicted]:
        outcome, why = "open", f"sampled accuracy has the other sign: {', '.join(contradicted)}"
    elif outcome == "open":
        tallies = (
            _tally(rule, found, parts) for rule, found in ((claim.supported, speaking), (claim.refuted, against))
        )
        said = [f"{each.reading}: {each.label}" for each in barred]
        unmatched = [] if all(parts) else [f"{sum(not part for part in parts)} of {len(parts)} have no level arms"]
        why = "; ".join([*tallies, *said, *unmatched])
    over = counted if outcome == "supported" else findings
    return Decision(claim, outcome, why, findings, max((each.p for each in over if not each.base), default=None))


def _needed(rule: Rule, parts: Sequence[object]) -> int:
    return rule.at_least or len(parts)


def _tally(rule: Rule, found: Sequence[object], parts: Sequence[object]) -> str:
    return f"{' or '.join(rule.when)}: {len(found)} of {len(parts)}, {_needed(rule, parts)} needed"
