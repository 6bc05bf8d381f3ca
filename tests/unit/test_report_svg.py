"""Plots: ticks, scale, labels that fit, titles that tell."""

from __future__ import annotations

import math
import re
from pathlib import Path
from xml.etree import ElementTree

import pytest
from fake_run import make_run

from metis_rise.report.charts import rl_figures, sft_figures, solve_rate_figures
from metis_rise.report.data import load_run
from metis_rise.report.movement import first_met
from metis_rise.report.svg import HEIGHT, WIDTH, Series, line_plot, ticks
from metis_rise.report.text import number


@pytest.mark.parametrize("value", [1e-4, 2e-4, 3e-5, 3e-6, 0.4, -0.4])
def test_a_curve_that_stays_where_it_is_can_be_drawn_at_any_length(value: float) -> None:
    """Means of equal numbers differ in their last bits."""
    for steps in range(900, 3000, 70):
        line_plot("Learning rate", [Series("lr", "rl", [(x, value) for x in range(steps)])], str)


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0, 1, [0, 0.2, 0.4, 0.6, 0.8, 1.0]),
        (0, 250, [0, 50, 100, 150, 200, 250]),
        (0.0001, 0.00034, [0.0001, 0.00015, 0.0002, 0.00025, 0.0003, 0.00035]),
        (-3, 7, [-4, -2, 0, 2, 4, 6, 8]),
    ],
)
def test_ticks_are_round_and_cover_the_data(low: float, high: float, expected: list[float]) -> None:
    found = ticks(low, high, 6)
    assert found == pytest.approx(expected)


@pytest.mark.parametrize("value", [0.0, 1.0, -2.5, 1e-9, 3e7])
def test_ticks_of_a_single_value_enclose_it(value: float) -> None:
    found = ticks(value, value)
    assert len(found) >= 2
    assert found[0] <= value <= found[-1]


def test_a_plot_is_well_formed_titled_and_inside_its_frame() -> None:
    plot = line_plot("<Loss> & more", [Series("a<b", "rl", [(x, math.sin(x)) for x in range(500)])], number)
    root = ElementTree.fromstring(plot)
    titles = [element.text or "" for element in root.iter("title")]
    assert 100 < len(titles) <= 160
    assert all(title.startswith("a<b, step ") for title in titles)
    for circle in root.iter("circle"):
        assert 0 <= float(circle.get("cx", "")) <= WIDTH
        assert 0 <= float(circle.get("cy", "")) <= HEIGHT


def test_higher_values_are_drawn_higher_and_later_steps_further_right() -> None:
    root = ElementTree.fromstring(line_plot("p", [Series("a", "rl", [(1, 0.2), (2, 0.8)], dots=True)], number))
    first, second = ((float(c.get("cx", "")), float(c.get("cy", ""))) for c in root.iter("circle"))
    assert second[0] > first[0]
    assert second[1] < first[1]


def test_values_that_are_no_number_are_left_out() -> None:
    plot = line_plot("p", [Series("a", "rl", [(1, 1.0), (2, math.nan), (3, math.inf), (4, 2.0)])], number)
    assert "nan" not in plot
    assert plot.count("<circle") == 2


def test_labels_of_every_figure_do_not_overlap(tmp_path: Path) -> None:
    run = load_run(make_run(tmp_path / "run", problems=60, steps=1500))
    figures = [*rl_figures(run), *sft_figures(run), *solve_rate_figures(run, first_met(run))]
    assert len(figures) == 21
    for figure in figures:
        boxes = _boxes(figure.svg)
        assert all(left >= -1 and right <= WIDTH + 12 for left, right, _ in boxes), figure.title
        for index, (left, right, y) in enumerate(boxes):
            for other_left, other_right, other_y in boxes[index + 1 :]:
                apart = abs(y - other_y) >= 13 or right <= other_left or other_right <= left
                assert apart, (figure.title, left, right, y)


def _boxes(svg: str) -> list[tuple[float, float, float]]:
    """(left, right, baseline) of every text, a character of 13 px type taken as 7.2 px."""
    found = []
    for x, y, anchor, text in re.findall(r'<text x="([\d.-]+)" y="([\d.-]+)" text-anchor="(\w+)">([^<]*)<', svg):
        width = 7.2 * len(text)
        left = float(x) - {"start": 0, "middle": width / 2, "end": width}[anchor]
        found.append((left, left + width, float(y)))
    return found


def test_sft_steps_run_on_over_the_curriculum_stages(tmp_path: Path) -> None:
    training, held_out, *_ = sft_figures(load_run(make_run(tmp_path / "run", problems=12, steps=10)))
    assert [name for name, _, _ in training.legend] == ["self-distilled", "expert", "mixed"]
    assert "mixed, step 120:" in training.svg
    assert re.findall(r"held out, step (\d+):", held_out.svg) == ["0", "20", "40", "40", "60", "80", "80", "100", "120"]


def test_tiny_values_have_ticks_that_differ():
    """A divergence of 1e-13 is what rounding makes of two passes that are the same."""
    assert ticks(0, 3.2e-13) == [0, 1e-13, 2e-13, 3e-13, 4e-13]
