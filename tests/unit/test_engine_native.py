from __future__ import annotations

from pathlib import Path

import pytest
import tiny
import torch
from sampling_cases import forwarded, greedy_reference, make_policy, make_prompts, problem, sample

from metis_rise.engines.base import Request, SamplingParams
from metis_rise.engines.choice import Chooser, uniforms
from metis_rise.policy.forward import completion_logprobs
from metis_rise.policy.model import Policy
from metis_rise.policy.prompt import Prompt
from metis_rise.recipe.model import LoraConfig
from metis_rise.types import StopReason

GREEDY = SamplingParams(temperature=0, max_tokens=40)


@pytest.fixture(scope="module", params=["qwen2_5_vl", "qwen3_vl"])
def policy(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Policy:
    return make_policy(tmp_path_factory.mktemp("model"), request.param)


@pytest.fixture(scope="module")
def prompts(policy: Policy) -> dict[str, Prompt]:
    return make_prompts(policy)


def test_greedy_is_token_identical_to_generate(policy: Policy, prompts: dict[str, Prompt]) -> None:
    groups = sample(policy, prompts, [Request(problem(name), 1, GREEDY) for name in prompts])
    for name, prompt in prompts.items():
        assert list(groups[name].trajectories[0].tokens) == greedy_reference(policy, prompt, GREEDY.max_tokens), name


@pytest.mark.parametrize(
    "params",
    [
        # More tokens than room is made for at first.
        SamplingParams(max_tokens=100),
        SamplingParams(temperature=0.7, top_p=0.8, max_tokens=40),
        SamplingParams(temperature=1.3, top_k=20, max_tokens=40),
        GREEDY,
    ],
)
def test_log_probs_equal_the_trainers(policy: Policy, prompts: dict[str, Prompt], params: SamplingParams) -> None:
    n = 1 if params is GREEDY else 6
    groups = sample(policy, prompts, [Request(problem(name), n, params, seed=3) for name in prompts])
    pairs = [(name, t) for name, group in groups.items() for t in group.trajectories]
    rows = [(prompts[name], torch.tensor(t.tokens)) for name, t in pairs]
    with torch.no_grad():
        scored = completion_logprobs(policy, rows, params.temperature or 1.0)
    got = torch.tensor([value for _, t in pairs for value in t.logprobs])
    torch.testing.assert_close(got, scored.values, atol=1e-4, rtol=0)
    if params is not GREEDY:
        assert len(set(scored.lengths)) > 3, "rows must end at different times for this test to mean anything"


def test_seeds_fix_samples_whatever_is_sampled_beside_them(policy: Policy, prompts: dict[str, Prompt]) -> None:
    params = SamplingParams(max_tokens=20)
    requests = [Request(problem(name), 5, params, seed=11 + i) for i, name in enumerate(prompts)]
    together = sample(policy, prompts, requests)
    again = sample(policy, prompts, requests)
    small = sample(policy, prompts, requests, budget=1)
    for request in requests:
        name = request.problem.id
        alone = sample(policy, prompts, [Request(request.problem, 2, params, seed=request.seed)])[name]
        texts = [t.tokens for t in together[name].trajectories]
        assert [t.tokens for t in again[name].trajectories] == texts
        assert [t.tokens for t in small[name].trajectories] == texts
        assert [t.tokens for t in alone.trajectories] == texts[:2]
        assert len(set(texts)) == 5, "samples of one request differ"
    other = sample(policy, prompts, [Request(problem("p0"), 5, params, seed=12345)])["p0"]
    assert [t.tokens for t in other.trajectories] != [t.tokens for t in together["p0"].trajectories]


def test_a_longer_limit_keeps_the_beginning(policy: Policy, prompts: dict[str, Prompt]) -> None:
    # 100 tokens need more room than is made at first.
    short, long = (
        sample(policy, prompts, [Request(problem("p0"), 4, SamplingParams(max_tokens=n), seed=1)])["p0"]
        for n in (10, 100)
    )
    for cut, full in zip(short.trajectories, long.trajectories, strict=True):
        assert full.tokens[: len(cut.tokens)] == cut.tokens
    assert max(len(t.tokens) for t in long.trajectories) > 64


def test_stop_reason_text_and_version(policy: Policy, prompts: dict[str, Prompt]) -> None:
    params = SamplingParams(max_tokens=40)
    groups = sample(policy, prompts, [Request(problem(name), 8, params, seed=2) for name in prompts])
    rows = [(name, number, t) for name, group in groups.items() for number, t in enumerate(group.trajectories)]
    assert {t.stop for *_, t in rows} == {StopReason.EOS, StopReason.LENGTH}
    for name, number, t in rows:
        ended = t.tokens[-1] in policy.eos_ids
        assert t.stop == (StopReason.EOS if ended else StopReason.LENGTH)
        assert ended or len(t.tokens) == 40
        assert not set(t.tokens[:-1]) & set(policy.eos_ids), "nothing comes after the end token"
        assert len(t.tokens) == len(t.logprobs)
        assert t.text == policy.tokenizer.decode(t.tokens[:-1] if ended else t.tokens)
        assert (t.problem_id, t.sample, t.weights_version) == (name, number, policy.version)


def test_banned_ids_are_never_taken(
    policy: Policy, prompts: dict[str, Prompt], monkeypatch: pytest.MonkeyPatch
) -> None:
    # With all but two banned, the likeliest token is a banned one at nearly every step.
    allowed = {20, 21}
    banned = tuple(i for i in range(policy.model.lm_head.out_features) if i not in allowed)
    monkeypatch.setattr(policy, "banned_ids", banned)
    for params, n in ((GREEDY, 1), (SamplingParams(max_tokens=40), 8), (SamplingParams(top_p=0.5, max_tokens=40), 8)):
        groups = sample(policy, prompts, [Request(problem(name), n, params, seed=4) for name in prompts])
        assert {token for g in groups.values() for t in g.trajectories for token in t.tokens} <= allowed


def test_a_picture_and_a_prompt_go_through_the_model_once(policy: Policy) -> None:
    prompt = policy.encode(tiny.message("How many?", 1), [tiny.picture(55)])
    patches: list[int] = []
    hook = policy.core.visual.register_forward_pre_hook(lambda module, args: patches.append(len(args[0])))
    with forwarded(policy) as tokens:
        sample(policy, {"p": prompt}, [Request(problem("p"), 8, SamplingParams(max_tokens=5), seed=1)])
    hook.remove()
    assert prompt.pixel_values is not None
    assert patches == [len(prompt.pixel_values)]
    assert tokens[0] == len(prompt) and max(tokens[1:]) <= 8


def test_finished_rows_are_dropped(policy: Policy, prompts: dict[str, Prompt]) -> None:
    params = SamplingParams(max_tokens=60)
    with forwarded(policy) as computed:
        groups = sample(policy, prompts, [Request(problem(name), 16, params, seed=8) for name in prompts])
    needed = sum(len(t.tokens) - 1 for g in groups.values() for t in g.trajectories)
    assert needed <= sum(computed[1:]) <= 1.25 * needed + 64


def test_sampling_leaves_no_graph_and_the_mode_as_it_was(policy: Policy, prompts: dict[str, Prompt]) -> None:
    policy.model.train()
    sample(policy, prompts, [Request(problem("p0"), 1, GREEDY)])
    assert policy.model.training and torch.is_grad_enabled()
    policy.model.eval()
    # Features that were cached while sampling must be usable in training.
    completion_logprobs(policy, [(prompts["p0"], torch.tensor([20]))]).values.sum().backward()
    policy.model.zero_grad()


def test_adapters_are_sampled_from(tmp_path: Path) -> None:
    pytest.importorskip("peft")
    policy = Policy.load(tiny.write_folder(tmp_path), lora=LoraConfig(rank=4))
    random = torch.Generator().manual_seed(0)
    for _, value in policy.named_trainable():
        value.data.normal_(0, 0.3, generator=random)
    prompts = make_prompts(policy)
    (group,) = sample(policy, prompts, [Request(problem("p0"), 3, SamplingParams(max_tokens=12), seed=3)]).values()
    rows = [(prompts["p0"], torch.tensor(t.tokens)) for t in group.trajectories]
    with torch.no_grad():
        scored = completion_logprobs(policy, rows).values
        with policy.without_adapters():
            other = completion_logprobs(policy, rows).values
    got = torch.tensor([value for t in group.trajectories for value in t.logprobs])
    torch.testing.assert_close(got, scored, atol=1e-4, rtol=0)
    assert (got - other).abs().max() > 0.1


def test_draws_follow_the_distribution() -> None:
    logits = torch.tensor([2.0, 1.0, 0.0, -1.0, 5.0]).expand(20000, 5)
    draws = torch.cat([uniforms(seed, 0, 100) for seed in range(200)])
    temperature = 1.5
    tokens, logp = Chooser(SamplingParams(temperature=temperature), [4], torch.device("cpu"))(logits, draws)
    share = tokens.bincount(minlength=5) / len(tokens)
    expected = (logits[0, :4] / temperature).softmax(-1)
    torch.testing.assert_close(share[:4], expected, atol=0.012, rtol=0)
    assert share[4] == 0
    torch.testing.assert_close(logp, (logits / temperature).log_softmax(-1).gather(1, tokens[:, None])[:, 0])


@pytest.mark.parametrize(
    ("params", "kept"),
    [
        (SamplingParams(top_k=2), {0, 1}),
        (SamplingParams(top_p=0.6), {0}),
        (SamplingParams(top_p=0.65), {0, 1}),
        (SamplingParams(top_p=1e-9), {0}),
        (SamplingParams(top_k=3, top_p=0.999), {0, 1, 2}),
        (SamplingParams(top_k=99), {0, 1, 2, 3}),
    ],
)
def test_truncation(params: SamplingParams, kept: set[int]) -> None:
    # Probabilities of about 0.644, 0.237, 0.087, 0.032; the fifth token is banned.
    logits = torch.tensor([2.0, 1.0, 0.0, -1.0, 9.0]).expand(1001, 5)
    tokens, _ = Chooser(params, [4], torch.device("cpu"))(logits, torch.linspace(0, 1, 1001, dtype=torch.float64))
    assert set(tokens.tolist()) == kept


def test_extreme_draws_do_not_take_a_banned_token() -> None:
    logits = torch.zeros(2, 4)
    draws = torch.tensor([0.0, 1.0], dtype=torch.float64)
    tokens, _ = Chooser(SamplingParams(), [0, 3], torch.device("cpu"))(logits, draws)
    assert tokens.tolist() == [1, 2]


def test_a_banned_token_may_have_all_the_probability() -> None:
    logits = torch.tensor([[1.0, 0.0, 900.0], [0.0, 1.0, 900.0]])
    draws = torch.tensor([0.5, 0.5], dtype=torch.float64)
    for params in (SamplingParams(), SamplingParams(temperature=0), SamplingParams(top_p=0.9), SamplingParams(top_k=1)):
        tokens, logp = Chooser(params, [2], torch.device("cpu"))(logits, draws)
        assert tokens.tolist() == [0, 1]
        assert logp.tolist() == [-899.0, -899.0]


@pytest.mark.parametrize("vocabulary", [5, 128, 129, 1000])
def test_draws_invert_the_running_sum(vocabulary: int) -> None:
    logits = torch.randn(1, vocabulary, generator=torch.Generator().manual_seed(0)).expand(999, vocabulary) * 3
    banned = [0, vocabulary // 2, vocabulary - 1]
    draws = torch.linspace(0, 1, 1001, dtype=torch.float64)[1:-1]
    tokens, _ = Chooser(SamplingParams(), banned, torch.device("cpu"))(logits, draws)
    allowed = logits[0].double().index_fill(0, torch.tensor(banned), -torch.inf)
    running = allowed.softmax(-1).cumsum(-1)
    assert tokens.tolist() == torch.searchsorted(running, draws).tolist()


def test_uniforms_depend_on_seed_and_sample_only() -> None:
    assert torch.equal(uniforms(7, 1, 5), uniforms(7, 1, 50)[:5])
    assert not torch.equal(uniforms(7, 1, 5), uniforms(7, 2, 5))
    assert not torch.equal(uniforms(7, 1, 5), uniforms(8, 1, 5))
    assert uniforms(-1, 0, 3).min() >= 0


def test_requests_that_make_no_sense() -> None:
    with pytest.raises(ValueError, match="greedy"):
        Request(problem("p"), 2, GREEDY)
    with pytest.raises(ValueError, match="0 completions"):
        Request(problem("p"), 0, SamplingParams())
    for wrong in ({"temperature": -1.0}, {"top_p": 0.0}, {"top_k": -1}, {"max_tokens": 0}):
        with pytest.raises(ValueError, match="out of range"):
            SamplingParams(**wrong)  # type: ignore[arg-type]
