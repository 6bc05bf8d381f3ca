"""All that `rise data check` finds, as JSON and as lines for people."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from metis_rise.data.duplicates import Duplicates, Twin
from metis_rise.data.leaks import Checked
from metis_rise.data.lengths import Lengths, spread
from metis_rise.data.survey import Survey

SHOWN = 5


@dataclass(frozen=True, slots=True)
class Report:
    """What was found; `lengths` is None where the recipe's model is not known here, `unmeasured` then says why."""

    found: Survey
    duplicates: Duplicates
    leaks: Mapping[str, Checked]
    lengths: Lengths | None
    unmeasured: str = ""

    @property
    def leaked(self) -> int:
        """Rows that are in some benchmark."""
        return len({id(leak.entry) for checked in self.leaks.values() for leak in checked.leaks})

    @property
    def faulty(self) -> bool:
        """Whether something must be mended before anybody trains on this."""
        return bool(self.found.bad or self.leaked)

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        found, twins = self.found, self.duplicates
        sizes = found.gallery.sizes
        return {
            "file": str(found.path),
            "ok": not self.faulty,
            "rows": found.rows,
            "problems": len(found.entries),
            "bad": {
                "rows": found.bad.total(),
                "reasons": dict(found.bad.most_common()),
                "first": [{"row": row, "what": what} for row, what in found.faults],
            },
            "answer_types": dict(found.kinds.most_common()),
            "families": dict(found.families.most_common()),
            "solutions": found.solutions,
            "pictures": {
                "of_a_problem": {str(number): problems for number, problems in sorted(found.pictured.items())},
                "different": len(sizes),
                "width": spread([width for width, _ in sizes]),
                "height": spread([height for _, height in sizes]),
            },
            "tokens": {"why_not": self.unmeasured} if self.lengths is None else self.lengths.to_json(),
            "duplicates": {
                "exact": len(twins.exact),
                "near": len(twins.near),
                "contradictions": len(twins.contradictions()),
                "rows": [_twin(twin, kind) for kind in ("exact", "near") for twin in getattr(twins, kind)],
            },
            "leaks": {"rows": self.leaked, "benchmarks": {k: checked.to_json() for k, checked in self.leaks.items()}},
        }


def _twin(twin: Twin, kind: str) -> dict[str, Any]:
    return {
        "row": twin.entry.row,
        "id": twin.entry.id,
        "earlier_row": twin.earlier.row,
        "earlier_id": twin.earlier.id,
        "kind": kind,
        "same_answer": twin.agree,
    }


def lines(report: Report) -> Iterator[tuple[str, str]]:
    """What to print: a style of rich ("" for none) and a line."""
    yield from _counts(report.found)
    yield from _lengths(report)
    yield from _bad(report.found)
    yield from _twins(report.duplicates)
    yield from _leaks(report)


def _counts(found: Survey) -> Iterator[tuple[str, str]]:
    yield "bold", f"{found.path}: {len(found.entries)} of {found.rows} rows are problems that can be used"
    yield "", f"answers: {_listed(found.kinds.most_common())}"
    yield "", f"families: {_listed(found.families.most_common(SHOWN))}{_more(len(found.families))}"
    yield "", f"worked solutions: {found.solutions}"
    pictured = [(f"with {number} pictures", rows) for number, rows in sorted(found.pictured.items())]
    yield "", f"problems {_listed(pictured)}; {len(found.gallery)} different pictures"
    for name, axis in (("width", 0), ("height", 1)):
        if values := spread([size[axis] for size in found.gallery.sizes]):
            yield "", f"{name} of pictures, in pixels: {_spread(values)}"


def _lengths(report: Report) -> Iterator[tuple[str, str]]:
    if report.lengths is None:
        yield "yellow", f"token lengths: not measured ({report.unmeasured})"
        return
    tokens = report.lengths.to_json()
    if tokens["prompt"] is None:
        return
    yield "", f"tokens of a prompt of {tokens['model']}, about: {_spread(tokens['prompt'])}"
    yield "", f"  of its pictures: {_spread(tokens['image'])}; of text: {_spread(tokens['text'])}"
    if tokens["note"]:
        yield "", f"  {tokens['note']}"
    if tokens["pictures_shrunk"]:
        yield "", f"  pictures that model.max_pixels makes smaller: {tokens['pictures_shrunk']}"
    if tokens["longer_than_room"]:
        said = f"  {tokens['longer_than_room']} prompts are longer than the {tokens['room']} tokens that micro_tokens"
        yield "yellow", f"{said} leaves beside a completion; raise rl.micro_tokens and sft.micro_tokens"


def _bad(found: Survey) -> Iterator[tuple[str, str]]:
    if not found.bad:
        yield "green", "no bad row"
        return
    yield "red", f"{found.bad.total()} bad rows: {_listed(found.bad.most_common())}"
    for _, what in found.faults[:SHOWN]:
        yield "", f"  {what}"


def _twins(twins: Duplicates) -> Iterator[tuple[str, str]]:
    wrong = twins.contradictions()
    style = "yellow" if twins.exact or twins.near else "green"
    yield style, f"duplicates: {len(twins.exact)} exact, {len(twins.near)} near"
    for twin in [*wrong, *(t for t in (*twins.exact, *twins.near) if t.agree)][:SHOWN]:
        remark = "" if twin.agree else ", but its gold answer is another"
        yield "", f"  {_named(twin)} asks what row {twin.earlier.row} asks ({twin.earlier.id}){remark}"
    if wrong:
        yield "yellow", f"  of them with another gold answer: {len(wrong)}; at most one of two is right"


def _named(twin: Twin) -> str:
    return f"row {twin.entry.row} ({twin.entry.id})"


def _leaks(report: Report) -> Iterator[tuple[str, str]]:
    for checked in report.leaks.values():
        if checked.why_not:
            yield "yellow", f"{checked.title}: not checked ({checked.why_not})"
            continue
        whole = "" if checked.items >= checked.of else f" of {checked.of}, the others are not checked"
        style = "red" if checked.leaks else "yellow" if whole else "green"
        yield style, f"{checked.title}: {len(checked.leaks)} rows are in it ({checked.items} items{whole})"
        for leak in checked.leaks[:SHOWN]:
            yield "", f"  row {leak.entry.row} ({leak.entry.id}) is index {leak.index}, by its {leak.same}"
    if report.leaked:
        yield "red", f"{report.leaked} rows are evaluation data: take them out before you train"


def _listed(counts: Sequence[tuple[str, int]]) -> str:
    return ", ".join(f"{name} {number}" for name, number in counts) or "none"


def _more(number: int) -> str:
    return f" and {number - SHOWN} more" if number > SHOWN else ""


def _spread(values: Mapping[str, int]) -> str:
    return f"median {values['median']}, 95 % up to {values['p95']}, from {values['least']} to {values['most']}"
