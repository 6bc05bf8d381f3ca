"""The tables on the terminal: right numbers, and no broken line at the widths people use."""

from __future__ import annotations

import io
import json
import shutil
from pathlib import Path

import pytest
from fake_run import FAMILIES, make_run
from rich.console import Console

from metis_rise.errors import InputError
from metis_rise.report.data import load_run
from metis_rise.report.terminal import arms_table, buckets_table, print_report, stages_table


@pytest.fixture(scope="module")
def run_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_run(tmp_path_factory.mktemp("runs") / "tiny", problems=120, steps=30)


def text(run_path: Path, width: int) -> str:
    console = Console(width=width, record=True, file=io.StringIO())
    print_report(run_path, console)
    return console.export_text()


def cells(table: object, width: int = 100) -> dict[str, list[str]]:
    """Rows of a rendered table by their first cell, in order; names that come twice get a prime."""
    console = Console(width=width)
    with console.capture() as capture:
        console.print(table)
    rows: dict[str, list[str]] = {}
    for line in capture.get().splitlines():
        name, *rest = [part.strip() for part in line.strip().split("  ") if part.strip()] or [""]
        rows[name + "'" * (name in rows)] = rest
    return rows


def test_arms_table_holds_the_figures_of_summary_json(run_path: Path) -> None:
    run = load_run(run_path)
    assert run.summary is not None
    rows = cells(arms_table(run.summary, run.recipe))
    arms = json.loads((run_path / "summary.json").read_text())["arms"]
    for mode, prime in (("greedy", ""), ("sampled", "'")):
        for arm, label in (("base", "base"), ("rl", "after RL"), ("rise", "after RISE")):
            want = arms[arm][mode]
            span = f"{100 * want['accuracy']:.1f} [{100 * want['low']:.1f}, {100 * want['high']:.1f}]"
            families = [f"{100 * want['families'][family]:.1f}" for family in FAMILIES]
            assert rows[label + prime] == [span, *families, "120"]


def test_stages_table_says_what_was_used_and_dropped_and_why(run_path: Path) -> None:
    rows = cells(stages_table(load_run(run_path)), 160)
    done = json.loads((run_path / "3-distill" / "DONE").read_text())
    kept = done["counts"]["kept"]
    reasons = f"{2 * kept} duplicate, {kept} chain wrong, {kept} over the cap"
    assert rows["self-distillation"] == [f"{done['seconds']:.1f} s", str(kept), str(kept), reasons]
    sft = json.loads((run_path / "5-sft" / "DONE").read_text())["stages"]
    assert rows["curriculum SFT"][2] == str(sum(stage["examples"] + stage["replay"] for stage in sft))


def test_buckets_table_counts_problems_per_family(run_path: Path) -> None:
    rows = cells(buckets_table(load_run(run_path)))
    done = json.loads((run_path / "2-diagnose" / "DONE").read_text())
    for name in ("absent", "inconsistent", "mastered"):
        column = ["absent", "inconsistent", "mastered"].index(name)
        assert rows["all"][column].startswith(f"{done['buckets'][name]} (")
        assert rows["dial"][column].startswith(f"{done['families']['dial'].get(name, 0)} (")


def test_what_adaptive_sampling_spared_is_said_where_it_spared_something(run_path: Path) -> None:
    file = run_path / "2-diagnose" / "DONE"
    done = json.loads(file.read_text())
    drawn, fixed = done["sampling"]["drawn"], done["sampling"]["fixed"]
    said = f"{drawn:,} samples were drawn; the most for every problem would be {fixed:,}: 38 % saved."
    assert said in " ".join(text(run_path, 100).split())
    file.write_text(json.dumps(done | {"sampling": done["sampling"] | {"drawn": fixed - 10, "reused": 10}}))
    assert "10 were RL's own" in text(run_path, 100)
    for nothing in ({"sampling": done["sampling"] | {"drawn": fixed}}, {"sampling": {}}):
        file.write_text(json.dumps(done | nothing))
        assert "samples were drawn" not in text(run_path, 100)


@pytest.mark.parametrize("width", [60, 80, 100])
def test_no_cell_is_broken_or_lost_at_any_width(run_path: Path, width: int) -> None:
    shown = text(run_path, width)
    assert max(map(len, shown.splitlines())) <= width
    assert "…" not in shown
    score = json.loads((run_path / "summary.json").read_text())["arms"]["rise"]["sampled"]
    for family in FAMILIES:
        assert f" {family} " in shown
        assert f" {100 * score['families'][family]:.1f} " in shown
    assert f"[{100 * score['low']:.1f}, {100 * score['high']:.1f}]" in shown


def test_long_family_names_are_not_cut(run_path: Path, tmp_path: Path) -> None:
    summary = json.loads((run_path / "summary.json").read_text())
    for modes in summary["arms"].values():
        for score in modes.values():
            score["families"] = {f"missing_angle_family_{n}": 0.5 for n in range(9)}
    (tmp_path / "summary.json").write_text(json.dumps(summary))
    shown = text(tmp_path, 80)
    assert "…" not in shown
    assert shown.count("missing") == 9
    tables = shown.count("right and well formed")
    assert shown.count("after RISE") == 2 * tables
    assert shown.count("] ") >= 6 * tables
    assert shown.count(" 120") == 6 * tables


def test_a_run_in_progress_says_what_is_done(run_path: Path, tmp_path: Path) -> None:
    partial = tmp_path / "partial"
    shutil.copytree(run_path, partial)
    (partial / "summary.json").unlink()
    for folder in ("4-expert", "5-sft", "6-evaluate"):
        shutil.rmtree(partial / folder)
    (partial / "3-distill" / "DONE").unlink()
    shown = text(partial, 100)
    assert "2 of 6 stages are done" in shown
    assert "(unfinished)" in shown
    assert shown.count("(not started)") == 3
    assert "after RISE" not in shown


def test_warnings_are_printed_with_their_brackets(run_path: Path, tmp_path: Path) -> None:
    (tmp_path / "manifest.jsonl").write_text('{"time": "t", "kind": "warning", "text": "lost [bold]groups[/bold]"}\n')
    assert "warning: lost [bold]groups[/bold]" in text(tmp_path, 100)


def test_a_folder_that_is_not_there_is_the_users_to_mend(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such run folder"):
        print_report(tmp_path / "nothing", Console())


def test_a_summary_without_arms_prints_the_stages_alone(run_path: Path, tmp_path: Path) -> None:
    (tmp_path / "summary.json").write_text('{"recipe": "tiny", "arms": {}, "seconds": {}, "peak_memory_mb": 1.0}')
    shown = text(tmp_path, 80)
    assert "accuracy" not in shown
    assert "curriculum SFT" in shown
