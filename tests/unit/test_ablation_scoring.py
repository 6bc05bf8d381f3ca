"""What a results file keeps of an arm's answers."""

from __future__ import annotations

from dataclasses import replace

import pytest

from metis_rise.ablation.results import unpacked
from metis_rise.ablation.scoring import kind, summary
from metis_rise.problems import world
from metis_rise.problems.images import ImageStore
from metis_rise.problems.world.chain import completion
from metis_rise.stages.workshop import judged
from metis_rise.types import Group, Problem, StopReason, Trajectory


@pytest.fixture(scope="module")
def bars(tmp_path_factory: pytest.TempPathFactory) -> Problem:
    store = ImageStore(tmp_path_factory.mktemp("images"))
    return next(p for p in world.make_problems("test", 1, 0, store) if p.family == "bars" and p.level == 2)


def answered(problem: Problem, text: str, stop: StopReason = StopReason.EOS, sample: int = 0) -> Trajectory:
    return judged(problem, Trajectory(problem.id, sample, text, (1, 2), (-0.5, -1.5), stop), "arm")


def test_answers_are_told_apart_by_what_is_wrong_with_them(bars: Problem):
    chain, gold = bars.meta["chain"], bars.answer
    name, value = next((name, value) for name, value in bars.meta["readings"] if f"{name}=" in chain)
    misread = chain.replace(f"{name}={value}", f"{name}={(int(value) + 1) % 10}")
    last = chain.split()[-1]
    assert kind(answered(bars, completion(chain, gold))) == "right"
    assert kind(answered(bars, completion(misread, gold))) == "lucky"
    assert kind(answered(bars, completion(misread, "99"))) == "perception"
    assert kind(answered(bars, completion(chain.removesuffix(last) + "1+1=3", "99"))) == "reasoning"
    assert kind(answered(bars, completion(chain, "99"))) == "conclusion"
    assert kind(answered(bars, completion("I think it is 99.", "99"))) == "guess"
    assert kind(answered(bars, f"<think> {chain}</think>{gold}")) == "format"
    assert kind(answered(bars, completion(chain, gold)[:-4], StopReason.LENGTH)) == "cut off"


def test_a_summary_has_counts_shares_and_the_entropy_of_what_was_drawn(bars: Problem):
    right, wrong = completion(bars.meta["chain"], bars.answer), completion(bars.meta["chain"], "99")
    groups = [Group(bars, tuple(answered(bars, text, sample=n) for n, text in enumerate((right, wrong, right))))]
    found = summary(groups, drawn=True)
    assert (found["n"], found["samples"], unpacked(found["right"], 1, 3)) == (1, 3, [2])
    assert found["accuracy"] == found["families"]["bars"] == found["levels"]["2"] == pytest.approx(2 / 3)
    assert found["by_family"] == {"bars": {"n": 1, "right": found["right"]}}
    assert found["kinds"] == {"right": 2, "conclusion": 1}
    assert found["entropy"] == 1.0 and found["tokens"] == 2
    assert summary(groups, drawn=False)["entropy"] is None


def test_answers_are_kept_by_family_in_their_order(bars: Problem):
    right, wrong = completion(bars.meta["chain"], bars.answer), completion(bars.meta["chain"], "99")
    dial = replace(bars, family="dial")
    asked = [(bars, right), (dial, wrong), (bars, wrong), (dial, right), (bars, right)]
    found = summary([Group(problem, (answered(problem, text),)) for problem, text in asked], drawn=False)
    kept = {name: unpacked(each["right"], each["n"], 1) for name, each in found["by_family"].items()}
    assert kept == {"bars": [1, 0, 1], "dial": [0, 1]}
