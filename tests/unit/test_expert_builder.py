"""The builder of the tiny expert (scripts/build_expert.py): where it starts, and what it is taught."""

from __future__ import annotations

import sys
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch
from transformers import AutoTokenizer

from metis_rise.policy.loading import find_folder
from metis_rise.policy.model import Policy
from metis_rise.problems import world
from metis_rise.problems.images import ImageStore
from metis_rise.problems.world.chain import Draft
from metis_rise.stages.experts.files import read_files
from metis_rise.stages.experts.question import Questions
from metis_rise.types import Problem, Trajectory, Verdict

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"
sys.path.insert(0, str(SCRIPTS))
try:
    from base_builder.architecture import Shape, build_model
    from base_builder.attempts import held_back
    from base_builder.lapses import lapsed
    from base_builder.pictures import features, patches
    from base_builder.seminar import KINDS, Seminar, config_of
    from base_builder.widen import widen
finally:
    sys.path.remove(str(SCRIPTS))

if TYPE_CHECKING:
    from metis_rise.recipe.expert import Knowledge


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> ImageStore:
    return ImageStore(tmp_path_factory.mktemp("images"))


@pytest.fixture(scope="module")
def problems(store: ImageStore) -> list[Problem]:
    return held_back(12, 0, store)


@pytest.fixture(scope="module")
def seminar(problems: list[Problem], store: ImageStore) -> Seminar:
    return Seminar(AutoTokenizer.from_pretrained(find_folder("tiny")), 0, problems, failures(problems), store)


def failures(problems: list[Problem], answer: str = "77") -> dict[str, list[Trajectory]]:
    """One wrong attempt at each, with that answer."""
    verdict = Verdict(False, True, answer, "answer box")
    return {p.id: [Trajectory(p.id, 0, f"It is {answer}.", verdict=verdict)] for p in problems}


def test_a_widened_model_computes_what_the_small_one_does(problems: list[Problem], store: ImageStore):
    tokenizer = AutoTokenizer.from_pretrained(find_folder("tiny"))
    small = build_model(tokenizer, 0, Shape(hidden=64, layers=2))
    large = build_model(tokenizer, 1, Shape(hidden=128, layers=3))
    pixels, ids = patches([store.open(problems[0].images[0])]), torch.arange(300, 400)[None]
    with torch.no_grad():
        assert not torch.allclose(large(ids).logits, small(ids).logits, atol=0.1)
        widen(small, large)
        seen = features(large, pixels)
        assert torch.allclose(seen, torch.nn.functional.pad(features(small, pixels), (0, 64)), atol=1e-5)
        expected = small(ids).logits
        assert torch.allclose(large(ids).logits, expected, atol=5e-3 * expected.abs().max())


def test_problems_are_different_ones_of_the_pretraining_split(problems: list[Problem]):
    assert {(p.family, p.level) for p in problems} == {(f, level) for f in world.HELD_BACK for level in world.LEVELS}
    assert len({(p.question, p.images) for p in problems}) == len(problems) == 72
    for problem in problems:
        readings = tuple((name, value) for name, value in problem.meta["readings"])
        drawn = Draft(problem.question, problem.answer, {}, readings, ())
        assert world.split_of(problem.family, drawn) == "base"


@pytest.mark.parametrize("told", [(), ("hints",), KINDS], ids=["blind", "hints", "everything"])
def test_what_is_asked_is_what_the_expert_stage_asks(
    problems: list[Problem], store: ImageStore, seminar: Seminar, told: tuple[Knowledge, ...]
):
    policy, config = Policy.load("tiny", device="cpu"), config_of(told)
    questions = Questions(config, read_files(config), failures(problems), store)
    for problem in problems[::9]:
        asked = questions(problem)
        prompt = policy.encode(list(asked.messages), [store.open(key) for key in asked.images])
        assert seminar.item(problem, told, "said").prompt == prompt.input_ids.tolist()


def test_a_lapse_changes_only_what_hangs_on_the_forgotten_fact(problems: list[Problem]):
    for problem in problems:
        chain, answer = lapsed(problem)
        if problem.family == "path":
            rows = [step.partition("=")[2][0] for step in problem.meta["chain"].split()[1:]]
            hangs = any({one, other} == {"1", "4"} for one, other in pairwise(rows))
        else:
            hangs = problem.level > 1
        assert hangs == (chain != problem.meta["chain"])
        assert hangs == bool(world.check_chain(problem, f"<think> {chain}</think>"))
        assert answer == chain.rpartition("=")[2]


def test_only_knowledge_of_the_way_keeps_the_expert_from_lapses(
    problems: list[Problem], store: ImageStore, seminar: Seminar
):
    def replies(told: tuple[Knowledge, ...], taught: Seminar) -> set[bool]:
        return {world.check_chain(p, taught.reply(p, told)) == "" for p in problems if p.level == 3 for _ in range(4)}

    assert replies((), seminar) == replies(("failed_attempts",), seminar) == {True, False}
    for kind in ("hints", "reference_answer", "reference_solution"):
        assert replies((kind,), seminar) == {True}
    refuted = {p.id: failures([p], lapsed(p)[1])[p.id] for p in problems}
    knowing = Seminar(AutoTokenizer.from_pretrained(find_folder("tiny")), 0, problems, refuted, store)
    assert replies(("failed_attempts",), knowing) == {True}, "an attempt that lapsed so is among those that failed"


def test_the_seed_decides_what_is_taught(problems: list[Problem], store: ImageStore):
    tokenizer = AutoTokenizer.from_pretrained(find_folder("tiny"))

    def drawn(seed: int) -> list[tuple[list[int], list[int]]]:
        made = Seminar(tokenizer, seed, problems, failures(problems), store)
        return [(item.prompt, item.reply) for item in made.items(20)]

    assert drawn(0) == drawn(0) != drawn(1)
