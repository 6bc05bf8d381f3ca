"""What `rise bench` can be asked for, and what it refuses."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from metis_rise.bench.cases import Case, Kind, rollout_cases, sft_cases, step_cases, update_cases
from metis_rise.errors import InputError

_OF_ARMS = {"--threads", "--memory", "--no-memory"}
ALLOWED = {
    "rollout": {"--against vllm", "--vllm-python", *_OF_ARMS},
    "update": {"--all", "--ragged", "--against trl", *_OF_ARMS},
    "sft": {"--ragged", "--against trl", *_OF_ARMS},
    "step": _OF_ARMS,
    "data": {"--memory", "--no-memory"},
    "verify": set[str](),
}


@dataclass(frozen=True, slots=True)
class Options:
    """The options of the command as they were given; None for one that was not.

    everything: all cases of the update.
    ragged: completions of different lengths.
    against: one more peer, or for the rollout another one.
    vllm_python: the Python of vLLM's environment.
    threads: that torch computes with.
    memory: measure the peak of memory; by default for update and sft.
    """

    everything: bool = False
    ragged: bool = False
    against: Literal["trl", "vllm"] | None = None
    vllm_python: Path | None = None
    threads: int = 1
    memory: bool | None = None

    def measures_memory(self, kind: Kind | Literal["data"]) -> bool:
        """Whether the peak of memory is measured too; InputError for that of another environment's process."""
        if self.memory and self.against == "vllm":
            raise InputError("--memory measures this package's own process, not vLLM's; leave it out")
        return kind in ("update", "sft", "data") if self.memory is None else self.memory


def choose_cases(kind: Kind, options: Options) -> list[Case]:
    """The cases that `options` ask for; InputError for an option that `kind` does not have."""
    check_options(kind, options)
    if kind == "rollout":
        return rollout_cases()
    if kind == "step":
        return step_cases()
    if kind == "update":
        return update_cases(everything=options.everything, ragged=options.ragged)
    return sft_cases(ragged=options.ragged)


def check_options(kind: Kind | Literal["data", "verify"], options: Options) -> None:
    """InputError for an option that `kind` does not have."""
    given = {
        "--all": options.everything,
        "--ragged": options.ragged,
        f"--against {options.against}": options.against is not None,
        "--vllm-python": options.vllm_python is not None,
        "--threads": options.threads != 1,
        "--memory": options.memory is True,
        "--no-memory": options.memory is False,
    }
    for name in given:
        if given[name] and name not in ALLOWED[kind]:
            others = " and ".join(other for other, names in ALLOWED.items() if name in names)
            raise InputError(f"{name} is an option of rise bench {others}, not of {kind}; leave it out")
    if options.vllm_python is not None and options.against is None:
        raise InputError("--vllm-python says where the vLLM of --against vllm is; add that, or leave it out")
