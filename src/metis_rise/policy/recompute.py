"""Gradient checkpointing: layers keep their input only and run again in the backward pass."""

from __future__ import annotations

from typing import Any

from transformers.utils import logging


def recompute_layers(part: Any) -> None:
    """Let the layers of a language model or vision tower recompute their activations in training mode."""
    # The name since transformers 5.23; the earlier one goes with version 6.
    enable = getattr(part, "activation_checkpointing_enable", None) or part.gradient_checkpointing_enable
    talk: Any = logging
    level = talk.get_verbosity()
    # Of a tower it says that gradients cannot flow back to its inputs; these are pixels.
    talk.set_verbosity_error()
    try:
        # Nothing here draws random numbers, so their state need not be restored for the second run.
        enable({"use_reentrant": False, "preserve_rng_state": False})
    finally:
        talk.set_verbosity(level)
