"""What docs/evidence.md says came out is what its results say, and its tables are made of them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from metis_rise.ablation.arms import load_arms
from metis_rise.ablation.command import show

DOCS = Path(__file__).parents[2] / "docs"
FOLDER = DOCS / "evidence"
# A mean or a difference with its interval.
SPAN = r"[+-]?\d+\.\d \([+-]?\d+\.\d to [+-]?\d+\.\d\)"
TITLES = {arm.name: arm.title for arm in load_arms([])}
FIGURE = r"[+-]?\d+\.\d+"


def made(folder: Path, name: str, results: str = "results.jsonl") -> str:
    show([], results=FOLDER / results, only=(), out=folder / name, claims=None)
    return (folder / name).read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> str:
    return made(tmp_path_factory.mktemp("evidence"), "tables.md")


@pytest.fixture(scope="module")
def on_dev(tmp_path_factory: pytest.TempPathFactory) -> str:
    return made(tmp_path_factory.mktemp("evidence"), "dev.md", "dev.jsonl")


@pytest.fixture(scope="module")
def came_out() -> str:
    return (DOCS / "evidence.md").read_text(encoding="utf-8").partition("\n## What came out\n")[2]


def rows(text: str, first: str) -> list[list[str]]:
    """The cells of rows whose first cell is such."""
    lines = [line.strip("|").split("|") for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line] for line in lines if re.fullmatch(first, line[0].strip())]


def same(name: str, fresh: str, results: str = "results.jsonl") -> None:
    """Word for word, and figures to one in their last digit: another processor may round a tie the other way."""
    kept = (FOLDER / name).read_text(encoding="utf-8")
    mend = f"rise ablate --table --results docs/evidence/{results} --out docs/evidence/{name}"
    assert re.split(FIGURE, kept) == re.split(FIGURE, fresh), mend
    figures = [[float(each) for each in re.findall(FIGURE, text)] for text in (kept, fresh)]
    assert figures[0] == pytest.approx(figures[1], rel=0, abs=0.11), mend


def test_the_tables_are_of_the_results(tables: str):
    same("tables.md", tables)


def test_the_page_with_plots_is_of_the_results(tmp_path: Path):
    same("evidence.html", made(tmp_path, "evidence.html"))


def test_the_page_of_dev_is_of_its_results(tmp_path: Path):
    same("dev.html", made(tmp_path, "dev.html", "dev.jsonl"), "dev.jsonl")


def test_pass_at_k_that_is_told_is_that_of_dev(on_dev: str, came_out: str):
    of = on_dev.partition("\n### pass@k\n")[2].partition("\n### ")[0]
    there = {title: values for title, *values in rows(of, r".+")}
    told = rows(came_out.partition("| pass@16 |")[2], r"`[^`]+`")
    assert len(told) >= 8
    for name, entropy, first, fourth, last in told:
        values = there[TITLES[name.strip("`")]]
        assert (entropy, first, fourth, last) == (values[0], values[1], values[3], values[5]), name


def test_each_outcome_that_is_told_is_the_one_decided(tables: str, came_out: str):
    decided = {number: outcome for number, _, outcome, *_ in rows(tables, r"\d+")}
    told = {number: outcome.strip("*").split()[0] for number, _, outcome, *_ in rows(came_out, r"\d+")}
    over = {number: outcome for number, outcome in decided.items() if outcome not in ("not yet", "not run")}
    assert told == over


def test_each_interval_that_is_told_is_in_the_tables(tables: str, came_out: str):
    told = re.findall(SPAN, came_out)
    assert len(told) > 20
    there = set(re.findall(SPAN, tables))
    # A difference may be told the other way round than the table has it.
    assert set(told) - there - {_turned(each) for each in there} == set()


def _turned(span: str) -> str:
    mean, low, high = (-float(number) for number in re.findall(r"[+-]?\d+\.\d", span))
    return f"{mean:+.1f} ({high:+.1f} to {low:+.1f})"
