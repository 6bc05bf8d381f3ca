from __future__ import annotations

from pathlib import Path

import pytest
import tiny
import torch
from torch import Tensor

from metis_rise.policy import forward
from metis_rise.policy.forward import Row, completion_logprobs, micro_batches
from metis_rise.policy.model import Policy
from metis_rise.policy.objectives import aggregate, policy_loss


@pytest.fixture(scope="module", params=["qwen2_5_vl", "qwen3_vl"])
def policy(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Policy:
    return Policy.load(tiny.write_folder(tmp_path_factory.mktemp("model"), request.param))


@pytest.fixture
def rows(policy: Policy) -> list[Row]:
    """Ragged completions of a prompt with one picture, one with two of different sizes, and one with none."""
    prompts = [
        policy.encode(tiny.message("How many red dots?", 1), [tiny.picture(1)]),
        policy.encode(tiny.message("Compare the pictures.", 2), [tiny.picture(2), tiny.picture(3, 57, 120)]),
        policy.encode(tiny.message("What is 3 + 14? Think step by step.")),
    ]
    torch.manual_seed(1)
    owners = [0, 2, 1, 0, 1, 2]
    lengths = [5, 1, 12, 3, 7, 20]
    return [(prompts[o], torch.randint(8, 300, (n,))) for o, n in zip(owners, lengths, strict=True)]


def naive(policy: Policy, row: Row, temperature: float) -> tuple[Tensor, Tensor]:
    """Log-probabilities and entropy from one full forward of transformers, positions and all left to it."""
    prompt, completion = row
    ids = torch.cat([prompt.input_ids, completion])[None]
    kinds = torch.cat([prompt.mm_token_type_ids, torch.zeros_like(completion)])[None]
    policy.core.rope_deltas = None
    pictures = {"pixel_values": prompt.pixel_values, "image_grid_thw": prompt.image_grid_thw} if prompt.key else {}
    logits = policy.model(input_ids=ids, mm_token_type_ids=kinds, **pictures).logits[0]
    logp = (logits[len(prompt) - 1 : -1] / temperature).log_softmax(-1)
    return logp.gather(-1, completion[:, None])[:, 0], torch.distributions.Categorical(logits=logp).entropy()


@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_equal_to_a_full_forward_per_row(policy: Policy, rows: list[Row], temperature: float) -> None:
    got = completion_logprobs(policy, rows, temperature)
    values, entropy = zip(*(naive(policy, row, temperature) for row in rows), strict=True)
    assert got.lengths == [5, 1, 12, 3, 7, 20]
    torch.testing.assert_close(got.values, torch.cat(values), atol=2e-5, rtol=0)
    torch.testing.assert_close(got.entropy, torch.cat(entropy), atol=2e-5, rtol=0)
    assert got.values.requires_grad and not got.entropy.requires_grad


def gradients(policy: Policy) -> dict[str, Tensor]:
    found = {name: value.grad for name, value in policy.named_trainable() if value.grad is not None}
    policy.model.zero_grad(set_to_none=True)
    return {name: grad.clone() for name, grad in found.items()}


def relative_error(got: dict[str, Tensor], expected: dict[str, Tensor]) -> float:
    assert got.keys() == expected.keys()
    return max(float((got[name] - grad).norm() / (grad.norm() + 1e-8)) for name, grad in expected.items())


def test_chunked_scoring_changes_nothing(policy: Policy, rows: list[Row], monkeypatch: pytest.MonkeyPatch) -> None:
    whole = completion_logprobs(policy, rows)
    whole.values.sum().backward()
    expected = gradients(policy)
    # Seven positions at a time.
    monkeypatch.setattr(forward, "LOGIT_ELEMENTS", 7 * policy.model.lm_head.out_features)
    chunked = completion_logprobs(policy, rows)
    chunked.values.sum().backward()
    torch.testing.assert_close(chunked.values, whole.values)
    torch.testing.assert_close(chunked.entropy, whole.entropy)
    assert relative_error(gradients(policy), expected) < 1e-5


def test_logits_exist_for_completion_positions_only(policy: Policy, rows: list[Row]) -> None:
    seen: list[int] = []
    hook = policy.model.lm_head.register_forward_pre_hook(lambda module, args: seen.append(len(args[0])))
    completion_logprobs(policy, rows)
    hook.remove()
    assert sum(seen) == sum(len(completion) for _, completion in rows)


@pytest.mark.parametrize("mode", ["token", "sequence", "constant"])
@pytest.mark.parametrize("budget", [1, 150, 250])
def test_micro_batches_give_the_global_loss_and_gradient(
    policy: Policy, rows: list[Row], mode: str, budget: int
) -> None:
    torch.manual_seed(2)
    lengths = [len(completion) for _, completion in rows]
    old = [-torch.rand(n) * 4 for n in lengths]
    advantages = torch.randn(len(rows))
    total = {"token": sum(lengths), "sequence": len(rows), "constant": len(rows) * 64}[mode]

    def loss_of(batch: list[int]) -> Tensor:
        scored = completion_logprobs(policy, [rows[i] for i in batch])
        spread = advantages[batch].repeat_interleave(torch.tensor(scored.lengths))
        loss, _ = policy_loss(scored.values, torch.cat([old[i] for i in batch]), spread)
        return aggregate(loss, scored.lengths, mode, total)  # type: ignore[arg-type]

    whole = loss_of(list(range(len(rows))))
    whole.backward()
    expected = gradients(policy)
    batches = micro_batches(rows, budget)
    parts = []
    for batch in batches:
        part = loss_of(batch)
        part.backward()
        parts.append(part.item())
    assert len(batches) > 1
    assert sum(parts) == pytest.approx(whole.item(), abs=1e-5)
    assert relative_error(gradients(policy), expected) < 2e-5


@pytest.mark.parametrize("budget", [1, 100, 170, 260, 10_000])
def test_micro_batches_cover_each_row_once_within_the_budget(rows: list[Row], budget: int) -> None:
    batches = micro_batches(rows, budget)
    assert sorted(i for batch in batches for i in batch) == list(range(len(rows)))
    for batch in batches:
        padded = len(batch) * max(len(rows[i][0]) + len(rows[i][1]) for i in batch)
        assert padded <= budget or len(batch) == 1
    if budget >= 260:
        for prompt in {id(row[0]) for row in rows}:
            holders = [n for n, batch in enumerate(batches) if any(id(rows[i][0]) == prompt for i in batch)]
            assert len(holders) == 1, "rows of one prompt stay together where they fit"
    assert budget < 10_000 or len(batches) == 1


def test_a_picture_is_encoded_once_however_many_rows(policy: Policy) -> None:
    seen: list[int] = []
    prompt = policy.encode(tiny.message("How many?", 1), [tiny.picture(77)])
    hook = policy.core.visual.register_forward_pre_hook(lambda module, args: seen.append(len(args[0])))
    completion_logprobs(policy, [(prompt, torch.tensor([20, 21, 22]))] * 5)
    hook.remove()
    assert prompt.pixel_values is not None
    assert seen == [len(prompt.pixel_values)]


def test_the_picture_matters(policy: Policy) -> None:
    completion = torch.tensor([20, 21, 22])
    scored = [
        completion_logprobs(policy, [(policy.encode(tiny.message("Q", 1), [tiny.picture(seed)]), completion)]).values
        for seed in (1, 2)
    ]
    assert not torch.allclose(scored[0], scored[1], atol=1e-3)


def test_completions_that_cannot_be_scored(policy: Policy) -> None:
    prompt = policy.encode(tiny.message("Q"))
    with pytest.raises(ValueError, match="empty"):
        completion_logprobs(policy, [(prompt, torch.tensor([], dtype=torch.long))])
    with pytest.raises(ValueError, match="image placeholders"):
        completion_logprobs(policy, [(prompt, torch.tensor([20, policy.model.config.image_token_id]))])


def test_half_precision_scores_in_float32(tmp_path: Path) -> None:
    policy = Policy.load(tiny.write_folder(tmp_path), dtype="bfloat16")
    prompt = policy.encode(tiny.message("Q", 1), [tiny.picture(1)])
    assert completion_logprobs(policy, [(prompt, torch.tensor([20, 21]))]).values.dtype == torch.float32
