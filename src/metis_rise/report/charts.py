"""Which curves a report draws, and from which metrics."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite

from markupsafe import Markup

from metis_rise.report.data import HELD_OUT, MODES, Metric, RunData
from metis_rise.report.flow_svg import flow_picture
from metis_rise.report.movement import ORDER, FirstMet, Flow, bucket_of
from metis_rise.report.svg import Bar, Point, Series, histogram, line_plot
from metis_rise.report.text import number, percent
from metis_rise.run import round_name

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
    _Spec("Filter rate", "share of sampled groups that are filtered out", [("rl", "filter_rate", "filtered")], _share),
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
    _Spec("Learning rate", "per update", [("rl", "lr", "rate")]),
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


def rl_figures(run: RunData, round_number: int = 1) -> list[Figure]:
    """The curves of a round's RL whose metrics were recorded."""
    found = []
    prefix = _prefix(round_number)
    for spec in _RL:
        series = [
            Series(name, colour, _points(run.metrics, prefix + stage, value), dots=stage == "rl-dev")
            for (stage, value, name), colour in zip(spec.lines, _LINE_COLOURS, strict=False)
        ]
        found += _figure(spec.title, spec.unit, series, spec.text)
    return found


@dataclass(frozen=True, slots=True)
class _Lesson:
    """A line of metrics of SFT: which curriculum stage's, and its step over all stages in a row."""

    phase: str
    step: int
    held_out: bool
    values: Mapping[str, float]


def sft_figures(run: RunData, round_number: int = 1) -> list[Figure]:
    """Losses, gradient norm, learning rate and throughput over the steps of all curriculum stages; dev accuracy."""
    prefix = _prefix(round_number)
    lessons = _lessons(run.metrics, f"{prefix}sft-")
    held_out: list[Point] = [(one.step, one.values["loss"]) for one in lessons if one.held_out]
    return [
        *_figure("Training loss", "nats per token, by curriculum stage", _phases(lessons, _value("loss")), number),
        *_figure("Held-out solution loss", "nats per token", [Series("held out", "third", held_out, True)], number),
        *_figure(
            "Dev accuracy",
            "share right, after RL (0) and then",
            [
                Series(mode, colour, _points(run.metrics, f"{prefix}sft-dev", mode), dots=True)
                for mode, colour in zip(MODES, _LINE_COLOURS, strict=False)
            ],
            _share,
            "curriculum stage",
        ),
        *_figure("Gradient norm of SFT", "before clipping", _phases(lessons, _value("grad_norm")), number),
        *_figure("Learning rate of SFT", "per update", _phases(lessons, _value("lr")), number),
        *_figure("Throughput of SFT", "trained tokens per second", _phases(lessons, _speed), number),
    ]


def _prefix(round_number: int) -> str:
    """What the names of a round's curves begin with."""
    return "" if round_number == 1 else f"{round_name(round_number)}/"


def _lessons(metrics: Sequence[Metric], prefix: str) -> list[_Lesson]:
    found: list[_Lesson] = []
    offset, last, phase = 0, 0, ""
    for metric in metrics:
        if not metric.stage.startswith(prefix) or "loss" not in metric.values:
            continue
        name = metric.stage.removeprefix(prefix).removesuffix(HELD_OUT)
        if name != phase:
            phase, offset = name, last
        last = max(last, offset + metric.step)
        found.append(_Lesson(name, offset + metric.step, metric.stage.endswith(HELD_OUT), metric.values))
    return found


def _phases(lessons: Sequence[_Lesson], value: Callable[[Mapping[str, float]], float | None]) -> list[Series]:
    """A line for each curriculum stage, of the `value` of its steps where they have it."""
    points: dict[str, list[Point]] = {}
    for one in lessons:
        if not one.held_out and (found := value(one.values)) is not None:
            points.setdefault(one.phase, []).append((one.step, found))
    return [Series(name, _LINE_COLOURS[i % 4], line) for i, (name, line) in enumerate(points.items())]


def _value(name: str) -> Callable[[Mapping[str, float]], float | None]:
    return lambda values: values.get(name)


def _speed(values: Mapping[str, float]) -> float | None:
    return values["tokens"] / values["seconds"] if values.get("seconds") and "tokens" in values else None


def solve_rate_figures(run: RunData, met: FirstMet) -> list[Figure]:
    """Problems by solve rate, coloured by bucket: when RL first met them, and in diagnosis; those that are known."""
    after = (run.stages["2-diagnose"].result or {}).get("solve_rates", {})
    found = [
        (
            "Solve rate before",
            f"problems, when RL first met them (after about {number(met.updates)} updates)",
            met.rates,
        ),
        ("Solve rate after RL", "problems, in diagnosis", after),
    ]
    return [_histogram(title, unit, list(rates.values()), run.thresholds) for title, unit, rates in found if rates]


def flow_figures(flows: Sequence[tuple[str, str, Flow | None]]) -> list[Figure]:
    """Flows of problems between buckets, given (title, unit, flow); None where there is nothing to compare."""
    legend = [(bucket.value, bucket.value, "") for bucket in ORDER]
    return [Figure(title, unit, legend, flow_picture(title, flow)) for title, unit, flow in flows if flow is not None]


def _histogram(title: str, unit: str, rates: Sequence[float], thresholds: tuple[float, float]) -> Figure:
    samples = _samples(rates)
    counts = Counter(_bin(rate, samples) for rate in rates)
    bars = [_bar(index / samples, counts[index], thresholds) for index in range(samples + 1)]
    legend = [(bucket.value, bucket.value, "") for bucket in reversed(ORDER)]
    return Figure(title, unit, legend, histogram(title, bars, "solve rate c, right answers / samples"))


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
    tick = f"{rate:g}" if rate in (0, 0.5, 1) else ""
    return Bar(n, tick, f"c about {rate:.2f}: {n:,} problems", bucket_of(rate, thresholds).value)


def _figure(
    title: str, unit: str, series: Sequence[Series], text: Callable[[float], str], x_label: str = "step"
) -> list[Figure]:
    shown = [one for one in series if one.finite]
    if not shown:
        return []
    legend = [(one.name, one.colour, _last(one, text)) for one in shown]
    return [Figure(title, unit, legend, line_plot(f"{title}, {unit}", shown, text, x_label))]


def _last(one: Series, text: Callable[[float], str]) -> str:
    value = next(y for _, y in reversed(one.points) if isfinite(y))
    return percent(value) if text is _share and value >= 0.01 else text(value)


def _points(metrics: Sequence[Metric], stage: str, value: str) -> list[Point]:
    return [(m.step, m.values[value]) for m in metrics if m.stage == stage and value in m.values]
