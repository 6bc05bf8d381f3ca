"""Packed rows against the naive batch: the same log-probabilities, the same gradients, however they are computed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import tiny
import torch
from naive import naive_logprobs, padded_logprobs, relative_error, take_gradients
from test_objectives_trl import CASES
from test_policy_varlen import bottom_right
from torch import Tensor
from trl_reference import trl_loss

from metis_rise.errors import InputError
from metis_rise.policy import backends
from metis_rise.policy.backends import varlen
from metis_rise.policy.forward import Row, completion_logprobs, row_logprobs, score
from metis_rise.policy.model import Policy
from metis_rise.policy.objectives import OBJECTIVES, TokenBatch, aggregate
from metis_rise.policy.planning import plan
from metis_rise.policy.prompt import Prompt
from metis_rise.recipe import LoraConfig

LENGTHS = [5, 1, 30, 3, 7, 20, 5, 40, 1]
OWNERS = [0, 2, 1, 0, 1, 2, 0, 0, 3]
# One row; several; one for each group; and one that splits the two groups of more than one picture or completion.
SPLITTING = 80
BUDGETS = [None, 200, 120, SPLITTING]
LORA = LoraConfig(rank=4, alpha=8.0)


@pytest.fixture(scope="module", params=["qwen2_5_vl", "qwen3_vl"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.write_folder(tmp_path_factory.mktemp("model"), request.param)


@pytest.fixture(scope="module")
def policy(folder: Path) -> Policy:
    """Everything trained, the vision tower too."""
    return Policy.load(folder, freeze_vision=False)


def make_rows(policy: Policy) -> list[Row]:
    """Ragged completions, two of one token, of prompts with one picture, two (one known already), none, and one."""
    texts = ["How many red dots?", "Compare the pictures.", "What is 3 + 14? Think step by step.", "What is this?"]
    pictures = [
        [tiny.picture(1)],
        [tiny.picture(2, 57, 120), tiny.picture(1)],
        [],
        [tiny.picture(3)],
    ]
    prompts = [
        policy.encode(tiny.message(text, len(shown)), shown) for text, shown in zip(texts, pictures, strict=True)
    ]
    draw = torch.Generator().manual_seed(1)
    return [(prompts[o], torch.randint(8, 300, (n,), generator=draw)) for o, n in zip(OWNERS, LENGTHS, strict=True)]


def weights() -> list[Tensor]:
    """What each token's log-probability is weighed by in the loss, so that no two gradients cancel."""
    return list(torch.split(torch.randn(sum(LENGTHS), generator=torch.Generator().manual_seed(2)), LENGTHS))


def packed(policy: Policy, rows: Sequence[Row], budget: int | None, temperature: float = 1.0) -> list[Tensor]:
    """Log-probabilities per row; gradients of the weighed sum are left in the model."""
    found: dict[int, Tensor] = {}
    with policy.updating():
        for scored in score(policy, rows, temperature, budget):
            values, factors = scored.logprobs.values, [weights()[i] for i in scored.members]
            (values * torch.cat(factors)).sum().backward()
            found |= dict(zip(scored.members, torch.split(values.detach(), scored.logprobs.lengths), strict=True))
    return [found[i] for i in range(len(rows))]


def assert_parity(policy: Policy, budget: int | None, temperature: float = 1.0) -> None:
    rows = make_rows(policy)
    expected, _ = naive_logprobs(policy, rows, temperature)
    (expected * torch.cat(weights())).sum().backward()
    gradients = take_gradients(policy)
    got = packed(policy, rows, budget, temperature)
    torch.testing.assert_close(torch.cat(got), expected.detach(), atol=1e-4, rtol=0)
    assert relative_error(take_gradients(policy), gradients) < 1e-5


def test_the_budgets_do_what_they_are_for(policy: Policy) -> None:
    rows = make_rows(policy)
    kinds = {budget: [type(each).__name__ for each in plan(rows, budget)] for budget in BUDGETS}
    assert kinds == {
        None: ["Whole"],
        200: ["Whole"] * 2,
        120: ["Whole"] * 3,
        SPLITTING: ["Split", "Split", "Whole", "Whole"],
    }


@pytest.fixture(params=["sdpa", "cascade", "varlen"])
def backend(request: pytest.FixtureRequest, policy: Policy, monkeypatch: pytest.MonkeyPatch) -> str:
    """Each way of attention; varlen with a stand-in for the CUDA kernel that does what its documentation says."""
    if request.param == "varlen":
        monkeypatch.setattr(varlen.varlen, "varlen_attn", bottom_right)
        chosen = backends.Backend("varlen", "under test", varlen.attend)
    else:
        chosen = backends.choose(request.param, policy.device, torch.float32)
    monkeypatch.setattr(policy, "backend", chosen)
    name: str = request.param
    return name


@pytest.mark.parametrize("budget", BUDGETS)
def test_equal_to_the_naive_batch(policy: Policy, backend: str, budget: int | None) -> None:
    assert_parity(policy, budget)


def test_equal_at_another_temperature_and_in_entropy(policy: Policy) -> None:
    assert_parity(policy, None, temperature=0.7)
    rows = make_rows(policy)
    got = completion_logprobs(policy, rows, 0.7)
    values, entropy = naive_logprobs(policy, rows, 0.7)
    assert got.lengths == LENGTHS
    torch.testing.assert_close(got.values, values, atol=1e-4, rtol=0)
    torch.testing.assert_close(got.entropy, entropy, atol=1e-4, rtol=0)
    assert got.values.requires_grad and not got.entropy.requires_grad


@pytest.mark.parametrize("budget", [None, SPLITTING])
@pytest.mark.parametrize("settings", [{"gradient_checkpointing": True}, {"lora": LORA}], ids=["recomputed", "lora"])
def test_equal_with_recomputed_layers_and_with_adapters(
    folder: Path, settings: dict[str, Any], budget: int | None
) -> None:
    policy = Policy.load(folder, **({"freeze_vision": False} | settings if "lora" not in settings else settings))
    draw = torch.Generator().manual_seed(3)
    for name, value in policy.named_trainable():
        if "lora_B" in name:
            value.data = 0.02 * torch.randn(value.shape, generator=draw)
    assert_parity(policy, budget)


def test_equal_with_adapters_and_recomputed_layers_at_once(folder: Path) -> None:
    policy = Policy.load(folder, lora=LORA, gradient_checkpointing=True)
    for name, value in policy.named_trainable():
        if "lora_B" in name:
            value.data = torch.full_like(value, 0.01)
    assert_parity(policy, SPLITTING)


@pytest.mark.parametrize("budget", [None, SPLITTING])
@pytest.mark.parametrize("name", ["grpo-token", "grpo-sequence", "gspo-wide"])
def test_the_whole_loss_equals_trl_on_the_naive_batch(policy: Policy, name: str, budget: int | None) -> None:
    """TRL's loss of the naive batch's log-probabilities, through the model, against ours in micro-batches."""
    case, rows = CASES[name], make_rows(policy)
    logp, _, mask = padded_logprobs(policy, rows)
    draw = torch.Generator().manual_seed(4)
    old, ref, advantages = (torch.randn(shape, generator=draw) for shape in (mask.shape, mask.shape, mask.shape[:1]))
    old, ref = logp.detach() + 0.2 * old, logp.detach() + 0.2 * ref
    expected, _ = trl_loss(
        logp, mask, old, ref, advantages, kind=case.kind, level=case.level, bounds=case.bounds(), beta=0.04
    )
    expected.backward()
    gradients = take_gradients(policy)

    total = {"token": sum(LENGTHS), "sequence": len(LENGTHS)}[case.mode]
    got = 0.0
    for scored in score(policy, rows, token_budget=budget):
        chosen = list(scored.members)
        lengths = scored.logprobs.lengths
        batch = TokenBatch(
            scored.logprobs.values,
            torch.cat([old[i, : LENGTHS[i]] for i in chosen]),
            advantages[chosen].repeat_interleave(torch.tensor(lengths)),
            lengths,
            ref_logp=torch.cat([ref[i, : LENGTHS[i]] for i in chosen]),
        )
        loss, _ = OBJECTIVES[case.name].loss(batch, case.settings(0.04))
        part = aggregate(loss, lengths, case.mode, total)
        part.backward()
        got += part.item()
    assert got == pytest.approx(expected.item(), abs=1e-5)
    assert relative_error(take_gradients(policy), gradients) < 1e-5


def count_pictures(policy: Policy, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """A list that receives the number of patches of each pass through the vision tower."""
    seen: list[int] = []
    whole: Callable[..., Any] = policy.core.visual.forward
    monkeypatch.setattr(
        policy.core.visual,
        "forward",
        lambda pixels, *args, **more: seen.append(len(pixels)) or whole(pixels, *args, **more),
    )
    return seen


def distinct_patches(rows: Sequence[Row]) -> int:
    pictures = {key: len(patches) for prompt, _ in rows for key, patches, _ in prompt.pictures()}
    assert len(pictures) == 3, "picture 1 is in two prompts"
    return sum(pictures.values())


@pytest.mark.parametrize("budget", BUDGETS)
def test_a_trained_tower_sees_each_picture_once_per_update(
    policy: Policy, budget: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows, seen, before = make_rows(policy), count_pictures(policy, monkeypatch), policy.encoded
    packed(policy, rows, budget)
    policy.model.zero_grad(set_to_none=True)
    assert sum(seen) == distinct_patches(rows)
    assert policy.encoded - before == 3


def test_a_frozen_tower_sees_each_picture_once_ever(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    policy = Policy.load(folder)
    rows, seen = make_rows(policy), count_pictures(policy, monkeypatch)
    row_logprobs(policy, rows, 1.0, SPLITTING)
    for budget in BUDGETS:
        packed(policy, rows, budget)
    assert sum(seen) == distinct_patches(rows)


def test_tokens_go_through_the_model_once(policy: Policy) -> None:
    rows, seen = make_rows(policy), []
    unique = sum(len(p) for p in {id(p): p for p, _ in rows}.values()) + sum(LENGTHS)
    hook = policy.core.language_model.layers[0].register_forward_pre_hook(
        lambda module, args: seen.append(args[0].shape[1])
    )
    for budget in BUDGETS:
        seen.clear()
        with torch.no_grad():
            forwarded = [scored.forwarded for scored in score(policy, rows, 1.0, budget)]
        assert sum(seen) == sum(forwarded) == unique
        assert budget is None or max(seen) <= budget
    hook.remove()


def test_nothing_to_score(policy: Policy) -> None:
    assert list(score(policy, [])) == [] and row_logprobs(policy, [], 1.0, 100) == []


def test_siblings_and_neighbours_do_not_matter(policy: Policy) -> None:
    rows = make_rows(policy)
    together = row_logprobs(policy, rows, 1.0, 10_000)
    for index, row in enumerate(rows):
        (alone,) = row_logprobs(policy, [row], 1.0, 10_000)
        torch.testing.assert_close(together[index], alone, atol=1e-5, rtol=0)


def test_the_picture_matters(policy: Policy) -> None:
    completion = torch.tensor([20, 21, 22])
    scored = [
        completion_logprobs(policy, [(policy.encode(tiny.message("Q", 1), [tiny.picture(seed)]), completion)]).values
        for seed in (1, 2)
    ]
    assert not torch.allclose(scored[0], scored[1], atol=1e-3)


def named(prompt: Prompt, problem: str) -> Prompt:
    fields = {name: getattr(prompt, name) for name in Prompt.__slots__}
    return Prompt(**fields | {"problem": problem})


def test_what_cannot_be_scored_is_refused_by_problem_and_number(
    policy: Policy, monkeypatch: pytest.MonkeyPatch
) -> None:
    prompt = named(policy.encode(tiny.message("Q", 1), [tiny.picture(1)]), "geo-7")
    good = torch.tensor([20, 21])

    def must_not_run(*args: object, **more: object) -> None:
        raise AssertionError("the model ran")

    monkeypatch.setattr(policy.core, "forward", must_not_run)
    image, video = policy.model.config.image_token_id, policy.model.config.video_token_id
    with pytest.raises(InputError, match=r"'geo-7'.*empty"):
        completion_logprobs(policy, [(prompt, good), (prompt, good[:0])])
    with pytest.raises(InputError, match=r"'geo-7'.*holds 2 vision placeholder token\(s\), 0 are allowed"):
        completion_logprobs(policy, [(prompt, good), (prompt, torch.tensor([20, image, video]))])
    assert prompt.image_grid_thw is not None
    fields = {name: getattr(prompt, name) for name in Prompt.__slots__}
    wrong = Prompt(**fields | {"image_grid_thw": prompt.image_grid_thw * torch.tensor([1, 2, 1])})
    places = int((prompt.input_ids == image).sum())
    with pytest.raises(InputError, match=f"'geo-7'.*{places} image placeholder.*make {2 * places} image tokens"):
        completion_logprobs(policy, [(wrong, good)])
    need = len(prompt) + 30
    with pytest.raises(InputError, match=rf"'geo-7'.*{len(prompt)} \+ 30 = {need} tokens, the budget is {need - 1}"):
        list(score(policy, [(prompt, good), (prompt, torch.full((30,), 20))], 1.0, need - 1))


def test_half_precision_scores_in_float32(folder: Path) -> None:
    policy = Policy.load(folder, dtype="bfloat16", freeze_vision=False)
    rows = make_rows(policy)
    exact = Policy.load(folder, freeze_vision=False)
    got, expected = packed(policy, rows, SPLITTING), packed(exact, rows, SPLITTING)
    assert {values.dtype for values in got} == {torch.float32}
    torch.testing.assert_close(torch.cat(got), torch.cat(expected), atol=0.5, rtol=0)
    cosine = torch.nn.functional.cosine_similarity
    for name, grad in take_gradients(policy).items():
        reference = dict(exact.named_trainable())[name].grad
        assert reference is not None and grad.dtype == torch.bfloat16
        assert cosine(grad.float().flatten(), reference.flatten(), dim=0) > 0.9, name
