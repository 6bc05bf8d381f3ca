"""The experiment as one HTML file that needs nothing else: accuracy over expert traces, pass@k, and all tables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import cycle, product
from math import log2

from markupsafe import Markup

from metis_rise.ablation.plain import Table
from metis_rise.ablation.tables import MODES, Summary
from metis_rise.report.charts import Figure
from metis_rise.report.html import environment
from metis_rise.report.svg import Series, line_plot

# Names of places on the x axis that lie nearer, in powers of two, would be written over each other.
_APART = 0.5
_COLOURS = ("rise", "base", "rl", "third", "wrong", "right")


def page(found: Sequence[Summary], made: Sequence[Table], shared: Sequence[str] = ()) -> str:
    """The page; what files of the user's say is escaped by the template engine. `shared`: as of `markdown`."""
    template = environment().get_template("ablation.html.j2")
    cells = sum(one.cells for one in found)
    plots = {"Accuracy over the number of expert traces": list(figures(found)), "pass@k": list(pass_figures(found))}
    return template.render(plots=plots, tables=made, cells=cells, shared=shared)


def figures(found: Sequence[Summary]) -> Iterator[Figure]:
    """For each group, split and mode the lines that its arms are points of, over the expert traces that were kept."""
    groups = dict.fromkeys(one.group for one in found if one.line is not None)
    splits = dict.fromkeys(split for one in found for split in one.scores)
    for group, split, mode in product(groups, splits, MODES):
        lines: dict[str, list[Summary]] = {}
        for one in found:
            if one.line is not None and one.group == group and split in one.scores:
                lines.setdefault(one.line, []).append(one)
        if lines:
            title = f"{split}, {mode}" + (f": {group}" if len(groups) > 1 else "")
            yield _figure(title, lines, split, mode)


def pass_figures(found: Sequence[Summary]) -> Iterator[Figure]:
    """pass@k over k of arms with several samples a problem, as many in one plot as there are colours."""
    arms = [one for one in found if one.pass_at]
    for start in range(0, len(arms), len(_COLOURS)):
        coloured = zip(arms[start:], _COLOURS, strict=False)
        series = [
            Series(one.title, colour, [(log2(k), 100 * share) for k, share in one.pass_at.items()], dots=True)
            for one, colour in coloured
        ]
        legend = [(one.name, one.colour, f"{one.points[-1][1]:.1f} %") for one in series]
        places = sorted({x for one in series for x, _ in one.points})
        title = f"pass@1 to pass@{2 ** places[-1]:.0f}"
        svg = line_plot(title, series, _percent, "k", x_ticks=places, x_format=lambda place: f"{2**place:.0f}")
        yield Figure(title, "at least one of k samples right and well formed", legend, svg)


def _figure(title: str, lines: Mapping[str, Sequence[Summary]], split: str, mode: str) -> Figure:
    colours = cycle(_COLOURS)
    series = [_series(name, next(colours), points, split, mode) for name, points in lines.items()]
    ends = [(one.name, one.colour, *one.points[-1]) for one in series]
    legend = [(name, colour, f"{y:.1f} % at {_traces(x)}") for name, colour, x, y in ends]
    return Figure(title, "right and well formed", legend, _plot(title, series))


def _plot(title: str, series: Sequence[Series]) -> Markup:
    """Over the logarithm of the number of traces: twice as many are a step, however many there are."""
    places: list[float] = []
    for x in sorted({x for one in series for x, _ in one.points}):
        if not places or x - places[-1] > _APART:
            places.append(x)
    return line_plot(title, series, _percent, "expert traces", x_ticks=places, x_format=_traces)


def _percent(value: float) -> str:
    return f"{value:.3g} %"


def _place(traces: float) -> float:
    """Where so many traces are on the x axis; there is a place for none."""
    return log2(1 + traces)


def _traces(place: float) -> str:
    return f"{2**place - 1:.0f}"


def _series(name: str, colour: str, points: Sequence[Summary], split: str, mode: str) -> Series:
    ordered = sorted(points, key=lambda one: one.costs["expert_traces"])
    scores = [one.scores[split][mode] for one in ordered]
    at = [_place(one.costs["expert_traces"]) for one in ordered]
    line = [(x, 100 * score.mean) for x, score in zip(at, scores, strict=True)]
    return Series(name, colour, line, dots=True, spans=[(100 * score.low, 100 * score.high) for score in scores])
