"""What is asked of servers before any work: are they there, and can they do it?"""

from __future__ import annotations

import asyncio
from typing import Any

from transformers import PreTrainedTokenizerBase

from metis_rise.engines.server.faults import RequestFailed
from metis_rise.engines.server.fleet import Fleet
from metis_rise.errors import InputError

MODELS = "/v1/models"
# Only servers in development mode tell this, and only those take weights.
INFO = "/server_info?config_format=json"
# Log-probabilities of the distribution that is sampled from, its temperature included.
LOGPROBS = "processed_logprobs"
# Split by a tokenizer with another vocabulary, or other merges, into other ids.
SAMPLE = "<think> Größe: 12,5 cm² ≥ \\frac{3}{4}; Fläche 三角形 17:45\n</think><answer>\\boxed{B}</answer>"


async def check_models(
    fleet: Fleet, tokenizer: PreTrainedTokenizerBase, longest: int, problem: str, max_tokens: int
) -> None:
    """Ask every server what it serves, and whether it can sleep if it is to (`ServerSettings.colocated`).

    Args:
        fleet: the servers; all must be there.
        tokenizer: whose ids will be sent.
        longest: tokens of the longest prompt.
        problem: id of the problem that has it.
        max_tokens: longest completion.

    Raises:
        InputError: a server is unreachable, takes no weights, has other log-probabilities than we need, cannot sleep,
            splits text into other tokens, or has no room for `longest` and `max_tokens` together; one line names it and
            the mend.
    """
    await asyncio.gather(*(_check(fleet, url, tokenizer, longest, problem, max_tokens) for url in fleet.live))


async def check_there(fleet: Fleet) -> None:
    """Ask every server whether it is there, whatever it serves; InputError for one that is not."""
    await asyncio.gather(*(_models(fleet, url) for url in fleet.live))


async def _models(fleet: Fleet, url: str) -> Any:
    try:
        return await fleet.ask(url, "GET", MODELS)
    except RequestFailed as fault:
        raise InputError(
            f"engine.urls: no vLLM server answers: {fault}; start one with `rise serve MODEL --port N`"
        ) from None


async def _check(
    fleet: Fleet, url: str, tokenizer: PreTrainedTokenizerBase, longest: int, problem: str, max_tokens: int
) -> None:
    name, room = _served(url, await _models(fleet, url))
    await _check_mode(fleet, url)
    split = await fleet.ask(url, "POST", "/tokenize", {"prompt": SAMPLE, "add_special_tokens": False})
    if split["tokens"] != tokenizer.encode(SAMPLE, add_special_tokens=False):
        raise InputError(
            f"engine.urls: {url} serves {name!r}, whose tokenizer is not that of the model of this recipe; "
            "start it with `rise serve` and the model of model.path"
        )
    need = longest + max_tokens
    if room < need:
        raise InputError(
            f"engine.urls: {url} serves {name!r} with room for {room} tokens; problem {problem!r} has a prompt of "
            f"{longest}, with completions of up to {max_tokens} it needs {need}; start it with "
            f"`rise serve MODEL --max-model-len {need}`, or lower sampling.max_tokens or model.max_pixels"
        )


async def _check_mode(fleet: Fleet, url: str) -> None:
    try:
        config = (await fleet.ask(url, "GET", INFO))["vllm_config"]["model_config"]
    except RequestFailed as fault:
        raise InputError(
            f"engine.urls: {url} takes no weights from us ({fault}); start it with `rise serve MODEL`, or with "
            "VLLM_SERVER_DEV_MODE=1 in its environment"
        ) from None
    if (mode := config["logprobs_mode"]) != LOGPROBS:
        raise InputError(
            f"engine.urls: {url} gives {mode}, which leave out the temperature; start it with `rise serve MODEL`, or "
            f"with --logprobs-mode {LOGPROBS}"
        )
    if fleet.settings.colocated and not config["enable_sleep_mode"]:
        raise InputError(
            f"engine.colocated: {url} was started without sleep mode and would keep its GPUs' memory while the model "
            "is trained; start it with `rise serve MODEL -- --enable-sleep-mode`"
        )


def _served(url: str, models: Any) -> tuple[str, int]:
    """Name and context length of the first model that a server lists."""
    try:
        first = models["data"][0]
        return str(first["id"]), int(first["max_model_len"])
    except (KeyError, IndexError, TypeError, ValueError):
        raise InputError(f"engine.urls: {url} does not say what it serves as vLLM does; is it a vLLM server?") from None
