"""Tables and page of a results file, against cases worked by hand."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ablation_rows import row, write

from metis_rise.ablation.arms import Arm, Leg, load_arms
from metis_rise.ablation.command import show
from metis_rise.ablation.page import figures, pass_figures
from metis_rise.ablation.results import Row, read_rows
from metis_rise.ablation.tables import MODES, compared, needed, pairs, summaries, transitions
from metis_rise.errors import InputError


def arm(name: str, *against: str, line: str | None = None) -> Arm:
    title, ending = name.partition("@")[0].upper(), name.partition("@")[2]
    return Arm(
        name=name,
        title=f"{title}, {ending}" if ending else title,
        group="main",
        hypothesis="none",
        against=against,
        line=line,
        recipe="evidence",
        legs=(Leg(),),
    )


def named(*arms: Arm) -> dict[str, Arm]:
    return {each.name: each for each in arms}


def rows(tmp_path: Path, *raw: dict[str, Any]) -> list[Row]:
    return read_rows(write(tmp_path / "r.jsonl", *raw))


def test_an_arm_is_the_mean_of_its_cells(tmp_path: Path):
    found = rows(tmp_path, row("rl", [1, 1, 0, 0], traces=10), row("rl", [1, 0, 0, 0], seed=1, traces=20))
    (one,) = summaries(found, named(arm("rl")))
    assert one.scores["test"]["greedy"].mean == 3 / 8 and one.cells == 2
    assert one.costs["expert_traces"] == 15 and one.costs["expert_calls"] == 16
    assert one.costs["generated"] == 5000 and one.costs["trained"] == 3000 and one.costs["seconds"] == 90
    assert one.families == {"bars": 1.0, "dial": 0.0}
    assert one.kinds == {"right": 3 / 8, "perception": 5 / 8}


def test_arms_come_in_their_order_and_unknown_ones_last(tmp_path: Path):
    found = rows(tmp_path, row("mine", [1]), row("rl", [1]), row("base", [0]))
    assert [one.label for one in summaries(found, named(arm("base"), arm("rl")))] == ["base", "rl", "mine"]


def test_settings_are_told_where_they_are_not_those_of_all(tmp_path: Path):
    found = rows(
        tmp_path, row("rl", [1], settings=["rl.steps=2", "a=1"]), row("rl", [0], settings=["rl.steps=2", "a=2"])
    )
    assert [one.title for one in summaries(found, named(arm("rl")))] == ["RL [a=1]", "RL [a=2]"]


def test_a_pair_has_the_cells_of_both(tmp_path: Path):
    found = rows(
        tmp_path,
        *(row("rl", [0, 0, 0, 1] * 5, seed=seed) for seed in range(4)),
        *(row("rise", [1, 1, 0, 1] * 5, seed=seed) for seed in range(1, 5)),
        row("rise", [0, 0, 0, 0] * 5, base="other", seed=1),
    )
    (pair,) = pairs(found, named(arm("rise", "rl")))
    assert [one.cell for one in pair.first] == [one.cell for one in pair.second] == [("tiny", n) for n in (1, 2, 3)]
    greedy, _ = compared(pair)
    assert greedy.found.mean == 0.5 and greedy.found.p == pytest.approx(0.00034, abs=1e-5) and greedy.found.low > 0
    assert (greedy.arm, greedy.against, greedy.verdict) == ("rise", "rl", "above")


@pytest.mark.parametrize(
    ("cells", "right", "verdict"),
    [
        (3, [1] * 10 + [1] * 90, "above"),
        (3, [0] * 100, "below"),
        (3, [0] * 10 + [1] * 90, "level"),
        (2, [1] * 100, "open"),
    ],
)
def test_a_verdict_says_where_the_interval_lies(tmp_path: Path, cells: int, right: list[int], verdict: str):
    there = [row("rl", [0] * 10 + [1] * 90, seed=seed) for seed in range(cells)]
    mine = [row("rise", right, seed=seed) for seed in range(cells)]
    (pair,) = pairs(rows(tmp_path, *there, *mine), named(arm("rise", "rl")))
    assert next(compared(pair)).verdict == verdict


def test_an_arm_of_a_sweep_is_compared_with_that_of_its_value_or_with_the_only_one(tmp_path: Path):
    found = rows(tmp_path, row("rise@30", [1]), row("cold@30", [0]), row("cold@60", [0]), row("rl", [0]))
    made = pairs(found, named(arm("rise@30", "cold@30", "rl@30", "never@30")))
    assert [pair.against for pair in made] == ["cold@30", "rl"]


def test_cells_with_other_settings_are_other_pairs(tmp_path: Path):
    found = rows(
        tmp_path,
        *(row(name, [1], settings=[f"a={n}"], seed=seed) for name in ("rise", "rl") for n in (1, 2) for seed in (0, 1)),
        row("rl", [1]),
    )
    made = list(pairs(found, named(arm("rise", "rl"))))
    assert [(pair.arm, len(pair.first)) for pair in made] == [("rise [a=1]", 2), ("rise [a=2]", 2)]
    assert all(one.settings == two.settings for pair in made for one, two in zip(pair.first, pair.second, strict=True))


def test_cells_of_other_splits_are_not_put_together(tmp_path: Path):
    other = row("rl", [1], seed=1)
    other["scores"] = {"dev": other["scores"]["test"]}
    with pytest.raises(
        InputError, match="rl: base tiny, seed 1 is scored on dev, base tiny, seed 0 on test; keep them"
    ):
        summaries(rows(tmp_path, row("rl", [1]), other), named(arm("rl")))


def test_two_arms_of_one_name_are_not_one_mean(tmp_path: Path):
    found = rows(tmp_path, row("rl", [1]), row("rl", [1], seed=1, identity="two"))
    with pytest.raises(
        InputError, match=r"rl: base tiny, seed 1 did something else than base tiny, seed 0 \(two, one\)"
    ):
        summaries(found, named(arm("rl")))


def test_other_problems_are_not_compared(tmp_path: Path):
    found = rows(tmp_path, row("rise", [1]), row("rl", [1], problems="others"))
    (pair,) = pairs(found, named(arm("rise", "rl")))
    with pytest.raises(InputError, match="of other test problems"):
        list(compared(pair))


def test_traces_needed_lie_between_the_points_of_a_line(tmp_path: Path):
    found = rows(
        tmp_path,
        row("rise@30", [1] * 5 + [0] * 5, traces=30),
        row("rise@120", [1] * 8 + [0] * 2, traces=120),
        row("rise@60", [1] * 7 + [0] * 3, traces=60),
        row("cold@30", [1] * 9 + [0], traces=30),
    )
    lines = [arm(name, line=name.partition("@")[0]) for name in ("rise@30", "rise@60", "rise@120", "cold@30")]
    assert needed(summaries(found, named(*lines)), "greedy") == {
        "rise": [pytest.approx(45), pytest.approx(60), pytest.approx(120), None],
        "cold": [30, 30, 30, 30],
    }


def test_solve_rates_from_one_arm_to_another(tmp_path: Path):
    found = rows(tmp_path, row("rl", [0] * 4, [0, 0, 2, 4], samples=4), row("rise", [0] * 4, [0, 4, 4, 4], samples=4))
    (pair,) = pairs(found, named(arm("rise", "rl")))
    assert transitions(pair) == {
        ("absent", "absent"): 0.25,
        ("absent", "mastered"): 0.25,
        ("inconsistent", "mastered"): 0.25,
        ("mastered", "mastered"): 0.25,
    }


ARM = "title: MINE <b>\ngroup: main\nline: RISE\nhypothesis: none\nagainst: [theirs]\n"


def experiment(folder: Path) -> tuple[list[str], Path]:
    """Two arm files and their results: right on 3 of 4 problems, and on 1 of 4, with three seeds on two bases."""
    for name, text in (("mine", ARM), ("theirs", ARM.replace("MINE <b>", "THEIRS"))):
        (folder / f"{name}.yaml").write_text(text)
    cells = [(base, seed) for base in ("a", "b") for seed in range(3)]
    made = [
        row(name, right, [2 * each for each in right], samples=2, base=base, seed=seed, traces=traces)
        for name, right, traces in (("mine", [1, 1, 1, 0], 30), ("theirs", [1, 0, 0, 0], 60))
        for base, seed in cells
    ]
    return [str(folder / f"{name}.yaml") for name in ("mine", "theirs")], write(folder / "r.jsonl", *made)


def test_the_tables_as_markdown(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    arms, results = experiment(tmp_path)
    show(arms, results=results, only=(), out=None, claims=None)
    lines = capsys.readouterr().out.splitlines()
    assert "| MINE <b> | 6 | 30 | 75.0 (0.0 to 100.0) | 75.0 (0.0 to 100.0) |" in lines
    assert "| MINE <b> | 5 | 3 | 90 | 31 | 30 | 30 | 1200 | 0.00 |" in lines
    assert "| mine - theirs | greedy | 6 | +50.0 (-41.9 to +100.0) | 0.182 | open |" in lines
    assert "| mine - theirs | +50.0 (-41.9 to +100.0) | +50.0 (-41.9 to +100.0) |" in lines, "base by base"
    assert "| RISE | 42 | 36 | - | - |" not in lines and "| RISE | 30 | 30 | - | - |" in lines
    assert "| MINE <b> | 0.250 | 75.0 | 75.0 |" in lines, "entropy and pass@k"
    assert "| theirs to mine | 25.0 | 0.0 | 50.0 | 0.0 | 0.0 | 0.0 | 0.0 | 0.0 | 25.0 |" in lines


def test_the_page_has_plots_with_intervals_and_escapes_what_files_say(tmp_path: Path):
    arms, results = experiment(tmp_path)
    show(arms, results=results, only=(), out=tmp_path / "e.html", claims=None)
    text = (tmp_path / "e.html").read_text()
    assert "MINE &lt;b&gt;" in text and "MINE <b>" not in text
    assert "<h2>pass@k</h2>" in text and "pass@1 to pass@2</h3>" in text
    assert text.count('<line class="span"') == 2 * 2 and "http" not in text.replace("http-equiv", "")


def test_each_group_has_its_plots_and_none_of_its_lines_is_left_out(tmp_path: Path):
    names = [f"m{n}" for n in range(8)] + ["f"]
    for name in names:
        group = "foreign" if name == "f" else "main"
        (tmp_path / f"{name}.yaml").write_text(f"title: {name}\ngroup: {group}\nline: line {name}\nhypothesis: none\n")
    results = write(tmp_path / "r.jsonl", *(row(name, [1, 0], traces=30) for name in names))
    arms = load_arms([str(tmp_path / f"{name}.yaml") for name in names])
    made = list(figures(summaries(read_rows(results), named(*arms))))
    assert [one.title for one in made] == [f"test, {mode}: {g}" for g in ("main", "foreign") for mode in MODES]
    assert [name for name, *_ in made[0].legend] == [f"line m{n}" for n in range(8)]
    assert made[0].legend[0][2] == "50.0 % at 30" and made[0].svg.count("<polyline") == 8


def test_an_arm_without_traces_has_its_place(tmp_path: Path):
    found = rows(tmp_path, row("rl", [1, 0]), row("rise", [1, 1], traces=1))
    (one, _) = figures(summaries(found, named(arm("rl", line="RL"), arm("rise", line="RISE"))))
    assert [end for _, _, end in one.legend] == ["50.0 % at 0", "100.0 % at 1"]
    assert "expert traces 0: 50 %" in one.svg and ">0</text>" in one.svg


def test_pass_at_k_is_drawn_for_arms_with_several_samples(tmp_path: Path):
    many = [row(f"a{n}", [1, 0], [4, 0], samples=4) for n in range(7)]
    found = summaries(rows(tmp_path, *many), named(*(arm(f"a{n}") for n in range(7))))
    first, second = pass_figures(found)
    assert first.title == "pass@1 to pass@4" and [name for name, *_ in first.legend] == [f"A{n}" for n in range(6)]
    assert second.legend == [("A6", first.legend[0][1], "50.0 %")] and "k 2: 50 %" in second.svg
    assert not list(pass_figures(summaries(rows(tmp_path / "one", row("a0", [1, 0])), named(arm("a0")))))


def test_no_results_and_an_ending_that_says_no_format_are_refused(tmp_path: Path):
    arms, results = experiment(tmp_path)
    with pytest.raises(InputError, match=r"none\.jsonl: no results yet"):
        show(arms, results=tmp_path / "none.jsonl", only=(), out=None, claims=None)
    with pytest.raises(InputError, match=r"must end in \.md or \.html"):
        show(arms, results=results, only=(), out=tmp_path / "e.pdf", claims=None)


def test_the_tables_need_no_torch():
    code = "import sys; import metis_rise.ablation.command; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
