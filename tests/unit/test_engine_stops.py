"""Stop strings, against a reference that decodes everything after every token."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sampling_cases import make_policy, make_prompts, problem, sample

from metis_rise.engines.base import Request, SamplingParams
from metis_rise.engines.stops import StopStrings
from metis_rise.policy.model import Policy
from metis_rise.types import StopReason


@pytest.fixture(scope="module")
def policy(tmp_path_factory: pytest.TempPathFactory) -> Policy:
    return make_policy(tmp_path_factory.mktemp("model"), "qwen2_5_vl")


def naive(policy: Policy, tokens: Sequence[int], strings: Sequence[str]) -> tuple[int, str] | None:
    """After how many tokens one of the strings is there, and the text before the first; None if none ever is."""
    for count in range(1, len(tokens) + 1):
        text = policy.decode(tokens[:count])
        if found := [text.index(string) for string in strings if string in text]:
            return count, text[: min(found)]
    return None


def found(policy: Policy, tokens: Sequence[int], strings: Sequence[str]) -> tuple[int, str] | None:
    stops = StopStrings(strings, policy.decode)
    for count in range(1, len(tokens) + 1):
        if stops.completed(tokens[:count]):
            return count, stops.cut(policy.decode(tokens[:count]))
    return None


# Words of one token, of several, characters of two to four bytes, and two that are one glyph.
PIECES = st.sampled_from(["dots", " red", "</think>", "\n", "é", "点", "🙂", "a", "e\u0301", "{", "answer"])


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_equal_to_decoding_everything(policy: Policy, data: st.DataObject) -> None:
    text = "".join(data.draw(st.lists(PIECES, min_size=1, max_size=8)))
    tokens = policy.tokenizer.encode(text, add_special_tokens=False)
    # Bytes of the start of a character whose end never comes.
    stray = policy.tokenizer.encode("🙂点é", add_special_tokens=False)[: data.draw(st.integers(0, 5))]
    at = data.draw(st.integers(0, len(tokens)))
    tokens = [*tokens[:at], *stray, *tokens[at:]]
    cut = st.tuples(st.integers(0, len(text) - 1), st.integers(1, 6)).map(lambda c: text[c[0] : c[0] + c[1]])
    strings = data.draw(st.lists(st.one_of(cut, PIECES), min_size=1, max_size=3))
    assert found(policy, tokens, strings) == naive(policy, tokens, strings)


def test_a_character_split_over_tokens_completes_with_its_last_byte(policy: Policy) -> None:
    tokens = policy.tokenizer.encode("a🙂b", add_special_tokens=False)
    assert len(tokens) == 6, "the character is four tokens for this to mean anything"
    assert found(policy, tokens, ["🙂"]) == (5, "a")


def test_only_a_tail_is_decoded() -> None:
    seen: list[int] = []

    def decode(tokens: Sequence[int]) -> str:
        seen.append(len(tokens))
        return "x" * len(tokens)

    stops = StopStrings(["ab", "🙂"], decode)
    assert not any(stops.completed(range(count)) for count in range(1, 500))
    assert max(seen) == 4


def test_a_string_of_replacement_characters_is_refused(policy: Policy) -> None:
    with pytest.raises(ValueError, match=r"U\+FFFD"):
        StopStrings(["\N{REPLACEMENT CHARACTER}"], policy.decode)


def test_sampling_stops_where_the_reference_does(policy: Policy) -> None:
    prompts = make_prompts(policy)
    free = [Request(problem(name), 6, SamplingParams(max_tokens=40), seed=5) for name in prompts]
    whole = sample(policy, prompts, free)
    strings = ("e", "d", "\\")
    stopped = sample(
        policy,
        prompts,
        [Request(r.problem, r.n, SamplingParams(max_tokens=40, stop=strings), r.seed) for r in free],
    )
    reasons = set()
    for name, group in stopped.items():
        for trajectory, other in zip(group.trajectories, whole[name].trajectories, strict=True):
            reasons.add(trajectory.stop)
            expected = naive(policy, other.tokens, strings)
            if expected is None:
                assert (trajectory.tokens, trajectory.text, trajectory.stop) == (other.tokens, other.text, other.stop)
                continue
            count, text = expected
            assert trajectory.stop is StopReason.STOP
            assert (trajectory.tokens, trajectory.text) == (other.tokens[:count], text)
            assert trajectory.logprobs == pytest.approx(other.logprobs[:count], abs=1e-4)
    assert StopReason.STOP in reasons and len(reasons) > 1


def test_nothing_is_decoded_on_the_way_without_stop_strings(policy: Policy, monkeypatch: pytest.MonkeyPatch) -> None:
    decoded: list[int] = []
    decode = policy.decode
    monkeypatch.setattr(policy, "decode", lambda tokens: (decoded.append(len(tokens)), decode(tokens))[1])
    sample(policy, make_prompts(policy), [Request(problem("p0"), 4, SamplingParams(max_tokens=20), seed=5)])
    assert len(decoded) == 4, "each completion once, at its end"


def test_the_end_token_goes_before_a_stop_string(policy: Policy) -> None:
    end = policy.tokenizer.decode([policy.eos_ids[0]])
    params = SamplingParams(max_tokens=40, stop=(end,))
    groups = sample(policy, make_prompts(policy), [Request(problem("p0"), 8, params, seed=2)])
    assert {t.stop for t in groups["p0"].trajectories} <= {StopReason.EOS, StopReason.LENGTH}
