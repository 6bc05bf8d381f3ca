"""What each curriculum stage trains on."""

from __future__ import annotations

from metis_rise.recipe import SFTStage
from metis_rise.stages.sft import Example, curriculum
from metis_rise.types import AnswerType, Problem


def examples(kind: str, count: int) -> list[Example]:
    return [Example(Problem(f"{kind}{i}", "q", "1", AnswerType.NUMBER), f"{kind} {i}") for i in range(count)]


POOLS = {"self": examples("self", 10), "mastered": examples("mastered", 6), "expert": examples("expert", 8)}


def stage(**config: object) -> SFTStage:
    return SFTStage(**{"name": "s", "data": ("expert",), **config})


def kinds(found: list[Example]) -> set[str]:
    return {example.text.split()[0] for example in found}


def test_a_stage_teaches_all_examples_of_its_kinds():
    taught, replay = curriculum(stage(data=("self", "expert")), POOLS, 0)
    assert len(taught) == 18 and kinds(taught) == {"self", "expert"}
    assert replay == []


def test_replay_is_a_share_of_the_stage_and_comes_from_what_it_does_not_teach():
    taught, replay = curriculum(stage(replay=1.0), POOLS, 0)
    assert len(taught) == len(replay) == 8
    assert kinds(replay) == {"mastered", "self"}
    _, replay = curriculum(stage(data=("self",), replay=0.5), POOLS, 0)
    assert len(replay) == 5 and kinds(replay) == {"mastered"}


def test_replay_ends_where_there_is_no_more():
    assert len(curriculum(stage(replay=10.0), POOLS, 0)[1]) == 16


def test_replay_is_drawn_anew_for_each_seed_and_the_same_for_one():
    draws = [curriculum(stage(replay=1.0), POOLS, seed)[1] for seed in (0, 0, 1)]
    assert draws[0] == draws[1] != draws[2]
