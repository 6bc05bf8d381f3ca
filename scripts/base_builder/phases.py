"""Phases of a builder: each leaves the model's weights in a file, and is skipped where that file is there."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from safetensors.torch import load_file, save_file
from torch import nn


def phase(model: nn.Module, file: Path, work: Callable[[], object]) -> None:
    """Runs `work`, which trains `model`, and writes the weights to `file`; or reads them from there."""
    if file.exists():
        print(f"{file.stem}: found {file}, loading it")
        model.load_state_dict(load_file(file))
        return
    start = time.time()
    print(f"{file.stem}: {work()}")
    unfinished = file.with_suffix(".writing")
    save_file(model.state_dict(), unfinished)
    unfinished.rename(file)
    print(f"{file.stem}: {time.time() - start:.0f} s")
