"""The process's random generators: those of Python, NumPy and torch.

Our own draws are functions of a seed and of what they are for, and need none of them; a user's reward may use any.
"""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import torch


def begin(seed: int) -> None:
    """Sets all generators to a function of `seed`."""
    random.seed(seed)
    # NumPy takes 32 bits.
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)


def random_state(*, cuda: bool) -> dict[str, Any]:
    """Where all generators are, as plain JSON; those of the GPUs with `cuda`."""
    version, words, gauss = random.getstate()
    numbers = np.random.get_state(legacy=False)
    assert isinstance(numbers, dict)
    numbers["state"] = {"key": numbers["state"]["key"].tolist(), "pos": numbers["state"]["pos"]}
    states = torch.cuda.get_rng_state_all() if cuda else []
    return {
        "python": [version, list(words), gauss],
        "numpy": numbers,
        "cpu": _to_hex(torch.get_rng_state()),
        "cuda": [_to_hex(each) for each in states],
    }


def set_random_state(state: dict[str, Any]) -> None:
    """Goes on from `random_state`; checkpoints of older versions lack Python and NumPy, which stay as they are.

    GPUs keep their generators where there were others in number.
    """
    if "python" in state:
        version, words, gauss = state["python"]
        random.setstate((version, tuple(words), gauss))
    if "numpy" in state:
        key = np.array(state["numpy"]["state"]["key"], np.uint32)
        np.random.set_state(state["numpy"] | {"state": {"key": key, "pos": state["numpy"]["state"]["pos"]}})
    torch.set_rng_state(_from_hex(state["cpu"]))
    if state["cuda"] and len(state["cuda"]) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all([_from_hex(each) for each in state["cuda"]])


def _to_hex(state: torch.Tensor) -> str:
    return bytes(state.numpy()).hex()


def _from_hex(text: str) -> torch.Tensor:
    return torch.frombuffer(bytearray.fromhex(text), dtype=torch.uint8)
