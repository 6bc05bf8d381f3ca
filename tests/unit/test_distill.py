"""Which of the model's own trajectories become examples, and why the others do not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from random import Random

import pytest
from diagnosing import completion, make_shop

from metis_rise.recipe import DistillConfig
from metis_rise.run import read_jsonl, write_jsonl
from metis_rise.stages import distill
from metis_rise.stages.distill import Selection
from metis_rise.stages.journals import JOURNAL
from metis_rise.types import AnswerType, Problem, StopReason, Trajectory, Verdict

PROBLEM = Problem("p", "q", "1", AnswerType.NUMBER)


def trajectory(
    text: str,
    *,
    correct: bool = True,
    well_formed: bool = True,
    chain: bool | None = True,
    stop: StopReason = StopReason.EOS,
    tokens: int = 10,
    sample: int = 0,
    problem: str = "p",
) -> Trajectory:
    verdict = Verdict(correct, well_formed, "1", "box", chain)
    return Trajectory(problem, sample, text, tuple(range(tokens)), (), stop, verdict=verdict)


def chosen(trajectories: list[Trajectory], most: int = 2, **config: object) -> tuple[list[str], dict[str, int]]:
    selection = Selection()
    selection.choose(PROBLEM, trajectories, DistillConfig(**config), most, Random(0))
    return [t.text for t in selection.kept], dict(selection.dropped)


def test_every_fault_is_counted_under_its_own_reason():
    kept, dropped = chosen(
        [
            trajectory("good"),
            trajectory("other answer", correct=False),
            trajectory("no tags", well_formed=False),
            trajectory("lucky chain", chain=False),
            trajectory("cut", stop=StopReason.LENGTH),
            trajectory("long", tokens=21),
            trajectory("the end <|im_end|> and on"),
            trajectory(completion("1", "So the answer is 2.")),
        ],
        max_length=20,
    )
    assert kept == ["good"]
    assert dropped == {
        "wrong answer": 1,
        "bad format": 1,
        "holds a chat token": 1,
        "chain wrong": 1,
        "cut by length": 1,
        "over distill.max_length": 1,
        "reasoning announces another answer": 1,
    }


def test_chains_are_not_asked_about_where_nothing_checks_them_or_nobody_wants_it():
    assert chosen([trajectory("a", chain=None)])[0] == ["a"]
    assert chosen([trajectory("a", chain=False)], check_chains=False)[0] == ["a"]


def test_conclusions_are_not_asked_about_when_nobody_wants_it():
    text = completion("1", "So the answer is 2.")
    assert chosen([trajectory(text)], check_conclusion=False)[0] == [text]


def test_overlong_ones_are_dropped_and_never_cut():
    texts = [f"{word} text" for word in ("first", "second", "third")]
    rows = [trajectory(text, tokens=n) for text, n in zip(texts, (5, 6, 7), strict=True)]
    assert chosen(rows, max_length=6) == (["first text", "second text"], {"over distill.max_length": 1})
    assert chosen(rows, most=3)[0] == texts


def test_near_duplicates_go_and_the_cap_holds():
    texts = ["red=4 blue=3 4+3=7", "Red=4 blue=3  4+3=7", "Blue is 3, red is 4, so 7.", "One two three four five six."]
    kept, dropped = chosen([trajectory(t, tokens=len(t)) for t in texts])
    assert kept == [texts[0], texts[2]]
    assert dropped == {"near duplicate": 1, "over the cap": 1}


@pytest.fixture
def shop(tmp_path: Path):
    """Problems i (inconsistent), m (mastered) and a (absent), four samples each, in scattered rounds."""
    made = make_shop(tmp_path, {"i": 0.5, "m": 1.0, "a": 0.0}, samples=4, max_samples=4)
    right = {"i": (True, False, True, True), "m": (True,) * 4, "a": (False,) * 4}
    words = ("apples", "pears", "plums", "figs")
    rows = [
        trajectory(f"{words[s]} of {key}", correct=right[key][s], tokens=10 - s, sample=s, problem=key)
        for s in range(4)
        for key in right
    ]
    write_jsonl(made.run.stage("diagnose").path / JOURNAL, (t.to_json() for t in rows))
    made.run.stage("diagnose").finish({"seconds": 1.0, "solve_rates": {"i": 0.75, "m": 1.0, "a": 0.0}})
    return made


def test_inconsistent_problems_teach_themselves_and_mastered_ones_are_replayed(shop):
    result = distill.run(shop)
    folder = shop.run.stage("distill").path
    own, replay = (read_jsonl(folder / name) for name in (JOURNAL, distill.REPLAY))
    assert [(row["problem_id"], row["sample"], row["source"]) for row in own] == [("i", 3, "self"), ("i", 2, "self")]
    assert [(row["problem_id"], row["sample"], row["source"]) for row in replay] == [("m", 3, "mastered")]
    assert result["counts"] == {"problems": 1, "candidates": 4, "kept": 2, "used": 2, "replay": 1}
    assert result["dropped"] == {"wrong answer": 1, "over the cap": 1}
    assert result["replay_dropped"] == {"over the cap": 3}
    assert result["problems_taught"] == 1


def test_without_self_distillation_mastered_ones_are_replayed_all_the_same(shop):
    config = shop.recipe.distill.model_copy(update={"per_problem": 0})
    result = distill.run(replace(shop, recipe=shop.recipe.model_copy(update={"distill": config})))
    assert result["counts"] == {"problems": 1, "candidates": 4, "kept": 0, "used": 0, "replay": 1}
    assert result["dropped"] == {"wrong answer": 1, "over the cap": 3}


def test_the_same_journal_gives_the_same_examples(shop):
    object.__setattr__(shop, "recipe", shop.recipe.model_copy(update={"distill": DistillConfig(pick="random")}))
    first = (distill.run(shop), (shop.run.stage("distill").path / JOURNAL).read_bytes())
    assert (distill.run(shop), (shop.run.stage("distill").path / JOURNAL).read_bytes()) == first
