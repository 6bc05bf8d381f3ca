"""What each curriculum stage trains on, and in which order."""

from __future__ import annotations

from collections import Counter

import pytest

from metis_rise.errors import InputError
from metis_rise.recipe import Recipe, SFTStage
from metis_rise.stages.curriculum import Example, check_selections, foreseen_empty, ordered, select, wants
from metis_rise.types import AnswerType, Bucket, Problem


def problem(name: str, **values: object) -> Problem:
    return Problem(**{"id": name, "question": "q", "answer": "1", "answer_type": AnswerType.NUMBER, **values})


def examples(kind: str, count: int, rate: float = 0.0) -> list[Example]:
    return [Example(problem(f"{kind}{i}"), f"{kind} {i}", kind, rate) for i in range(count)]


POOLS = {"self": examples("self", 10, 0.5), "mastered": examples("mastered", 6, 1.0), "expert": examples("expert", 8)}


def stage(**config: object) -> SFTStage:
    return SFTStage(**{"name": "s", "data": ("expert",), **config})


def recipe(*stages: SFTStage) -> Recipe:
    return Recipe(name="r", problems={"kind": "world"}, sft={"stages": stages})


def kinds(found: list[Example]) -> set[str]:
    return {example.source for example in found}


def test_a_stage_teaches_all_examples_of_its_kinds():
    taught, replay = select(stage(data=("self", "expert")), POOLS, 0)
    assert len(taught) == 18 and kinds(taught) == {"self", "expert"}
    assert replay == []


def test_replay_is_a_share_of_the_stage_and_comes_from_what_it_does_not_teach():
    taught, replay = select(stage(replay=1.0), POOLS, 0)
    assert len(taught) == len(replay) == 8
    assert kinds(replay) == {"mastered", "self"}
    _, replay = select(stage(data=("self",), replay=0.5), POOLS, 0)
    assert len(replay) == 5 and kinds(replay) == {"mastered"}


def test_what_a_stage_leaves_out_of_its_own_kind_may_be_replayed():
    pools = POOLS | {"self": [*examples("self", 3, 0.9), *examples("hard", 4, 0.1)]}
    taught, replay = select(stage(data=("self",), solve_rates=(0.5, 1.0), replay=10.0), pools, 0)
    assert kinds(taught) == {"self"} and kinds(replay) == {"hard", "mastered"} and len(replay) == 10


def test_replay_ends_where_there_is_no_more():
    assert len(select(stage(replay=10.0), POOLS, 0)[1]) == 16


def test_replay_is_drawn_anew_for_each_seed_and_the_same_for_one():
    draws = [select(stage(replay=1.0), POOLS, seed)[1] for seed in (0, 0, 1)]
    assert draws[0] == draws[1] != draws[2]


@pytest.mark.parametrize(
    ("config", "fits"),
    [
        ({"modality": "image"}, {"picture"}),
        ({"modality": "text"}, {"plain", "hard"}),
        ({"families": ("shop",)}, {"picture"}),
        ({"subjects": ("algebra", "logic")}, {"hard"}),
        ({"levels": (1, 3)}, {"picture", "hard"}),
        ({"families": ("shop",), "levels": (3,)}, set()),
        ({}, {"picture", "plain", "hard"}),
    ],
)
def test_a_stage_selects_by_modality_family_subject_and_level(config: dict[str, object], fits: set[str]):
    there = [
        problem("picture", images=("key",), family="shop", level=1),
        problem("plain", family="text", level=2, meta={"subject": "geometry"}),
        problem("hard", family="text", level=3, meta={"subject": "algebra"}),
    ]
    assert {p.id for p in there if wants(stage(**config), p)} == fits


def test_both_ends_of_a_range_of_solve_rates_are_in_it():
    config = stage(solve_rates=(0.25, 0.75))
    assert [wants(config, problem("p"), rate) for rate in (0.2, 0.25, 0.5, 0.75, 0.8)] == [0, 1, 1, 1, 0]


def test_a_selection_that_no_problem_can_pass_is_refused_with_what_there_is():
    there = [problem("a", family="shop"), problem("b", family="bars", level=2)]
    check_selections(recipe(stage(), stage(name="t", families=("bars",), levels=(2,))), there)
    with pytest.raises(
        InputError, match=r"sft\.stages\.1 \(t\): no training problem has families = bar; .* bars, shop"
    ):
        check_selections(recipe(stage(), stage(name="t", families=("bar",))), there)
    with pytest.raises(InputError, match=r"families = bars and levels = 7; there are families: .*; levels: 0, 2"):
        check_selections(recipe(stage(families=("bars",), levels=(7,))), there)
    with pytest.raises(InputError, match=r"modality = image; there are modality: text"):
        check_selections(recipe(stage(modality="image")), there)


def test_stages_without_examples_are_foreseen_from_the_buckets():
    there = [problem("a", family="shop"), problem("b", family="bars")]
    rates = {"a": (Bucket.INCONSISTENT, 0.5), "b": (Bucket.ABSENT, 0.0)}
    stages = (
        stage(name="self", data=("self",)),
        stage(name="hard", data=("self",), solve_rates=(0.0, 0.3)),
        stage(name="expert"),
        stage(name="shop", families=("shop",)),
        stage(name="kept", data=("mastered", "self")),
        stage(name="known", data=("mastered",)),
    )
    assert [config.name for config in foreseen_empty(recipe(*stages), there, rates)] == ["hard", "shop", "known"]


def test_easy_to_hard_goes_from_high_solve_rates_to_low_ones():
    taught = [*examples("expert", 4, 0.0), *examples("hard", 4, 0.25), *examples("easy", 4, 0.9)]
    order = [e.source for e in ordered(stage(order="easy_to_hard"), taught, [], 1)]
    assert order == ["easy"] * 4 + ["hard"] * 4 + ["expert"] * 4


def test_the_expert_comes_last_and_what_comes_before_is_shuffled():
    taught = [*examples("expert", 6), *examples("self", 6, 0.5)]
    first, second = (ordered(stage(order="expert_last"), taught, [], seed) for seed in (0, 1))
    assert [e.source for e in first] == [e.source for e in second] == ["self"] * 6 + ["expert"] * 6
    assert [e.text for e in first] != [e.text for e in second]


@pytest.mark.parametrize("order", ["random", "easy_to_hard", "expert_last"])
def test_an_epoch_has_every_example_once_and_each_problem_in_one_place(order: str):
    shared = [Example(e.problem, f"again {e.text}", "self", 0.5) for e in POOLS["self"]]
    taught, replay = [*POOLS["expert"], *POOLS["self"]], [*shared, *POOLS["mastered"]]
    found = ordered(stage(order=order), taught, replay, 3)
    assert Counter(e.text for e in found) == Counter(e.text for e in [*taught, *replay])
    places = [e.problem.id for e in found]
    runs = [name for i, name in enumerate(places) if i == 0 or places[i - 1] != name]
    assert len(runs) == len(set(places))


def test_replay_is_spread_over_an_ordered_epoch():
    taught, replay = examples("expert", 40), examples("mastered", 40, 1.0)
    found = [e.source for e in ordered(stage(order="easy_to_hard"), taught, replay, 0)]
    quarters = [found[i : i + 20].count("mastered") for i in range(0, 80, 20)]
    assert min(quarters) >= 4
