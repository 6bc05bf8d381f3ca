"""The page: true, safe, whole without anything beside it, and there for a run in progress."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import pytest
from fake_run import FAMILIES, make_run

from metis_rise.errors import InputError
from metis_rise.report import write_report
from metis_rise.report.data import load_run
from metis_rise.report.examples import compared
from metis_rise.report.pictures import PictureBook

ATTACK = "<script>alert('x')</script>"


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_run(tmp_path_factory.mktemp("runs") / "tiny", problems=120, steps=30)


@pytest.fixture
def run_path(finished: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(finished, tmp_path / "run"))


def page(run_path: Path) -> str:
    return write_report(run_path).read_text(encoding="utf-8")


def edit_lines(path: Path, change: Callable[[dict[str, object]], dict[str, object]]) -> None:
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    path.write_text("".join(json.dumps(change(row)) + "\n" for row in rows))


class Balance(HTMLParser):
    """Collects the tags of a page and complains of one that is closed out of order."""

    VOID = ("meta", "img", "br", "link")

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append(tag)
        assert not [name for name, _ in attrs if name.startswith("on")]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_is_well_nested_without_scripts_or_anything_from_elsewhere(run_path: Path) -> None:
    text = page(run_path)
    parser = Balance()
    parser.feed(text)
    assert parser.open == []
    assert not {"script", "link", "iframe", "object"} & set(parser.seen)
    assert re.findall(r"https?://[^\s\"'<]*|url\(|@import", text) == []
    assert 'name="viewport"' in text
    assert "prefers-color-scheme: dark" in text


def test_numbers_are_those_of_summary_json(run_path: Path) -> None:
    text = re.sub(r"<small>.*?</small>", "", page(run_path))
    assert "Test accuracy, sampled, T=1<" in text
    arms = json.loads((run_path / "summary.json").read_text())["arms"]
    wanted = [arms[arm][mode] for mode in ("greedy", "sampled") for arm in ("base", "rl", "rise")]
    assert re.findall(r'class="big num">([\d.]+)<', text) == [f"{100 * s['accuracy']:.1f}" for s in wanted]
    assert re.findall(r'class="span num">([^<]+)<', text) == [
        f"{100 * s['low']:.1f} to {100 * s['high']:.1f}, n = 120" for s in wanted
    ]
    for family in FAMILIES:
        row = re.search(rf"<tr><td>{family}</td><td>20</td>(.*?)</tr>", text)
        assert row is not None
        assert re.findall(r">([\d.]+)<", row[1]) == [f"{100 * s['families'][family]:.1f}" for s in wanted]


def test_the_verdict_is_the_first_thing_on_the_page(run_path: Path) -> None:
    text = page(run_path)
    order = [
        "<h1>",
        'class="verdict"',
        "By family",
        "stand after RL",
        "Reinforcement learning",
        "Supervised fine-tuning",
        "<h2>Stages",
        "What went wrong",
        "Side by side",
        "Self-distilled trajectories",
        "Expert trajectories",
        "Resolved recipe",
    ]
    places = [text.index(mark) for mark in order]
    assert places == sorted(places)


@pytest.mark.parametrize("field", ["question", "answer", "id_in_facts", "completion", "extracted", "warning", "recipe"])
def test_whatever_comes_from_outside_is_escaped(run_path: Path, field: str) -> None:
    test, greedy = run_path / "problems" / "test.jsonl", run_path / "6-evaluate" / "rl-greedy.jsonl"
    if field in ("question", "answer"):
        edit_lines(test, lambda row: row | {field: ATTACK})
    elif field == "id_in_facts":
        edit_lines(test, lambda row: row | {"family": ATTACK, "images": ["'\"><script>"]})
    elif field == "completion":
        edit_lines(greedy, lambda row: row | {"text": f"<think>{ATTACK}</think>"})
    elif field == "extracted":
        verdict = {"correct": True, "well_formed": False, "extracted": ATTACK, "rule": "boxed"}
        edit_lines(greedy, lambda row: row | {"verdict": verdict})
    elif field == "warning":
        edit_lines(run_path / "manifest.jsonl", lambda row: row | {"text": ATTACK})
    else:
        (run_path / "recipe.json").write_text(json.dumps({"name": ATTACK}))
    text = page(run_path)
    assert "<script" not in text
    assert "&lt;script&gt;alert(" in text


def test_metric_and_bucket_names_are_escaped_in_plots(run_path: Path) -> None:
    edit_lines(run_path / "metrics.jsonl", lambda row: row | {"stage": str(row["stage"]).replace("expert", ATTACK)})
    text = page(run_path)
    assert "<script" not in text
    assert "&lt;script&gt;alert(" in text


PARTS = [
    "recipe.json",
    "manifest.jsonl",
    "metrics.jsonl",
    "summary.json",
    "problems",
    "images",
    "1-rl",
    "2-diagnose",
    "3-distill",
    "4-expert",
    "5-sft",
    "6-evaluate",
]


@pytest.mark.parametrize("missing", [*[[part] for part in PARTS], PARTS[::2], PARTS[1::2], PARTS], ids="+".join)
def test_a_page_comes_of_any_half_of_a_run(run_path: Path, missing: list[str]) -> None:
    for part in missing:
        path = run_path / part
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    parser = Balance()
    parser.feed(page(run_path))
    assert parser.open == []


def test_a_run_in_progress_says_so_and_a_quiet_one_reports_nothing(run_path: Path) -> None:
    assert "is not finished" not in page(run_path)
    assert "only 5 of 16 groups were kept" in page(run_path)
    (run_path / "6-evaluate" / "DONE").unlink()
    (run_path / "manifest.jsonl").unlink()
    text = page(run_path)
    assert "This run is not finished: 5 of 6 stages are done." in text
    assert "Nothing was reported." in text


def test_shown_problems_are_ones_on_which_the_arms_differ_and_every_family_has_its_share(run_path: Path) -> None:
    run = load_run(run_path)
    examples, differ = compared(run, PictureBook(run_path / "images"))
    again, _ = compared(run, PictureBook(run_path / "images"))
    assert differ
    assert examples == again
    assert all({answer.right for answer in example.answers} == {True, False} for example in examples)
    families = [example.problem.family for example in examples]
    assert {family: families.count(family) for family in FAMILIES} == dict.fromkeys(FAMILIES, 2)


def test_where_the_arms_never_differ_the_page_says_so(run_path: Path) -> None:
    wrong = {"correct": False, "well_formed": False, "extracted": None, "rule": "none", "chain": None, "reason": ""}
    for file in (run_path / "6-evaluate").glob("*-greedy.jsonl"):
        edit_lines(file, lambda row: row | {"verdict": wrong})
    text = page(run_path)
    assert "The arms differ on no test problem" in text
    assert text.count("no answer found") == 3 * len(FAMILIES)


def test_the_page_stays_small_with_large_pictures_and_long_answers(tmp_path: Path) -> None:
    run_path = make_run(tmp_path / "run", problems=24, steps=2000, picture=1000)
    for file in (run_path / "6-evaluate").glob("*-greedy.jsonl"):
        edit_lines(file, lambda row: row | {"text": "so " * 100_000})
    assert write_report(run_path).stat().st_size < 3_000_000


def test_pictures_are_shrunk_and_stop_at_the_budget(tmp_path: Path) -> None:
    run_path = make_run(tmp_path / "run", problems=12, steps=2, picture=1000)
    keys = sorted(path.stem for path in (run_path / "images").iterdir())
    sizes = [len(PictureBook(run_path / "images").uri(key) or "") for key in keys]
    book = PictureBook(run_path / "images", budget=sizes[0] + sizes[1])
    assert [book.uri(key) is not None for key in keys[:2]] == [True, True]
    assert book.uri(keys[0]) is not None
    assert not any(book.uri(key) for key in keys[2:])


def test_a_picture_that_is_missing_or_broken_leaves_a_note(run_path: Path) -> None:
    for path in (run_path / "images").iterdir():
        path.write_bytes(b"not a picture")
    text = page(run_path)
    assert "picture not available" in text
    assert "<img" not in text


@pytest.mark.parametrize("side", [40, 1000])
def test_a_picture_that_was_cut_short_counts_as_missing(tmp_path: Path, side: int) -> None:
    run_path = make_run(tmp_path / "run", problems=12, steps=2, picture=side)
    whole, cut, broken = sorted((run_path / "images").iterdir())[:3]
    cut.write_bytes(cut.read_bytes()[:-30])
    # Its name is true: the picture came like this.
    data = broken.read_bytes()[:-30]
    named = broken.with_name(f"{hashlib.sha256(data).hexdigest()}.png")
    named.write_bytes(data)
    book = PictureBook(run_path / "images")
    assert book.uri(whole.stem) is not None
    assert book.uri(cut.stem) is book.uri(named.stem) is None


def test_a_step_done_again_after_a_resume_counts_once(run_path: Path) -> None:
    row = {"stage": "rl", "step": 3, "time": "t", "values": {"reward": 9.0}}
    with (run_path / "metrics.jsonl").open("a") as file:
        file.write(json.dumps(row) + "\n")
    rewards = [m.values["reward"] for m in load_run(run_path).metrics if m.stage == "rl" and m.step == 3]
    assert rewards == [9.0]


def test_a_damaged_file_is_named(run_path: Path) -> None:
    (run_path / "summary.json").write_text('{"recipe":')
    with pytest.raises(InputError, match=r"summary\.json, row 1"):
        write_report(run_path)


def test_a_run_of_a_single_stage_has_no_verdict_yet(run_path: Path) -> None:
    (run_path / "summary.json").write_text('{"recipe": "tiny", "arms": {}, "seconds": {}, "peak_memory_mb": 1.0}')
    text = page(run_path)
    assert "There is nothing to compare yet: nothing evaluated." in text
    assert 'class="verdict"' not in text


def test_a_curriculum_stage_without_examples_is_shown_without_losses(run_path: Path) -> None:
    result = {"seconds": 1.0, "stages": [{"name": "hollow", "examples": 0, "replay": 0}], "counts": {}, "dropped": {}}
    (run_path / "5-sft" / "DONE").write_text(json.dumps(result))
    assert "<td>hollow</td><td>0</td><td>0</td><td>-</td>" in page(run_path)


def test_what_adaptive_sampling_spared_is_said(run_path: Path) -> None:
    assert "38 % saved." in page(run_path)


def test_solve_rates_are_coloured_by_the_thresholds_of_the_recipe(run_path: Path) -> None:
    (run_path / "recipe.json").write_text('{"name": "t", "diagnose": {"absent_at": 0.125, "mastered_at": 0.875}}')
    rates = {str(k): k / 8 for k in range(9)}
    result = {
        "seconds": 1.0,
        "buckets": {"absent": 2},
        "families": {},
        "solve_rates": rates,
        "counts": {},
        "dropped": {},
    }
    (run_path / "2-diagnose" / "DONE").write_text(json.dumps(result))
    bars = re.findall(r'fill="var\(--(\w+)\)"><title>c about [\d.]+: 1 problems', page(run_path))
    assert bars == ["absent"] * 2 + ["inconsistent"] * 5 + ["mastered"] * 2
