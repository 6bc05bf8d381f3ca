"""The procedural world: deterministic, disjoint splits, exact answers, no shortcut around the picture."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from pathlib import Path
from random import Random

import pytest

from metis_rise.errors import InputError
from metis_rise.problems import world
from metis_rise.problems.images import ImageStore
from metis_rise.problems.world.canvas import COLOURS
from metis_rise.types import StopReason, Trajectory
from metis_rise.verifier.judge import judge

SPLITS = ("base", "train", "dev", "test")
SHORTCUT = 0.15


def sample(family: str, level: int, split: str, count: int, seed: int = 0):
    source = world.drafts(family, level, split, Random(f"{family}{level}{split}{seed}"))
    return [next(source) for _ in range(count)]


def test_same_seed_makes_the_same_problems_and_the_same_bytes(tmp_path: Path):
    first, second = ImageStore(tmp_path / "a"), ImageStore(tmp_path / "b")
    assert world.make_problems("test", 3, 7, first) == world.make_problems("test", 3, 7, second)
    names = sorted(path.name for path in first.folder.iterdir())
    assert names == sorted(path.name for path in second.folder.iterdir())
    assert all((first.folder / n).read_bytes() == (second.folder / n).read_bytes() for n in names)


def test_another_seed_makes_other_problems(tmp_path: Path):
    store = ImageStore(tmp_path)
    questions = [{p.question for p in world.make_problems("train", 3, seed, store)} for seed in (0, 1)]
    assert questions[0] != questions[1]


@pytest.mark.parametrize("family", world.FAMILIES)
def test_splits_share_no_latent_state(family: str):
    keys = {
        split: {
            (d.question, d.caption)
            for level in world.LEVELS
            for seed in (0, 1)
            for d in sample(family, level, split, 300, seed)
        }
        for split in SPLITS
    }
    for i, split in enumerate(SPLITS):
        for other in SPLITS[i + 1 :]:
            assert not keys[split] & keys[other]


def test_problems_of_a_split_are_all_different(tmp_path: Path):
    problems = world.make_problems("test", 30, 0, ImageStore(tmp_path))
    states = [(p.family, p.question, tuple(map(tuple, p.meta["readings"]))) for p in problems]
    assert len(set(states)) == len(problems) == 30 * len(world.FAMILIES) * len(world.LEVELS)


def test_asking_for_more_problems_than_exist_says_so(tmp_path: Path):
    with pytest.raises(InputError, match="lower test_per_level"):
        world.make_problems("test", 400, 0, ImageStore(tmp_path))


@pytest.mark.parametrize("family", world.FAMILIES)
@pytest.mark.parametrize("level", world.LEVELS)
def test_the_expert_is_right_and_its_chain_holds(family: str, level: int, tmp_path: Path):
    problems = [
        p for p in world.make_problems("train", 8, 1, ImageStore(tmp_path)) if p.family == family and p.level == level
    ]
    assert problems
    for problem in problems:
        text = world.expert(problem)
        assert judge(problem, text).strict
        assert world.check_chain(problem, text) == ""


@pytest.mark.parametrize("family", world.FAMILIES)
def test_a_higher_level_needs_more_steps(family: str):
    lengths = [min(len(d.plan) for d in sample(family, level, "train", 100)) for level in world.LEVELS]
    assert lengths == sorted(set(lengths))


@pytest.mark.parametrize("family", world.FAMILIES)
def test_the_commonest_answer_is_no_shortcut(family: str):
    answers = Counter(d.answer for level in world.LEVELS for d in sample(family, level, "test", 1000))
    assert answers.most_common(1)[0][1] / answers.total() <= SHORTCUT


@pytest.mark.parametrize("family", [f for f in world.FAMILIES if f != "story"])
def test_the_question_alone_is_no_shortcut(family: str):
    """A predictor that learns the commonest answer to each question shape (colours exchanged) and never looks."""
    learnt: dict[str, Counter[str]] = defaultdict(Counter)
    overall: Counter[str] = Counter()
    for level in world.LEVELS:
        for draft in sample(family, level, "train", 4000):
            learnt[shape(draft.question)][draft.answer] += 1
            overall[draft.answer] += 1
    tests = [d for level in world.LEVELS for d in sample(family, level, "test", 1000)]
    right = sum((learnt.get(shape(d.question)) or overall).most_common(1)[0][0] == d.answer for d in tests)
    assert right / len(tests) <= SHORTCUT


def shape(question: str) -> str:
    return re.sub("|".join(COLOURS), "colour", question)


def test_pictures_follow_the_state_and_not_the_jitter_alone():
    """Two states never look alike: pictures drawn with the same jitter differ wherever the state does."""
    for family in (f for f in world.FAMILIES if f != "story"):
        drafts = {d.caption: d for d in sample(family, 1, "train", 40)}
        looks = {world.picture(family, d, Random(0)).tobytes() for d in drafts.values()}
        assert len(looks) == len(drafts)


def test_a_trajectory_keeps_its_verdict_when_the_chain_is_wrong(tmp_path: Path):
    problem = next(p for p in world.make_problems("train", 1, 0, ImageStore(tmp_path)) if p.family == "bars")
    trajectory = Trajectory(problem.id, 0, f"<think> I think so.</think><answer>\\boxed{{{problem.answer}}}</answer>")
    verdict = judge(problem, trajectory.text, ended=trajectory.stop is StopReason.EOS)
    done = trajectory.judged(verdict, "rl", world.check_chain(problem, trajectory.text))
    assert done.strict and done.verdict is not None and done.verdict.chain is False and "chain" in done.verdict.reason
