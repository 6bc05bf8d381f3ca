"""The page: true, safe, whole without anything beside it, and there for a run in progress."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import re
import shutil
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from fake_run import FAMILIES, make_run
from PIL import Image

from metis_rise.errors import InputError
from metis_rise.problems.images import ImageStore
from metis_rise.report import write_report
from metis_rise.report.data import load_run
from metis_rise.report.pictures import PictureBook
from metis_rise.report.text import standing
from metis_rise.run import Run

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

    VOID = ("meta", "img", "br", "link", "input")

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


def explored(text: str) -> dict[str, Any]:
    """The data of the page's script."""
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)
    assert found is not None
    content: dict[str, Any] = json.loads(found[1])
    return content


def test_the_page_is_well_nested_without_anything_from_elsewhere(run_path: Path) -> None:
    text = page(run_path)
    parser = Balance()
    parser.feed(text)
    assert parser.open == []
    assert not {"link", "iframe", "object"} & set(parser.seen)
    assert re.findall(r"https?://[^\s\"'<]*|url\(|@import", text) == []
    assert parser.seen.count("script") == 2
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
        "Where the problems stand",
        ">Reinforcement learning",
        ">Supervised fine-tuning",
        ">Stages</h2>",
        ">What went wrong</h2>",
        ">Trajectories</h2>",
        "Resolved recipe",
    ]
    places = [text.index(mark) for mark in order]
    assert places == sorted(places)


@pytest.mark.parametrize("field", ["question", "answer", "id", "family", "completion", "extracted"])
def test_what_comes_from_outside_into_the_script_cannot_end_it(run_path: Path, field: str) -> None:
    test, greedy = run_path / "problems" / "test.jsonl", run_path / "6-evaluate" / "rl-greedy.jsonl"
    if field in ("question", "answer", "family"):
        edit_lines(test, lambda row: row | {field: ATTACK})
    elif field == "id":
        edit_lines(test, lambda row: row | {"id": ATTACK})
        for file in (run_path / "6-evaluate").glob("*.jsonl"):
            edit_lines(file, lambda row: row | {"problem_id": ATTACK})
    elif field == "completion":
        edit_lines(greedy, lambda row: row | {"text": f"<think>{ATTACK}</think>"})
    else:
        verdict = {"correct": True, "well_formed": False, "extracted": ATTACK, "rule": "boxed"}
        edit_lines(greedy, lambda row: row | {"verdict": verdict})
    text = page(run_path)
    assert text.count("<script") == 2 == text.count("</script")
    assert ATTACK in json.dumps(explored(text), ensure_ascii=False)


@pytest.mark.parametrize("field", ["warning", "recipe", "reason"])
def test_what_comes_from_outside_into_the_page_is_escaped(run_path: Path, field: str) -> None:
    if field == "warning":
        edit_lines(run_path / "manifest.jsonl", lambda row: row | {"text": ATTACK})
    elif field == "recipe":
        (run_path / "recipe.json").write_text(json.dumps({"name": ATTACK}))
    else:
        done = run_path / "3-distill" / "DONE"
        done.write_text(json.dumps({"seconds": 1, "counts": {}, "dropped": {ATTACK: 3}}))
    text = page(run_path)
    assert text.count("<script") == 2
    assert "&lt;script&gt;alert(" in text


def test_metric_and_bucket_names_are_escaped_in_plots(run_path: Path) -> None:
    edit_lines(run_path / "metrics.jsonl", lambda row: row | {"stage": str(row["stage"]).replace("expert", ATTACK)})
    text = page(run_path)
    assert text.count("<script") == 2
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
    assert "is not finished" not in page(run_path) and 'http-equiv="refresh"' not in page(run_path)
    assert "only 5 of 16 groups were kept" in page(run_path)
    (run_path / "6-evaluate" / "DONE").unlink()
    (run_path / "manifest.jsonl").unlink()
    text = page(run_path)
    assert "This run is not finished: 5 of 6 stages are done (evaluation: unfinished)." in text
    assert '<meta http-equiv="refresh" content="60">' in text


def test_a_run_of_two_rounds_counts_the_stages_of_both(run_path: Path) -> None:
    settings(run_path, rounds=2)
    shutil.rmtree(run_path / "6-evaluate")
    assert "not finished: 5 of 11 stages are done (round 2, RL: not started)" in page(run_path)
    run = Run(run_path).in_round(2)
    run.metric("rl", 7, {"reward": 0.5})
    assert "not finished: 5 of 11 stages are done (round 2, RL: step 7 of 30)" in page(run_path)
    run.stage("rl").finish({})
    assert "not finished: 6 of 11 stages are done (round 2, diagnosis: not started)" in page(run_path)


def test_a_page_loads_itself_again_while_benchmarks_of_the_recipe_have_no_score(run_path: Path) -> None:
    settings(run_path, evaluate={"benchmarks": ["wemath"]})
    text = page(run_path)
    assert "not finished: 5 of 6 stages are done" in text and 'http-equiv="refresh"' in text
    assert standing(load_run(run_path)) == "evaluation: 0 of 3 scores on benchmarks"
    for arm in ("base", "rl", "rise"):
        folder = run_path / "benchmarks" / arm / "wemath"
        folder.mkdir(parents=True)
        row = {"benchmark": "wemath", "score": 50.0, "n": 2, "complete": True, "metrics": {}}
        (folder / "score.json").write_text(json.dumps(row))
    assert "not finished" not in page(run_path)


def settings(run_path: Path, **changed: object) -> None:
    file = run_path / "recipe.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changed))


def test_a_quiet_run_reports_nothing(run_path: Path) -> None:
    (run_path / "manifest.jsonl").unlink()
    for done in run_path.glob("*/DONE"):
        done.write_text(json.dumps(json.loads(done.read_text()) | {"dropped": {}}))
    assert "Nothing was reported." in page(run_path)


def test_problems_on_which_the_arms_differ_come_first_and_every_family_has_its_turn(run_path: Path) -> None:
    shown = explored(page(run_path))["problems"]
    assert shown == explored(page(run_path))["problems"]
    test = [problem for problem in shown if problem["change"]]
    assert {problem["change"] for problem in test[:12:2]} <= {"gained by RL", "gained by SFT", "lost"}
    for problem in test:
        right = {answer["title"]: answer["right"] for answer in problem["answers"]}
        last = [right[f"{arm}, greedy"] for arm in ("base", "after RL", "after RISE")]
        assert (problem["change"] == "gained by SFT") == (last[1:] == [False, True])
        assert (problem["change"] == "lost") == (not last[2] and any(last))
    families = [problem["family"] for problem in test[:12]]
    assert all(families.count(family) >= 1 for family in FAMILIES)


def test_a_problem_has_what_every_stage_said_of_it(run_path: Path) -> None:
    problems = explored(page(run_path))["problems"]
    of_test = next(problem for problem in problems if problem["id"].startswith("test-"))
    assert [answer["title"] for answer in of_test["answers"]] == [
        f"{arm}, {mode}" for mode in ("greedy", "sampled") for arm in ("base", "after RL", "after RISE")
    ]
    taught = next(problem for problem in problems if problem["bucket"] == "absent")
    stages = [answer["stage"] for answer in taught["answers"]]
    assert sorted(set(stages), key=stages.index) == ["RL", "diagnosis", "expert"]


def test_a_sample_says_how_much_of_what_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run_path = make_run(tmp_path / "run", problems=60, steps=4)
    monkeypatch.setattr("metis_rise.report.explorer.BUDGET", 60_000)
    text = page(run_path)
    shown = explored(text)
    answers = sum(len(problem["answers"]) for problem in shown["problems"])
    assert 0 < len(shown["problems"]) < 120
    read = sum(len(file.read_text().splitlines()) for file in run_path.glob("[1-6]-*/[!sr]*.jsonl"))
    read += sum(len(file.read_text().splitlines()) for file in run_path.glob("6-evaluate/r*.jsonl"))
    assert f"A sample: {answers} of {read:,} answers, to {len(shown['problems'])} of 180 problems." in text


def test_the_page_stays_small_with_large_pictures_and_long_answers(tmp_path: Path) -> None:
    run_path = make_run(tmp_path / "run", problems=240, steps=2000, picture=1000)
    for file in (run_path / "6-evaluate").glob("*-greedy.jsonl"):
        edit_lines(file, lambda row: row | {"text": "so " * 100_000})
    assert write_report(run_path).stat().st_size < 10_000_000


def test_large_pictures_are_shrunk_and_small_ones_stay_as_they_are(tmp_path: Path) -> None:
    small, large = (make_run(tmp_path / str(size), problems=6, steps=2, picture=size) for size in (112, 1000))
    for run_path, kind in ((small, "png"), (large, "webp")):
        key = next((run_path / "images").iterdir()).stem
        uri = PictureBook(run_path / "images").uri(key)
        assert uri is not None and uri.startswith(f"data:image/{kind};base64,")
        with Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2]))) as image:
            assert max(image.size) == min(400, {"png": 112, "webp": 1000}[kind])


def test_a_picture_that_is_missing_or_broken_leaves_a_note(run_path: Path) -> None:
    for path in (run_path / "images").iterdir():
        path.write_bytes(b"not a picture")
    shown = explored(page(run_path))
    assert shown["pictures"] == {} and shown["problems"][0]["pictures"]


def test_a_page_that_is_written_again_encodes_no_picture_again(run_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    key = next((run_path / "images").iterdir()).stem
    first = PictureBook(run_path / "images").uri(key)
    monkeypatch.setattr(ImageStore, "open", None)
    assert first is not None and PictureBook(run_path / "images").uri(key) == first


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
