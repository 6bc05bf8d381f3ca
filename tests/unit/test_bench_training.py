"""The arms of `rise bench update` and `rise bench sft` do the same work, all of it, in every round."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable

import pytest
import torch
from heavier_layers import heavier
from torch import Tensor, nn

from metis_rise.bench.cases import Arms, Case
from metis_rise.bench.model import STUDY, Sizes
from metis_rise.bench.sft import sft_arms
from metis_rise.bench.update import update_arms
from metis_rise.bench.workbench import TEXT_TOKENS, Workbench

SMALL = Sizes(64, 2, 2, 1, 96, 1024, 32, 2, 2, 64)
EQUAL = Case(image_tokens=16, completion_tokens=8, group_size=3, prompts=2)
RAGGED = Case(16, 24, 3, 2, ragged=True)
SHORT = Case(16, 1, 2, 1)
PATCHES = 16 * 4
MAKERS: dict[str, Callable[..., Arms]] = {"update": update_arms, "sft": sft_arms}


@pytest.fixture(scope="module")
def bench() -> Workbench:
    # Attention is nearly uniform in a small random model; a token that sees the wrong ones must be noticed.
    return heavier(Workbench.study(SMALL), 4)


@pytest.fixture
def trl_models(monkeypatch: pytest.MonkeyPatch) -> list[nn.Module]:
    """The models of the trainers that a test makes."""
    from metis_rise.bench import trl_steps

    made: list[nn.Module] = []
    whole = trl_steps._trainer

    def trainer(*arguments, **keywords):
        result = whole(*arguments, **keywords)
        made.append(result.model)
        return result

    monkeypatch.setattr(trl_steps, "_trainer", trainer)
    return made


def gradients(model: nn.Module) -> dict[str, Tensor]:
    found = {name: value.grad.clone() for name, value in model.named_parameters() if value.grad is not None}
    model.zero_grad()
    return found


def assert_alike(found: dict[str, Tensor], wanted: dict[str, Tensor], tolerance: float) -> None:
    assert found.keys() == wanted.keys()
    # A key's bias moves all scores of a query alike: its gradient is nothing but rounding.
    total = max(value.norm() for value in wanted.values())
    for name, value in wanted.items():
        assert (found[name] - value).norm() <= tolerance * max(value.norm(), 1e-2 * total), name


@pytest.mark.parametrize("case", [EQUAL, RAGGED, SHORT], ids=["equal", "ragged", "short"])
@pytest.mark.parametrize("kind", MAKERS)
def test_arms_have_the_same_loss_and_gradients(kind: str, case: Case, bench: Workbench, trl_models: list[nn.Module]):
    arms = MAKERS[kind](bench, case, trl=True)
    assert list(arms) == ["ours", "repeated", "padding_free", "trl"]
    models = {"ours": bench.policy.model, "repeated": bench.plain, "padding_free": bench.policy.model}
    losses, slopes = {}, {}
    for name, arm in arms.items():
        losses[name] = arm()
        slopes[name] = gradients(models[name] if name != "trl" else trl_models[0])
    everything = {name for name, _ in bench.plain.named_parameters()}
    assert slopes["repeated"].keys() == everything, "the vision tower is trained too"
    for name in arms:
        torch.testing.assert_close(losses[name], losses["repeated"], rtol=1e-5, atol=1e-6, msg=name)
        assert_alike(slopes[name], slopes["repeated"], 1e-4 if name == "trl" else 1e-5)


@pytest.mark.parametrize("kind", MAKERS)
def test_losses_mean_something(kind: str, bench: Workbench):
    """Weights, tokens and lengths must reach the loss; equal nonsense in all arms would agree as well."""
    losses = [float(MAKERS[kind](bench, case)["repeated"]()) for case in (EQUAL, RAGGED)]
    assert losses[0] != losses[1]
    before = losses[0]
    weight = bench.plain.model.visual.patch_embed.proj.weight
    with torch.no_grad():
        weight *= 2
    assert float(MAKERS[kind](bench, EQUAL)["repeated"]()) != before
    with torch.no_grad():
        weight /= 2


def patches_seen(model: nn.Module, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    seen: list[int] = []
    visual = model.model.visual
    whole = visual.forward
    monkeypatch.setattr(visual, "forward", lambda pixels, *a, **k: seen.append(len(pixels)) or whole(pixels, *a, **k))
    return seen


def tokens_seen(model: nn.Module, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Positions that each pass through the language model's first layer computes."""
    seen: list[int] = []
    layer = model.model.language_model.layers[0]
    whole = layer.forward
    monkeypatch.setattr(
        layer,
        "forward",
        lambda states, *a, **k: seen.append(states.shape[0] * states.shape[1]) or whole(states, *a, **k),
    )
    return seen


@pytest.mark.parametrize("kind", MAKERS)
def test_every_round_does_the_whole_work(
    kind: str, bench: Workbench, trl_models: list[nn.Module], monkeypatch: pytest.MonkeyPatch
):
    """Ours encodes each picture and reads each prompt once, the peers for every completion; nobody remembers."""
    arms = MAKERS[kind](bench, RAGGED, trl=True)
    models = {
        "ours": bench.policy.model,
        "repeated": bench.plain,
        "padding_free": bench.policy.model,
        "trl": trl_models[0],
    }
    prompt, completions = 16 + TEXT_TOKENS, RAGGED.lengths()
    assert max(completions) > min(completions) > 0
    padded = 6 * (prompt + max(completions))
    expected = {
        "ours": (2 * PATCHES, 2 * prompt + sum(completions)),
        "repeated": (6 * PATCHES, padded),
        "padding_free": (6 * PATCHES, 6 * prompt + sum(completions)),
        "trl": (6 * PATCHES, padded),
    }
    for name, arm in arms.items():
        with monkeypatch.context() as patched:
            patches, tokens = patches_seen(models[name], patched), tokens_seen(models[name], patched)
            slopes = []
            for _ in range(2):
                arm()
                slopes.append(models[name].lm_head.weight.grad.clone())
            assert patches == [expected[name][0]] * 2, name
            assert tokens == [expected[name][1]] * 2, name
            torch.testing.assert_close(slopes[0], slopes[1], msg=f"{name}: gradients must not add up")


def test_peers_use_our_head_at_completions_only(bench: Workbench, monkeypatch: pytest.MonkeyPatch):
    from metis_rise.bench import peers

    seen: list[int] = []
    whole = peers.token_logprobs
    monkeypatch.setattr(peers, "token_logprobs", lambda hidden, *rest: seen.append(len(hidden)) or whole(hidden, *rest))
    arms = update_arms(bench, RAGGED)
    arms["repeated"](), arms["padding_free"]()
    assert seen == [sum(RAGGED.lengths())] * 2


def test_peers_are_transformers_own_code(bench: Workbench):
    config = bench.plain.config
    for part in (config, config.text_config, config.vision_config):
        assert part._attn_implementation == "sdpa"
    assert bench.policy.model.config.text_config._attn_implementation != "sdpa"


def test_the_model_is_that_of_the_study():
    made = Workbench.study()
    parameters = sum(value.numel() for value in made.policy.model.parameters())
    assert parameters == sum(value.numel() for value in made.plain.parameters())
    assert 6.2e6 < parameters < 6.4e6
    text, vision = made.plain.config.text_config, made.plain.config.vision_config
    sizes = (text.hidden_size, text.num_hidden_layers, text.num_attention_heads, text.num_key_value_heads)
    assert (*sizes, text.intermediate_size, text.vocab_size) == (256, 6, 4, 2, 704, 4096)
    assert text.rope_parameters["mrope_section"] == [8, 12, 12]
    sizes = (vision.hidden_size, vision.depth, vision.num_heads, vision.intermediate_size, vision.window_size)
    assert (*sizes, vision.fullatt_block_indexes) == (96, 4, 3, 256, 112, [3])
    assert made.plain.config.tie_word_embeddings
    for name, value in made.plain.state_dict().items():
        assert torch.equal(value, made.policy.model.state_dict()[name]), name
    known = made.policy.tokenizer.get_vocab()
    assert made.plain.config.image_token_id == known["<|image_pad|>"]
    assert Sizes() == STUDY


def test_prompts_and_completions_are_those_of_the_docs(bench: Workbench):
    case = Case(64, 16, 4, 2)
    rows = bench.rows(case)
    assert [len(prompt) - 64 for prompt, _ in rows] == [60] * 8
    assert len({id(prompt) for prompt, _ in rows}) == len({prompt.key for prompt, _ in rows}) == 2
    ids = torch.cat([completion for _, completion in rows])
    special = set(bench.policy.tokenizer.all_special_ids) | set(bench.policy.tokenizer.get_added_vocab().values())
    assert not special & set(ids.tolist()) and ids.max() < 1024 and ids.max() > 900
    again = bench.rows(case)
    assert all(torch.equal(a[1], b[1]) for a, b in zip(rows, again, strict=True))


def test_ragged_lengths_lie_between_an_eighth_and_the_whole():
    lengths = Case(64, 64, 200, 1, ragged=True).lengths()
    assert min(lengths) >= 8 and max(lengths) <= 64
    assert min(lengths) < 12 and max(lengths) > 60 and 30 < sum(lengths) / 200 < 42
    assert lengths == Case(64, 64, 200, 1, ragged=True).lengths()
    assert Case(64, 64, 3, 2).lengths() == [64] * 6


def test_trl_is_asked_for_by_name(monkeypatch: pytest.MonkeyPatch):
    from metis_rise.bench import command
    from metis_rise.bench.options import Options
    from metis_rise.errors import InputError

    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"metis-rise\[bench\]"):
        command.run("update", Options(against="trl"), as_json=True)
