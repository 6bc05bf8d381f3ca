"""One SFT update against the naive batch, and the order of the examples."""

from __future__ import annotations

from pathlib import Path

import pytest
import tiny
import torch
from naive import naive_logprobs, relative_error, take_gradients
from test_update import make_bench, make_store
from torch import nn

from metis_rise.policy.forward import Row
from metis_rise.policy.model import Policy
from metis_rise.policy.planning import Split, Whole, plan
from metis_rise.recipe import SFTStage
from metis_rise.stages.curriculum import Example, ordered
from metis_rise.stages.passes import Completion, rows_of
from metis_rise.stages.sft_training import _completions
from metis_rise.stages.workshop import Bench
from metis_rise.types import AnswerType, Problem

RANDOM = SFTStage(name="s", data=("self",))
TAUGHT = {
    "picture": ["So 3 + 14 = 17.", "The clock says 25. " * 6, "17", "How many dots? " * 5],
    "text": ["17", "How many dots are there? 17 dots."],
    "long": ["\\boxed{17}"],
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.write_folder(tmp_path_factory.mktemp("model"))


def make_batch(folder: Path, tmp_path: Path, **settings: bool) -> tuple[Bench, list[Completion]]:
    store, problems = make_store(tmp_path)
    bench = make_bench(Policy.load(folder, **settings), store)
    examples = [Example(problems[name], text) for name, texts in TAUGHT.items() for text in texts]
    return bench, _completions(bench, examples)


def splitting(batch: list[Row]) -> int:
    return max(len(prompt) + len(completion) for prompt, completion in batch)


@pytest.mark.parametrize("split", [False, True], ids=["one_pass", "split"])
def test_the_loss_is_the_mean_over_the_tokens_of_the_batch(folder: Path, tmp_path: Path, split: bool) -> None:
    bench, completions = make_batch(folder, tmp_path)
    batch = rows_of(bench.prompts, completions)
    budget = splitting(batch) if split else 4096
    assert {type(each) for each in plan(batch, budget)} == ({Split, Whole} if split else {Whole})
    assert (len(plan(batch, budget)) > 2) == split
    loss = bench.work.teach(completions, budget).loss
    gradients = take_gradients(bench.policy)
    wanted = -naive_logprobs(bench.policy, batch)[0].mean()
    wanted.backward()
    assert loss == pytest.approx(float(wanted.detach()), rel=1e-5)
    assert relative_error(gradients, take_gradients(bench.policy)) < 1e-4
    assert not bench.policy.model.training


def test_layers_are_recomputed_in_an_update(folder: Path, tmp_path: Path) -> None:
    bench, batch = make_batch(folder, tmp_path, gradient_checkpointing=True)
    passes: list[nn.Module] = []
    inner = bench.policy.core.language_model.layers[1].mlp
    inner.register_forward_pre_hook(lambda module, inputs: passes.append(module))
    bench.work.teach(batch, 4096)
    assert passes == [inner] * 2


def test_a_row_is_the_problem_as_it_is_asked_and_the_text_with_its_end(folder: Path, tmp_path: Path) -> None:
    bench, completions = make_batch(folder, tmp_path)
    batch = rows_of(bench.prompts, completions)
    texts = [text for each in TAUGHT.values() for text in each]
    assert [bench.policy.decode(completion.tolist()) for _, completion in batch] == texts
    assert all(int(completion[-1]) in bench.policy.eos_ids for _, completion in batch)
    assert [prompt.problem for prompt, _ in batch] == [name for name, each in TAUGHT.items() for _ in each]
    assert batch[0][0] is batch[1][0] and torch.equal(batch[0][0].input_ids, batch[2][0].input_ids)


def examples() -> list[Example]:
    """Three each of twelve problems, one after another's."""
    problems = [Problem(f"p{i}", "q", "1", AnswerType.NUMBER) for i in range(12)]
    return [Example(problem, f"{problem.id} {number}") for number in range(3) for problem in problems]


def test_a_random_epoch_is_a_permutation() -> None:
    given = examples()
    order = ordered(RANDOM, given, [], 7)
    assert sorted(e.text for e in order) == sorted(e.text for e in given)
    assert given == examples(), "what was given is left as it was"


def test_a_random_epoch_keeps_problems_together() -> None:
    order = [example.problem.id for example in ordered(RANDOM, examples(), [], 7)]
    assert [order[i : i + 3] for i in range(0, 36, 3)] == [[name] * 3 for name in order[::3]]
    assert len(set(order[::3])) == 12


def test_a_random_epoch_draws_the_order_of_problems_and_of_examples_by_the_seed() -> None:
    orders = [[example.text for example in ordered(RANDOM, examples(), [], seed)] for seed in (7, 7, 8)]
    assert orders[0] == orders[1] != orders[2]
    unmoved = [f"p{i} {number}" for i in range(12) for number in range(3)]
    for order in (orders[0], orders[2]):
        assert order != unmoved
        assert [text.split()[0] for text in order] != [text.split()[0] for text in unmoved], "problems are drawn"
        inside = [tuple(text.split()[1] for text in order[i : i + 3]) for i in range(0, 36, 3)]
        assert len(set(inside)) > 1, "examples of a problem are drawn"
