"""The world beyond what the base has seen: longer levels, less light, problems told in words, the foreign expert."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metis_rise.errors import InputError
from metis_rise.problems import world
from metis_rise.problems.images import ImageStore
from metis_rise.problems.world import foreign_expert
from metis_rise.problems.world.chain import chain_fault, completion, steps
from metis_rise.problems.world.foreign import native, sentences
from metis_rise.problems.world.unseen import LIGHT, unseen_level, unseen_light
from metis_rise.types import Problem
from metis_rise.verifier.judge import judge

LONG = (4, 5)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> ImageStore:
    return ImageStore(tmp_path_factory.mktemp("images"))


@pytest.fixture(scope="module")
def problems(store: ImageStore) -> list[Problem]:
    return world.make_problems("test", 12, 0, store, levels=(1, 2, 3, *LONG))


def test_long_problems_have_experts_that_are_right_and_more_steps_than_shorter_ones(problems: list[Problem]):
    for problem in problems:
        assert judge(problem, world.expert(problem)).strict
        assert world.check_chain(problem, world.expert(problem)) == ""
    for family in world.FAMILIES:
        least = [
            min(len(p.meta["plan"]) for p in problems if (p.family, p.level) == (family, level))
            for level in range(1, world.HARDEST + 1)
        ]
        assert least == sorted(set(least)), family


def test_what_a_picture_shows_is_read_once_however_often_it_is_used(problems: list[Problem]):
    for problem in problems:
        read = [
            word
            for word in steps(problem.meta["chain"])
            if tuple(word.split("=")) in map(tuple, problem.meta["readings"])
        ]
        assert len(set(read)) == len(read) == len({name for _, uses in problem.meta["plan"] for name in uses})


def test_no_long_question_is_one_of_a_shorter_level(problems: list[Problem]):
    levels: dict[tuple[str, str], set[int]] = {}
    for problem in problems:
        levels.setdefault((problem.family, problem.question), set()).add(problem.level)
    assert all(len(found) == 1 for found in levels.values())


def test_long_problems_have_no_commonest_answer_that_is_a_shortcut():
    for family in world.FAMILIES:
        for level in LONG:
            made = world.drafts(family, level, "test", Random(f"{family}{level}"))
            answers = Counter(next(made).answer for _ in range(600))
            assert answers.most_common(1)[0][1] / answers.total() <= 0.15, family


def test_the_unseen_level_is_one_longer_than_the_longest(store: ImageStore):
    found = unseen_level((1, 2, 4), 3, 0, store)
    assert len(found) == 3 * len(world.FAMILIES) and {problem.level for problem in found} == {5}
    with pytest.raises(
        InputError, match=r"problems.world.levels = \[5\]: level 5 is the last, and none is left unseen"
    ):
        unseen_level((5,), 3, 0, store)


def test_in_unseen_light_nothing_but_the_light_is_another(store: ImageStore, problems: list[Problem], tmp_path: Path):
    dark = ImageStore(tmp_path)
    found = unseen_light(problems, store, dark)
    drawn = [problem for problem in problems if problem.images]
    assert len(found) == len(drawn) < len(problems), "stories have no picture"
    for before, after in zip(drawn, found, strict=True):
        assert after.id == f"{before.id}-light"
        assert replace(after, id=before.id, images=before.images) == before
    pictures = [np.asarray(each.open(p.images[0]), float) for each, p in ((store, drawn[0]), (dark, found[0]))]
    assert np.abs(pictures[0] * LIGHT - pictures[1]).max() < 1


def test_problems_told_in_words_show_nothing_and_say_what_would_be_shown(store: ImageStore):
    drawn, told = (world.make_problems("train", 4, 0, store, told=share) for share in (0.0, 0.5))
    for before, after in zip(drawn, told, strict=True):
        assert (before.id, before.answer, before.meta) == (after.id, after.answer, after.meta)
        if before != after:
            readings = " ".join(f"{name}={value}" for name, value in before.meta["readings"])
            assert after.images == () and after.question == f"{readings}. {before.question}"
            assert world.check_chain(after, world.expert(after)) == ""
    changed = Counter(p.family for p, other in zip(drawn, told, strict=True) if p != other)
    assert changed == {family: 6 for family in world.FAMILIES if family != "story"}


def test_the_foreign_expert_says_the_same_in_other_words(problems: list[Problem]):
    for problem in problems:
        text, own = foreign_expert.solution(problem), world.expert(problem)
        assert judge(problem, text).strict and world.check_chain(problem, text) == ""
        assert len(text) > len(own) and "=" not in text


def test_the_foreign_style_is_sentences():
    words = ["hand=7", "back", "11", "7+12=19", "19-11=8"]
    assert sentences(words, "8") == (
        "I see that hand is 7. Then back 11. Then 7 plus 12 is 19. Then 19 minus 11 is 8. So the answer is 8."
    )


def test_a_chain_in_foreign_words_is_checked_like_any_other(problems: list[Problem]):
    problem = next(p for p in problems if p.family == "bars" and p.level == 2)
    text = foreign_expert.solution(problem)
    name, value = next(pair for pair in problem.meta["readings"] if f"{pair[0]} is {pair[1]}" in text)
    misread = text.replace(f"{name} is {value}", f"{name} is {int(value) + 1}", 1)
    assert chain_fault(problem.meta, misread) == f"the picture does not show {name}={int(value) + 1}"
    spare = text.replace(". So the answer", ". Then 1 plus 1 is 2. So the answer")
    assert chain_fault(problem.meta, spare) == "1+1=2 comes after the last step"
    short = completion("I see that nothing is here.", problem.answer)
    assert chain_fault(problem.meta, short)


@given(
    st.lists(st.sampled_from(["red=4", "left=3,1", "right=?", "4+3=7", "2*9=18", "-3-4=-7", "forward 3", "back 11"]))
)
def test_foreign_words_lead_back_to_the_steps(parts: list[str]):
    written = [word for part in parts for word in part.split()]
    assert native(sentences(written, "7")) == written or not written


def test_reasoning_in_the_own_style_is_read_as_before():
    assert native("Steps: red=4") is None and native("I think it is 5.") is None
    assert steps(" Steps: red=4 4+3=7") == ["red=4", "4+3=7"]


def test_the_foreign_expert_is_wrong_as_often_as_it_says_and_its_slips_are_found(store: ImageStore):
    made = world.make_problems("train", 25, 0, store, levels=(1, 2, 3, 4))
    replies = [foreign_expert.replies(problem) for problem in made]
    for problem, texts in zip(made, replies, strict=True):
        for text in texts[:-1]:
            assert not judge(problem, text).correct and judge(problem, text).well_formed
    lost = sum(len(texts) == foreign_expert.TRIES for texts in replies) / len(made)
    slipped = sum(len(texts) > 1 for texts in replies) / len(made)
    assert lost == pytest.approx(foreign_expert.LOST, abs=0.03)
    assert slipped == pytest.approx(foreign_expert.SLIPS, abs=0.06)
    assert replies == [foreign_expert.replies(problem) for problem in made]
