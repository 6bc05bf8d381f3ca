"""A flow of problems between buckets as inline SVG: stacked bars for the moments, bands between them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from markupsafe import Markup

from metis_rise.report.movement import ORDER, Flow
from metis_rise.report.svg import HEIGHT, WIDTH, element, label, picture
from metis_rise.types import Bucket

_BAR, _GAP, _TOP, _BOTTOM, _SIDE = 46, 8, 6, 30, 8


def flow_picture(title: str, flow: Flow) -> Markup:
    """The flow with the problems of each bucket written into its bar and each band's on hover."""
    body = [*_bands(flow)]
    for column, name in enumerate(flow.columns):
        body += _bar(flow, column)
        body.append(label(_left(flow, column) + _BAR / 2, HEIGHT - 8, name, "middle"))
    return picture(title, body)


def _bands(flow: Flow) -> Iterator[str]:
    for column, links in enumerate(flow.links):
        leaving, arriving = _tops(flow, column), _tops(flow, column + 1)
        left, right = _left(flow, column) + _BAR, _left(flow, column + 1)
        for source in ORDER:
            for target in ORDER:
                n = links.get((source, target), 0)
                if not n:
                    continue
                tall = n * _scale(flow)
                said = f"{source.value}, {flow.columns[column]}, to {target.value}, {flow.columns[column + 1]}"
                outline = _outline((left, leaving[source]), (right, arriving[target]), tall)
                shape = f'class="band" d="{outline}" fill="var(--{target.value})"'
                yield element("path", f"{said}: {n:,} of {flow.problems:,} problems", shape)
                leaving[source] += tall
                arriving[target] += tall


def _outline(start: tuple[float, float], end: tuple[float, float], tall: float) -> str:
    """A band from the upper left corner `start` to the upper right one `end`."""
    (x0, a), (x1, b) = start, end
    middle = (x0 + x1) / 2
    above = f"M{x0:.1f},{a:.1f} C{middle:.1f},{a:.1f} {middle:.1f},{b:.1f} {x1:.1f},{b:.1f}"
    a, b = a + tall, b + tall
    return f"{above} V{b:.1f} C{middle:.1f},{b:.1f} {middle:.1f},{a:.1f} {x0:.1f},{a:.1f} Z"


def _bar(flow: Flow, column: int) -> Iterator[str]:
    left, tops = _left(flow, column), _tops(flow, column)
    for bucket, n in _standing(flow, column).items():
        tall = n * _scale(flow)
        if not n:
            continue
        title = f"{flow.columns[column]}: {n:,} of {flow.problems:,} problems {bucket.value}"
        shape = f'x="{left:.1f}" y="{tops[bucket]:.1f}" width="{_BAR}" height="{tall:.1f}"'
        yield element("rect", title, f'{shape} rx="2" fill="var(--{bucket.value})"')
        if tall >= 16:
            style = "on-mastered" if bucket is Bucket.MASTERED else "on-light"
            yield label(left + _BAR / 2, tops[bucket] + tall / 2 + 4.5, f"{n:,}", "middle", style)


def _left(flow: Flow, column: int) -> float:
    return _SIDE + column * (WIDTH - 2 * _SIDE - _BAR) / (len(flow.columns) - 1)


def _scale(flow: Flow) -> float:
    return (HEIGHT - _TOP - _BOTTOM - 2 * _GAP) / flow.problems


def _standing(flow: Flow, column: int) -> dict[Bucket, int]:
    found: Mapping[Bucket, int] = flow.standing(column)
    return {bucket: found.get(bucket, 0) for bucket in ORDER}


def _tops(flow: Flow, column: int) -> dict[Bucket, float]:
    """Where each bucket's part of a bar begins."""
    tops, y = {}, float(_TOP)
    for bucket, n in _standing(flow, column).items():
        tops[bucket] = y
        y += n * _scale(flow) + (_GAP if n else 0)
    return tops
