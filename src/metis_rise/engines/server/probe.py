"""Whether servers compute what the policy computes: one prompt's log-probabilities, from both.

A push can go wrong without any error: skipped, half done, or done to all weights but some that the server keeps
another copy of (vLLM's CPU backend does that to an output head tied to the embeddings). What a server says about a
fixed completion shows it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import torch
from torch import Tensor

from metis_rise.engines.base import WeightsDiffer
from metis_rise.engines.server.faults import RequestFailed
from metis_rise.engines.server.fleet import Fleet
from metis_rise.engines.server.pictures import picture_parts
from metis_rise.engines.server.pusher import ProbeRow
from metis_rise.engines.server.wire import GENERATE, sent_ids
from metis_rise.policy.forward import row_logprobs
from metis_rise.policy.model import Policy

T = TypeVar("T")

TEXT = "<think>\nThe answer is 2.\n</think>\n<answer>2</answer>"
RANDOM_TOKENS = 16
# Largest difference of a token in float32, where 1e-5 is usual; mean difference in 16 bit, where single tokens that
# are unlikely differ by tenths from rounding alone. So in 16 bit a push of a small step that was skipped goes
# unnoticed at first, and shows when some have been.
TOLERANCE_FLOAT32 = 1e-3
TOLERANCE_16_BIT = 0.1


def probe_completion(policy: Policy) -> Tensor:
    """Token ids [C] int64, the same in every call: a plain answer, then tokens that no model expects.

    What is learnt moves the likely tokens; the random ones read rows of the output head and of the embeddings that a
    plain answer does not.
    """
    words = policy.tokenizer.encode(TEXT, add_special_tokens=False)
    barred = torch.tensor([*policy.banned_ids, *policy.eos_ids])
    every = torch.arange(policy.model.config.text_config.vocab_size)
    allowed = every[~torch.isin(every, barred)]
    drawn = torch.randint(len(allowed), (RANDOM_TOKENS,), generator=torch.Generator().manual_seed(0))
    return torch.cat([torch.tensor(words), allowed[drawn]])


async def compare(fleet: Fleet, policy: Policy, probe: ProbeRow) -> float:
    """The largest difference of log-probabilities over the probe's tokens and all live servers.

    Raises:
        WeightsDiffer: a server's are not the policy's, within what the policy's precision allows.
    """
    completion = probe_completion(policy)
    length = len(probe.prompt) + len(completion)
    (ours,) = row_logprobs(policy, [(probe.prompt, completion)], 1.0, length)
    ours = ours.cpu()
    # The one that may be read from the cache comes first: the other one fills the cache anew.
    cached = await fleet.post_each(GENERATE, _last_token_body(policy, probe, completion))
    scored = await fleet.post_each(GENERATE, _every_token_body(policy, probe, completion))
    apart = [0.0]
    for url, reply in scored.items():
        theirs = _read(url, reply, _every_token, completion, length)
        apart.append(_check(url, policy, completion, ours, theirs))
    if policy.computes_in == torch.float32:
        # In 16 bit a single token's difference says nothing.
        for url, reply in cached.items():
            last = _read(url, reply, _last_token, int(completion[-1]))
            _check(url, policy, completion[-1:], ours[-1:], last)
    return max(apart)


def _check(url: str, policy: Policy, tokens: Tensor, ours: Tensor, theirs: Tensor) -> float:
    """The largest difference of `ours` and `theirs` [C]; WeightsDiffer where it is more than rounding makes."""
    apart = (ours - theirs).abs()
    exact = policy.computes_in == torch.float32
    measured, allowed = (apart.max(), TOLERANCE_FLOAT32) if exact else (apart.mean(), TOLERANCE_16_BIT)
    # A difference that is not a number is above every bound too.
    if not measured <= allowed:
        at = int(apart.nan_to_num(torch.inf).argmax())
        mean = "" if exact else f" in the mean of {len(tokens)} tokens"
        raise WeightsDiffer(
            f"{url} does not have weights version {policy.version}: the log-probability of the probe's token "
            f"{int(tokens[at])} is {float(theirs[at]):.6g} there and {float(ours[at]):.6g} here, at most {allowed:g} "
            f"apart{mean} is allowed; it serves another model or dtype, or does not take up the weights that are pushed"
        )
    return float(apart.max())


def _every_token_body(policy: Policy, probe: ProbeRow, completion: Tensor) -> dict[str, Any]:
    """Asks for the log-probability of every token of the completion, computed anew (vLLM reads no cache for these)."""
    return _body(policy, probe, completion, {"prompt_logprobs": 0})


def _last_token_body(policy: Policy, probe: ProbeRow, completion: Tensor) -> dict[str, Any]:
    """Asks for the log-probability of the last token, as a sampler comes to it: with the cache."""
    # A reply's list begins with the sampled token and is as long as what was asked for: one is asked for in vain.
    asked = [int(completion[-1]), policy.eos_ids[0]]
    return _body(policy, probe, completion[:-1], {"logprobs": len(asked), "logprob_token_ids": asked})


def _body(policy: Policy, probe: ProbeRow, completion: Tensor, asked: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "token_ids": sent_ids(policy, probe.prompt) + completion.tolist(),
        "content_parts": picture_parts(policy, probe.prompt, probe.pictures),
        "sampling_params": {"temperature": 0.0, "max_tokens": 1, **asked},
    }


def _read(url: str, reply: Any, reader: Callable[..., T], *arguments: Any) -> T:
    """What `reader` finds in a reply; RequestFailed for one of another form."""
    try:
        return reader(reply, *arguments)
    except (KeyError, IndexError, TypeError, ValueError, StopIteration) as fault:
        raise RequestFailed(f"{url}{GENERATE}: JSON without the log-probabilities that were asked for") from fault


def _every_token(reply: Any, completion: Tensor, length: int) -> Tensor:
    steps = reply["prompt_logprobs"]
    if len(steps) != length:
        raise WeightsDiffer(
            f"the probe has {length} tokens here and {len(steps)} on a server, which serves another model or resizes "
            "pictures to other bounds"
        )
    pairs = zip(steps[-len(completion) :], completion.tolist(), strict=True)
    return torch.tensor([step[str(token)]["logprob"] for step, token in pairs])


def _last_token(reply: Any, token: int) -> Tensor:
    (step,) = reply["choices"][0]["logprobs"]["content"]
    return torch.tensor([next(each["logprob"] for each in step["top_logprobs"] if each["token_id"] == token)])
