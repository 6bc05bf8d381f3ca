"""Which of the model's own trajectories become examples."""

from __future__ import annotations

from collections import Counter
from random import Random

from metis_rise.recipe import DistillConfig
from metis_rise.stages.distill import alike, choose
from metis_rise.types import StopReason, Trajectory, Verdict


def trajectory(
    text: str,
    *,
    correct: bool = True,
    well_formed: bool = True,
    chain: bool | None = True,
    stop: StopReason = StopReason.EOS,
) -> Trajectory:
    verdict = Verdict(correct, well_formed, "1", "box", chain)
    return Trajectory("p", 0, text, tuple(range(len(text))), (), stop, verdict=verdict)


def chosen(trajectories: list[Trajectory], most: int = 2, **config: object) -> tuple[list[str], dict[str, int]]:
    kept: list[Trajectory] = []
    dropped: Counter[str] = Counter()
    choose(trajectories, DistillConfig(**config), most, kept, dropped, Random(0))
    return [t.text for t in kept], dict(dropped)


def test_every_fault_is_counted_under_its_own_reason():
    kept, dropped = chosen(
        [
            trajectory("good"),
            trajectory("other answer", correct=False),
            trajectory("no tags", well_formed=False),
            trajectory("lucky chain", chain=False),
            trajectory("cut", stop=StopReason.LENGTH),
        ]
    )
    assert kept == ["good"]
    assert dropped == {"wrong answer": 1, "bad format": 1, "chain wrong": 1, "cut by length": 1}


def test_chains_are_not_asked_about_where_nothing_checks_them_or_nobody_wants_it():
    assert chosen([trajectory("a", chain=None)])[0] == ["a"]
    assert chosen([trajectory("a", chain=False)], check_chains=False)[0] == ["a"]


def test_near_duplicates_go_and_the_cap_holds():
    texts = ["red=4 blue=3 4+3=7", "red=4 blue=3  4+3=7", "Blue is 3, red is 4, so 7.", "One two three four five six."]
    kept, dropped = chosen([trajectory(t) for t in texts], max_similarity=0.9)
    assert len(kept) == 2
    assert dropped == {"near duplicate": 1, "over the cap": 1}
    assert "".join(kept[0].lower().split()) != "".join(kept[1].lower().split())


def test_pick_decides_which_are_kept():
    texts = ["a", "bbbbbb", "cccccccccccc"]
    assert chosen([trajectory(t) for t in texts], most=1, pick="shortest")[0] == ["a"]
    assert chosen([trajectory(t) for t in texts], most=1, pick="longest")[0] == ["cccccccccccc"]
    draws = set()
    for seed in range(20):
        kept: list[Trajectory] = []
        choose([trajectory(t) for t in texts], DistillConfig(pick="random"), 1, kept, Counter(), Random(seed))
        draws.add(kept[0].text)
    assert draws == set(texts)


def test_likeness_ignores_case_and_spaces_and_has_a_threshold():
    assert alike("A  b", "a b", 1.0)
    assert not alike("abcd", "wxyz", 0.0)
    assert alike("4+3=7", "4+3=8", 0.7) and not alike("4+3=7", "4+3=8", 0.9)
