"""A device that runs out of memory: passes are cut up and done again, then left out, and the rest stays exact."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest
import tiny
import torch
from naive import relative_error, short_rows, take_gradients
from test_update import SPECS, TEMPERATURE, Place, make_bench, make_groups, make_store, make_updater, naive_update
from torch import Tensor

from metis_rise.errors import InputError
from metis_rise.policy.forward import row_logprobs
from metis_rise.policy.model import Policy
from metis_rise.policy.room import Room, _avoid, out_of_memory
from metis_rise.stages.passes import Completion, completions_of
from metis_rise.stages.workshop import Bench

ROOMY = 4096


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    folder = tiny.write_folder(tmp_path_factory.mktemp("model"))
    store, problems = make_store(tmp_path_factory.mktemp("data"))
    return Place(folder, store, problems, make_bench(Policy.load(folder), store))


@contextmanager
def memory_for(policy: Policy, tokens: int, backward: bool = False) -> Iterator[list[int]]:
    """Passes of more tokens fail, in the backward pass where that is said; the tokens of all passes, as they come.

    The last layer's gradients are there by then, those of the first are not.
    """
    passes: list[int] = []

    def full(*_: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")

    def note(module: object, inputs: tuple[Tensor, ...]) -> None:
        passes.append(inputs[0].shape[1])
        if passes[-1] > tokens and not backward:
            full()

    def late(module: object, inputs: object, output: Tensor) -> None:
        if passes[-1] > tokens and backward and output.requires_grad:
            output.register_hook(full)

    layer = policy.core.language_model.layers[0]
    hooks = [layer.register_forward_pre_hook(note), layer.register_forward_hook(late)]
    try:
        yield passes
    finally:
        for hook in hooks:
            hook.remove()


def working(bench: Bench) -> Bench:
    """With hands of its own, which learn what fits."""
    return replace(bench, hands=bench.work)


def tokens_of(bench: Bench, completions: list[Completion]) -> int:
    return len(bench.prompt(completions[0].problem)) + sum(len(each.tokens) for each in completions)


@pytest.mark.parametrize("backward", [False, True], ids=["forward", "backward"])
def test_an_update_that_does_not_fit_at_once_is_cut_up_and_stays_exact(
    place: Place, backward: bool, caplog: pytest.LogCaptureFixture
) -> None:
    bench = working(place.fresh())
    groups = make_groups(place, bench)
    recorder = Recorder(bench.policy)
    updater = make_updater(bench, recorder, micro_tokens=ROOMY)  # type: ignore[arg-type]
    largest = max(tokens_of(bench, completions_of(kept.group)) for kept in groups)
    with memory_for(bench.policy, largest, backward) as passes:
        figures = updater.update(groups, 0.25)
        failed = len(passes)
        again = updater.update(groups, 0.25)
    wanted = naive_update(bench, groups)
    assert figures["groups_left_out"] == 0 and max(passes[1:]) <= largest < passes[0]
    assert "out of memory in a pass of" in caplog.text and "micro_tokens=" in caplog.text
    for gradients in recorder.gradients:
        assert relative_error(gradients, wanted.gradients) < 1e-4
    assert {name: figures[name] for name in wanted.figures} == pytest.approx(wanted.figures, rel=1e-4, abs=1e-5)
    # What has been learnt holds for the next update, where nothing fails.
    assert max(passes[failed:]) <= largest and again["loss"] == pytest.approx(figures["loss"])
    assert figures["tokens_forwarded"] == figures["tokens_unique"]


@pytest.mark.parametrize("backward", [False, True], ids=["forward", "backward"])
def test_a_group_that_does_not_fit_is_left_out_and_counted(
    place: Place, backward: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """The long prompt alone is larger than memory; of the others the gradient is what it would have been."""
    bench = working(place.fresh())
    groups = make_groups(place, bench)
    sizes = {kept.group.problem.id: len(bench.prompt(kept.group.problem)) for kept in groups}
    others = [kept for kept in groups if kept.group.problem.id != "long"]
    assert sizes["long"] > max(tokens_of(bench, completions_of(kept.group)) for kept in others)
    recorder = Recorder(bench.policy)
    with memory_for(bench.policy, sizes["long"] - 1, backward):
        updater = make_updater(bench, recorder, micro_tokens=ROOMY)  # type: ignore[arg-type]
        figures = updater.update(groups, 0.25)
    assert figures["groups_left_out"] == 1 and updater.left_out == {"long"}
    assert "left out: 'long'" in caplog.text
    # One that is left out says nothing of the size of the others' passes.
    first = bench.work.room.tokens  # type: ignore[attr-defined]
    with memory_for(bench.policy, sizes["long"] - 1, backward):
        updater.update(groups, 0.25)
    assert bench.work.room.tokens == first  # type: ignore[attr-defined]
    whole, count = (sum(len(t.tokens) for kept in some for t in kept.group.trajectories) for some in (groups, others))
    wanted = naive_update(bench, others, [spec for spec in SPECS if spec[0] != "long"])
    # What is divided by counts the whole batch.
    share = {name: value * count / whole for name, value in wanted.gradients.items()}
    assert relative_error(recorder.gradients[0], share) < 1e-4
    assert figures["loss"] == pytest.approx(wanted.figures["loss"], rel=1e-4, abs=1e-5)


def test_sft_is_cut_up_and_leaves_out_in_the_same_way(place: Place) -> None:
    bench = working(place.fresh())
    texts = {"text": ("17", "So 17 it is."), "picture": ("It is 17.", "17")}
    pairs = [(place.problems[name], text) for name, each in texts.items() for text in each]
    few = [Completion(problem, bench.policy.completion_ids(text)) for problem, text in pairs]
    large = [Completion(place.problems["long"], bench.policy.completion_ids("There are 3."))]
    total = sum(len(each.tokens) for each in few + large)
    small = max(tokens_of(bench, few[:2]), tokens_of(bench, few[2:]))
    first = bench.work.teach_share(few, ROOMY, total)
    wanted = take_gradients(bench.policy)
    with memory_for(bench.policy, small) as passes:
        taught = bench.work.teach(few + large, ROOMY)
    assert taught.left_out == ["long"] and taught.loss == pytest.approx(first.loss, rel=1e-5)
    assert relative_error(take_gradients(bench.policy), wanted) < 1e-4
    assert sum(size > small for size in passes) >= 2


def test_scores_without_gradient_are_cut_up_and_a_row_too_large_is_named(place: Place) -> None:
    policy = place.fresh().policy
    rows = short_rows(policy)
    wanted = row_logprobs(policy, rows, TEMPERATURE, ROOMY)
    keep = next(value for _, value in policy.named_trainable())
    keep.grad = torch.ones_like(keep)
    single = max(len(prompt) + len(completion) for prompt, completion in rows)
    with memory_for(policy, single):
        found = row_logprobs(policy, rows, TEMPERATURE, ROOMY)
    for one, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-4)
    assert keep.grad is not None, "gradients that wait for their step are left alone"
    with memory_for(policy, 5), pytest.raises(InputError, match="do not fit"):
        row_logprobs(policy, rows, TEMPERATURE, ROOMY)


def test_what_is_no_lack_of_memory_is_raised(place: Place) -> None:
    def fail(left: object, turn: object) -> None:
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    with pytest.raises(RuntimeError, match="mat1"):
        Room().fit(place.bench.policy, [], ROOMY, fail)


def test_the_lack_of_memory_is_known_by_its_words_on_the_cpu() -> None:
    with pytest.raises(RuntimeError) as failed:
        torch.empty(1 << 60, dtype=torch.uint8)
    assert out_of_memory(failed.value)
    assert not out_of_memory(RuntimeError("shape mismatch")) and out_of_memory(MemoryError())


class Recorder:
    """An optimizer that changes nothing and keeps the gradients of each step."""

    skipped = skipped_in_row = 0

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self.gradients: list[dict[str, Tensor]] = []

    def step(self, lr: float, loss: float) -> float:
        self.gradients.append(take_gradients(self._policy))
        return 1.0


def test_no_budget_is_advised_that_a_prompt_with_a_completion_passes(place: Place) -> None:
    prompt = place.fresh().prompt(place.problems["long"])
    rows = [(prompt, torch.zeros(9, dtype=torch.long))]
    least = len(prompt) + 9
    assert _avoid(rows, least + 5, 2 * least) == f"micro_tokens={least + 5} would avoid it"
    assert _avoid(rows, least // 2, 2 * least) == f"micro_tokens={least} would avoid it"
    assert "model.max_pixels" in _avoid(rows, least // 2, least)
