"""What `rise eval MODEL` is told on the command line."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from metis_rise.benchmarks.base import Protocol, Style
from metis_rise.engines.base import SamplingParams
from metis_rise.errors import InputError
from metis_rise.evaluation.asking import AUTO, Asking
from metis_rise.recipe import JudgeConfig

MAX_TOKENS = 2048
"""Longest answer of a model that no run says it of, in tokens."""


@dataclass(frozen=True, slots=True)
class Options:
    """How a model is evaluated; None leaves it to the run that the model is of, else to the model or the defaults here.

    system: as in a recipe's prompt.system, None for none.
    servers: addresses of chat APIs, joined by commas; None answers in this process.
    key_env: variable that holds the servers' key. concurrency: calls in flight per server.
    batch_tokens: token budget of the native engine (`NativeEngine`).
    limit: so many whole groups of each benchmark.
    judge: the model of protocol `judge`.
    """

    style: Style = Style.RISE
    system: str | None = AUTO
    max_tokens: int | None = None
    temperature: float = 0.0
    top_p: float = 1.0
    top_k: int = 0
    samples: int = 1
    seed: int | None = None
    min_pixels: int | None = None
    max_pixels: int | None = None
    dtype: str | None = None
    servers: str | None = None
    key_env: str = ""
    concurrency: int = 32
    batch_tokens: int = 32768
    limit: int | None = None
    protocol: Protocol = Protocol.RULE
    judge: JudgeConfig | None = None
    out: Path | None = None

    def __post_init__(self) -> None:
        """InputError for options that exclude each other."""
        if self.samples > 1 and self.temperature == 0:
            raise InputError(
                f"--samples {self.samples}: at temperature 0 all answers are the same; add --temperature 1 or so"
            )
        if self.min_pixels and self.max_pixels and self.min_pixels > self.max_pixels:
            raise InputError(f"--min-pixels {self.min_pixels}: is above --max-pixels {self.max_pixels}")
        if self.servers is not None and self.dtype is not None:
            raise InputError(f"--dtype {self.dtype}: the number format is the server's own with --server; leave it out")

    def asking(self, system: str | None) -> Asking:
        """How a model is asked with this text as system prompt."""
        limit = MAX_TOKENS if self.max_tokens is None else self.max_tokens
        params = SamplingParams(self.temperature, self.top_p, self.top_k, limit)
        return Asking(self.style, system, params, self.samples, self.seed or 0, self.min_pixels, self.max_pixels)
