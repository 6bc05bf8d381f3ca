"""vLLM's token-in/token-out endpoint: what is sent, and what a reply says."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from metis_rise.engines.base import Request
from metis_rise.engines.server.faults import BadReply
from metis_rise.engines.server.pictures import picture_parts
from metis_rise.errors import InputError
from metis_rise.policy.model import Policy
from metis_rise.policy.prompt import Prompt
from metis_rise.types import StopReason, Trajectory

GENERATE = "/inference/v1/generate"
# The strongest bias that OpenAI's protocol knows; vLLM adds it to the logit before anything else.
BAN = -100.0


def sent_ids(policy: Policy, prompt: Prompt) -> list[int]:
    """The prompt's ids as vLLM wants them: one placeholder per picture, which it expands itself."""
    image = policy.placeholder_ids[0]
    sent: list[int] = []
    for token, run in itertools.groupby(prompt.input_ids.tolist()):
        sent.extend([token] if token == image else run)
    return sent


def generate_body(policy: Policy, request: Request, prompt: Prompt, pictures: Sequence[bytes]) -> dict[str, Any]:
    """What to post to `GENERATE`: the prompt once, its `pictures` (PNG bytes) once, for all n completions."""
    params = request.params
    return {
        "token_ids": sent_ids(policy, prompt),
        "content_parts": picture_parts(policy, prompt, pictures),
        "return_token_ids": True,
        "sampling_params": {
            "n": request.n,
            "seed": request.seed,
            "temperature": params.temperature,
            "top_p": params.top_p,
            "top_k": params.top_k,
            "max_tokens": params.max_tokens,
            "stop": list(params.stop),
            "stop_token_ids": list(policy.eos_ids),
            # Stop strings are looked for in the text that `policy.decode` gives.
            "skip_special_tokens": False,
            "spaces_between_special_tokens": False,
            # The sampled token's own log-probability and no other's.
            "logprobs": 0,
            "logit_bias": {str(token): BAN for token in policy.banned_ids},
        },
    }


@dataclass(frozen=True, slots=True)
class Reply:
    """What a reply says: its completions, and the labels of the weights that sampled them.

    The trajectories carry no `weights_version` yet: what the labels mean is the engine's to know.
    """

    trajectories: tuple[Trajectory, ...]
    labels: tuple[str, ...]


def read_reply(policy: Policy, request: Request, prompt: Prompt, reply: Any) -> Reply:
    """Read a reply of `GENERATE`; completions keep the server's own tokens.

    Raises:
        BadReply: it is not whole, or a completion was aborted.
        InputError: the server read another prompt than ours.
    """
    try:
        theirs = list(reply["prompt_token_ids"])
        choices = sorted(reply["choices"], key=lambda choice: int(choice["index"]))
        if [choice["index"] for choice in choices] != list(range(request.n)):
            raise BadReply(f"{len(choices)} completions instead of {request.n}")
        trajectories = tuple(_trajectory(policy, request, choice) for choice in choices)
        labels = tuple({str(span["version"]): None for choice in choices for span in choice["weight_versions"]})
    except (KeyError, TypeError, ValueError, AttributeError) as fault:
        raise BadReply(f"JSON of another form than {GENERATE} has ({type(fault).__name__}: {fault})") from fault
    _compare_prompts(policy, prompt, theirs)
    return Reply(trajectories, labels)


def _trajectory(policy: Policy, request: Request, choice: Any) -> Trajectory:
    tokens = tuple(int(token) for token in choice["token_ids"])
    logprobs = tuple(float(step["logprob"]) for step in choice["logprobs"]["content"])
    stop = _stop_reason(policy, choice, tokens)
    if not tokens or len(tokens) != len(logprobs):
        raise BadReply(f"{len(logprobs)} log-probabilities for {len(tokens)} tokens")
    if not all(map(math.isfinite, logprobs)):
        raise BadReply("a log-probability is not a finite number")
    text = policy.decode(tokens)
    if stop is StopReason.STOP:
        text = text[: min((at for string in request.params.stop if (at := text.find(string)) >= 0), default=len(text))]
    return Trajectory(request.problem.id, int(choice["index"]), text, tokens, logprobs, stop)


def _stop_reason(policy: Policy, choice: Any, tokens: Sequence[int]) -> StopReason:
    """Raises BadReply for a completion that the server gave up, or ended for a reason that is not ours."""
    finish, string = choice["finish_reason"], choice.get("stop_reason")
    if finish == "length":
        return StopReason.LENGTH
    if finish == "stop" and isinstance(string, str):
        return StopReason.STOP
    if finish == "stop" and tokens and tokens[-1] in policy.eos_ids:
        return StopReason.EOS
    raise BadReply(f"a completion ended by {finish!r} ({string!r}) after {len(tokens)} tokens")


def _compare_prompts(policy: Policy, prompt: Prompt, theirs: Any) -> None:
    ours = prompt.input_ids.tolist()
    if theirs == ours:
        return
    where = f"problem {prompt.problem!r}: the server read"
    if len(theirs) == len(ours):
        raise InputError(f"{where} other tokens than we sent, though as many ({len(ours)}); it serves another model")
    size = policy.processor.image_processor.size
    low, high = size["shortest_edge"], size["longest_edge"]
    raise InputError(
        f"{where} a prompt of {len(theirs)} tokens, ours has {len(ours)}; pictures are resized otherwise there: start "
        f'it with --mm-processor-kwargs \'{{"min_pixels": {low}, "max_pixels": {high}}}\', or serve a folder that '
        "`rise` wrote"
    )
