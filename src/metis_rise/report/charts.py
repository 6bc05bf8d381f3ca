"""Which curves a report draws, and from which metrics."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import isfinite

from markupsafe import Markup

from metis_rise.report.data import HELD_OUT, MODES, Metric, RunData
from metis_rise.report.svg import Bar, Point, Series, histogram, line_plot
from metis_rise.report.text import number, percent

_LINE_COLOURS = ("rl", "rise", "third", "base")


@dataclass(frozen=True, slots=True)
class Figure:
    """A plot with its title, unit and legend: (name, colour variable, last value) per line."""

    title: str
    unit: str
    legend: Sequence[tuple[str, str, str]]
    svg: Markup


@dataclass(frozen=True, slots=True)
class _Spec:
    title: str
    unit: str
    lines: Sequence[tuple[str, str, str]]
    """(journal stage, value's name, name in the legend)"""
    text: Callable[[float], str] = number


def _share(value: float) -> str:
    """A percentage with the digits that it needs: clip fractions are far below 1 %."""
    return f"{100 * value:.3g} %"


_RL = (
    _Spec("Reward", "mean per step", [("rl", "reward", "reward")]),
    _Spec(
        "Accuracy",
        "share right",
        [("rl", "accuracy", "train"), ("rl-dev", "greedy", "dev greedy"), ("rl-dev", "sampled", "dev sampled")],
        _share,
    ),
    _Spec("Well-formed answers", "share of completions", [("rl", "format", "format")], _share),
    _Spec(
        "Other rewards",
        "mean per step, before weights",
        [("rl", "overlong", "length penalty"), ("rl", "user", "the user's own")],
    ),
    _Spec("Completion length", "tokens, mean", [("rl", "length", "length")]),
    _Spec("Entropy", "nats per token", [("rl", "entropy", "entropy")]),
    _Spec("Groups", "per step", [("rl", "groups_kept", "kept"), ("rl", "groups_sampled", "sampled")]),
    _Spec("Clipped ratios", "share of tokens", [("rl", "clip_low", "low"), ("rl", "clip_high", "high")], _share),
    _Spec(
        "KL(old || policy)",
        "nats per token, estimate",
        [("rl", "kl_old", "old to new"), ("rl", "kl", "to the reference")],
    ),
    _Spec("Throughput", "tokens per second", [("rl", "tokens_per_second", "sampled")]),
    _Spec("Sampler gap", "nats, mean |trainer - sampler|", [("rl", "sampler_gap", "gap")]),
    _Spec(
        "Largest sampler gap",
        "nats, one token",
        [("rl", "sampler_gap_max", "of the step"), ("rl", "probe_difference", "probe after a push")],
    ),
    _Spec("KL(sampler || trainer)", "nats per token, estimate", [("rl", "sampler_kl", "sampler to trainer")]),
    _Spec(
        "Staleness",
        "updates that the sampler's weights lag behind",
        [("rl", "staleness", "mean"), ("rl", "staleness_max", "oldest")],
    ),
    _Spec("Gradient norm", "before clipping", [("rl", "grad_norm", "norm")]),
    _Spec("Refill", "per step", [("rl", "refill_rounds", "rounds"), ("rl", "carried", "groups carried over")]),
    _Spec(
        "Tokens of the update",
        "through the language model per step",
        [("rl", "tokens_forwarded", "forwarded"), ("rl", "tokens_repeated", "repeated prompts would be")],
    ),
    _Spec(
        "Pictures",
        "per step",
        [("rl", "images_encoded", "through the vision tower"), ("rl", "images_unique", "distinct")],
    ),
    _Spec("Step time", "seconds", [("rl", "seconds", "step"), ("rl", "push_seconds", "push of the weights")]),
    _Spec(
        "Waiting",
        "share of the step",
        [
            ("rl", "waiting", "for samples"),
            ("rl", "data_waiting", "for pictures"),
            ("rl", "ranks_waiting", "for ranks"),
        ],
        _share,
    ),
)


def rl_figures(run: RunData) -> list[Figure]:
    """The curves of RL whose metrics were recorded."""
    found = []
    for spec in _RL:
        series = [
            Series(name, colour, _points(run.metrics, stage, value), dots=stage == "rl-dev")
            for (stage, value, name), colour in zip(spec.lines, _LINE_COLOURS, strict=False)
        ]
        found += _figure(spec.title, spec.unit, series, spec.text)
    return found


def sft_figures(run: RunData) -> list[Figure]:
    """The loss of each curriculum stage and the held-out loss, over the steps of all stages in a row; dev accuracy."""
    losses: dict[str, list[Point]] = {}
    held_out: list[Point] = []
    offset, last, phase = 0, 0, ""
    for metric in run.metrics:
        if not metric.stage.startswith("sft-") or "loss" not in metric.values:
            continue
        name = metric.stage.removeprefix("sft-").removesuffix(HELD_OUT)
        if name != phase:
            phase, offset = name, last
        last = max(last, offset + metric.step)
        points = held_out if metric.stage.endswith(HELD_OUT) else losses.setdefault(name, [])
        points.append((offset + metric.step, metric.values["loss"]))
    phases = [Series(name, _LINE_COLOURS[i % 4], points) for i, (name, points) in enumerate(losses.items())]
    return [
        *_figure("Training loss", "nats per token, by curriculum stage", phases, number),
        *_figure("Held-out solution loss", "nats per token", [Series("held out", "third", held_out, True)], number),
        *_figure(
            "Dev accuracy",
            "share right, after RL (0) and after each curriculum stage",
            [
                Series(mode, colour, _points(run.metrics, "sft-dev", mode), dots=True)
                for mode, colour in zip(MODES, _LINE_COLOURS, strict=False)
            ],
            _share,
        ),
    ]


def solve_rate_figure(run: RunData) -> Figure | None:
    """Problems by solve rate, coloured by bucket; None while diagnosis is not done."""
    rates = list((run.stages["2-diagnose"].result or {}).get("solve_rates", {}).values())
    if not rates:
        return None
    samples = _samples(rates)
    counts = Counter(_bin(rate, samples) for rate in rates)
    bars = [_bar(index / samples, counts[index], run.thresholds) for index in range(samples + 1)]
    legend = [(name, name, "") for name in ("absent", "inconsistent", "mastered")]
    svg = histogram("Problems by solve rate after RL", bars, "solve rate c, right answers / samples")
    return Figure("Solve rate", "problems", legend, svg)


def _samples(rates: Sequence[float]) -> int:
    """The fewest samples per problem that give these rates, so that every bar is a rate that can occur; at most 16."""
    fits = (k for k in range(2, 16) if all(abs(rate * k - round(rate * k)) < 1e-6 for rate in rates))
    return next(fits, 16)


def _bin(rate: float, samples: int) -> int:
    """The nearest bar, but the first and the last are for 0 and 1 alone."""
    if rate in (0, 1):
        return 0 if rate == 0 else samples
    return min(samples - 1, max(1, round(rate * samples)))


def _bar(rate: float, n: int, thresholds: tuple[float, float]) -> Bar:
    absent_at, mastered_at = thresholds
    name = "mastered" if rate >= mastered_at else "absent" if rate <= absent_at else "inconsistent"
    tick = f"{rate:g}" if rate in (0, 0.5, 1) else ""
    return Bar(n, tick, f"c about {rate:.2f}: {n:,} problems", name)


def _figure(title: str, unit: str, series: Sequence[Series], text: Callable[[float], str]) -> list[Figure]:
    shown = [one for one in series if one.finite]
    if not shown:
        return []
    legend = [(one.name, one.colour, _last(one, text)) for one in shown]
    return [Figure(title, unit, legend, line_plot(f"{title}, {unit}", shown, text))]


def _last(one: Series, text: Callable[[float], str]) -> str:
    value = next(y for _, y in reversed(one.points) if isfinite(y))
    return percent(value) if text is _share and value >= 0.01 else text(value)


def _points(metrics: Sequence[Metric], stage: str, value: str) -> list[Point]:
    return [(m.step, m.values[value]) for m in metrics if m.stage == stage and value in m.values]
