"""Line plots and histograms as inline SVG: drawn for a column of 352 px, so that text is 13 px on the page."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from html import escape
from math import ceil, floor, isfinite, log10

from markupsafe import Markup

WIDTH, HEIGHT = 352, 216
_TOP, _RIGHT, _BOTTOM = 10, 14, 42
_CHARACTER = 7.4
_MOST_POINTS = 160
_SMOOTHED_FROM = 24

Format = Callable[[float], str]
Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Series:
    """A named line through (x, y) points; `colour` is a CSS variable's name, `dots` marks every point.

    `spans` are intervals of y, (low, high) for each point, of lines that are not thinned.
    """

    name: str
    colour: str
    points: Sequence[Point]
    dots: bool = False
    spans: Sequence[tuple[float, float]] = ()

    @property
    def finite(self) -> list[Point]:
        """The points that can be drawn, thinned by averaging neighbours to at most 160."""
        kept = [(x, y) for x, y in self.points if isfinite(y)]
        size = ceil(len(kept) / _MOST_POINTS) or 1
        return [_mean(kept[start : start + size]) for start in range(0, len(kept), size)]


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar of a histogram; `title` is shown on hover, `tick` below it (may be empty)."""

    value: float
    tick: str
    title: str
    colour: str


def ticks(low: float, high: float, most: int = 5) -> list[float]:
    """At most `most` + 1 round numbers, equally spaced by 1, 2 or 5 times a power of ten, around low..high."""
    span = (abs(high) or 1.0) if _flat(low, high) else high - low
    power = 10.0 ** floor(log10(span / most))
    step = next(m * power for m in (1, 2, 5, 10, 20) if ceil(high / (m * power)) - floor(low / (m * power)) <= most)
    first, last = floor(low / step + 1e-9), ceil(high / step - 1e-9)
    digits = 12 - floor(log10(step))
    return [round(n * step, digits) for n in range(first, max(last, first + 1) + 1)]


def _flat(low: float, high: float) -> bool:
    """Whether they are one value: means of equal numbers differ in their last bits."""
    return high - low <= 1e-9 * max(abs(low), abs(high))


def line_plot(
    title: str,
    series: Sequence[Series],
    y_format: Format,
    x_label: str = "step",
    x_ticks: Sequence[float] = (),
    x_format: Format = lambda value: f"{value:,.0f}",
) -> Markup:
    """A line plot with axes and hover titles; long noisy lines are faint under their running mean.

    `x_ticks` are places on the x axis that are named; whole round numbers without them.
    """
    drawn = [(s, s.finite) for s in series]
    xs = [x for _, points in drawn for x, _ in points]
    ys = [y for _, points in drawn for _, y in points]
    if not ys:
        raise ValueError(f"{title}: nothing to plot")
    ys += [end for one, _ in drawn for span in one.spans for end in span]
    low = min(ys)
    y_ticks = ticks(0.0 if 0 <= low < 0.6 * max(ys) or (low >= 0 and _flat(low, max(ys))) else low, max(ys))
    frame = _Frame(min(xs), max(xs), y_ticks, y_format)
    body = [*frame.y_axis(), *frame.x_axis(x_label, x_ticks or frame.x_ticks(), x_format)]
    for one, points in drawn:
        body += _line(frame, one, points, y_format, lambda x: f"{x_label} {x_format(x)}")
    return picture(title, body)


def histogram(title: str, bars: Sequence[Bar], x_label: str) -> Markup:
    """Bars from zero with counts on the y axis."""
    y_ticks = ticks(0, max((bar.value for bar in bars), default=1) or 1)
    frame = _Frame(0, len(bars), y_ticks, lambda value: f"{value:,.0f}")
    body = [*frame.y_axis(), label((frame.left + WIDTH - _RIGHT) / 2, HEIGHT - 4, x_label, "middle")]
    for index, bar in enumerate(bars):
        left, right = frame.x(index) + 2, frame.x(index + 1) - 2
        top, bottom = frame.y(bar.value), frame.y(0)
        shape = f'x="{left:.1f}" y="{top:.1f}" width="{right - left:.1f}" height="{bottom - top:.1f}"'
        body.append(element("rect", bar.title, f'{shape} fill="var(--{bar.colour})"'))
        body.append(label((left + right) / 2, HEIGHT - _BOTTOM + 19, bar.tick, "middle"))
    return picture(title, body)


class _Frame:
    """The mapping from data to pixels, and the axes."""

    def __init__(self, x_low: float, x_high: float, y_ticks: Sequence[float], y_format: Format) -> None:
        self.x_low, self.x_high = (x_low, x_high) if x_high > x_low else (x_low - 1, x_high + 1)
        self.y_ticks = y_ticks
        self.labels = [y_format(value) for value in y_ticks]
        self.left = 10 + _CHARACTER * max(len(text) for text in self.labels)

    def x(self, value: float) -> float:
        return self.left + (value - self.x_low) / (self.x_high - self.x_low) * (WIDTH - _RIGHT - self.left)

    def y(self, value: float) -> float:
        low, high = self.y_ticks[0], self.y_ticks[-1]
        return HEIGHT - _BOTTOM - (value - low) / (high - low) * (HEIGHT - _BOTTOM - _TOP)

    def y_axis(self) -> Iterator[str]:
        for value, text in zip(self.y_ticks, self.labels, strict=True):
            y = self.y(value)
            kind = "axis" if value == self.y_ticks[0] else "grid"
            yield f'<line class="{kind}" x1="{self.left:.1f}" x2="{WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
            yield label(self.left - 6, y + 4.5, text, "end")

    def x_ticks(self) -> list[float]:
        found = ticks(self.x_low, self.x_high, 6)
        return [value for value in found if self.x_low <= value <= self.x_high and value == int(value)]

    def x_axis(self, name: str, places: Sequence[float], text: Format) -> Iterator[str]:
        for value in places:
            x, base = self.x(value), HEIGHT - _BOTTOM
            yield f'<line class="axis" x1="{x:.1f}" x2="{x:.1f}" y1="{base}" y2="{base + 4}"/>'
            yield label(x, base + 19, text(value), "middle")
        yield label((self.left + WIDTH - _RIGHT) / 2, HEIGHT - 4, name, "middle")


def _line(frame: _Frame, one: Series, points: Sequence[Point], y_format: Format, at: Format) -> Iterator[str]:
    noisy = len(points) >= _SMOOTHED_FROM and not one.dots
    stroke = f'stroke="var(--{one.colour})"'
    yield f'<polyline class="line{" faint" if noisy else ""}" {stroke} points="{_path(frame, points)}"/>'
    if noisy:
        yield f'<polyline class="line" {stroke} points="{_path(frame, _smooth(points))}"/>'
    for (x, _), (low, high) in zip(one.points, one.spans, strict=False):
        ends = f'x1="{frame.x(x):.1f}" x2="{frame.x(x):.1f}" y1="{frame.y(low):.1f}" y2="{frame.y(high):.1f}"'
        yield f'<line class="span" {stroke} {ends}/>'
    radius, kind = (3.2, "dot") if one.dots or len(points) == 1 else (5, "hit")
    for x, y in points:
        shape = f'class="{kind}" cx="{frame.x(x):.1f}" cy="{frame.y(y):.1f}" r="{radius}" fill="var(--{one.colour})"'
        yield element("circle", f"{one.name}, {at(x)}: {y_format(y)}", shape)


def _smooth(points: Sequence[Point]) -> list[Point]:
    reach = max(2, len(points) // 20)
    return [(x, _mean(points[max(0, i - reach) : i + reach + 1])[1]) for i, (x, _) in enumerate(points)]


def _mean(points: Sequence[Point]) -> Point:
    return sum(x for x, _ in points) / len(points), sum(y for _, y in points) / len(points)


def _path(frame: _Frame, points: Sequence[Point]) -> str:
    return " ".join(f"{frame.x(x):.1f},{frame.y(y):.1f}" for x, y in points)


def label(x: float, y: float, text: str, anchor: str, style: str = "") -> str:
    """A text at (x, y); `style` is a CSS class."""
    named = f' class="{style}"' if style else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{named}>{escape(text)}</text>'


def element(name: str, title: str, attributes: str) -> str:
    """A shape that says `title` on hover; the attributes are SVG as it is."""
    return f"<{name} {attributes}><title>{escape(title)}</title></{name}>"


def picture(title: str, body: Sequence[str]) -> Markup:
    """The whole of a figure, with its name for those who do not see it."""
    view = f'viewBox="0 0 {WIDTH} {HEIGHT}"'
    return Markup(f'<svg class="plot" {view} role="img" aria-label="{escape(title)}">{"".join(body)}</svg>')
