"""The words of the method as small frozen records, shared by every room.

Problem -> (engine) -> Trajectory -> (verifier) -> Verdict; the trajectories of one problem are a Group.
Nothing here imports torch, so that readers, verifiers and reports stay light.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from enum import StrEnum
from typing import Any


class AnswerType(StrEnum):
    """How a gold answer is compared; finer names used by data sets map onto these three."""

    CHOICE = "choice"
    NUMBER = "number"
    TEXT = "text"


class StopReason(StrEnum):
    """Why a completion ended: an end token, the limit of tokens, a stop string, or a sampler that gave it up."""

    EOS = "eos"
    LENGTH = "length"
    STOP = "stop"
    ABORT = "abort"


class Reason(StrEnum):
    """Why an answer was judged right or wrong."""

    RIGHT = "right"
    DIFFERENT = "different"
    NO_ANSWER = "no answer"
    SEVERAL = "several answers"
    ECHO = "echo of the question"
    TOO_LONG = "too long"


class Bucket(StrEnum):
    """Where a problem stands by its solve rate c (paper, stage 2)."""

    MASTERED = "mastered"
    INCONSISTENT = "inconsistent"
    ABSENT = "absent"


@dataclass(frozen=True, slots=True)
class Problem:
    """What is asked: pictures, a question and a gold answer.

    `images` are SHA-256 keys into an image store. `answer` is the option letter for choices. `family` and
    `level` group problems in reports (a data set's name and 0 where it has no finer groups). `meta` is plain
    JSON; the procedural world keeps the latent state of its picture there, for the expert and the chain checker.
    """

    id: str
    question: str
    answer: str
    answer_type: AnswerType
    images: tuple[str, ...] = ()
    choices: tuple[str, ...] | None = None
    solution: str | None = None
    source: str = ""
    family: str = ""
    level: int = 0
    meta: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """A dict of plain JSON values; `from_json` reads it back."""
        # asdict copies all of meta, value by value.
        return {each.name: getattr(self, each.name) for each in fields(self)} | {
            "images": list(self.images),
            "choices": None if self.choices is None else list(self.choices),
            "meta": dict(self.meta),
        }

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> Problem:
        """The problem that `to_json` wrote. Raises KeyError, TypeError or ValueError for anything else."""
        _check_types(row, _PROBLEM_TYPES)
        choices = row["choices"]
        return cls(
            **{
                **row,
                "answer_type": AnswerType(row["answer_type"]),
                "images": tuple(row["images"]),
                "choices": None if choices is None else tuple(choices),
            }
        )


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the verifier says of one completion.

    `correct`: the extracted answer equals the gold answer. `well_formed`: the completion has the RISE format.
    `rule`: how the answer was extracted. `chain`: whether the reasoning holds, None where nothing can check it.
    `reason`: for people, what decided. For programs: `code`, a `Reason`; `fault`, what is against the format, "" where
    nothing is; `parts`, what each reward gave by its name, before weights. The last three are empty in verdicts that
    the verifier did not make, or made before it had them.
    """

    correct: bool
    well_formed: bool
    extracted: str | None
    rule: str
    chain: bool | None = None
    reason: str = ""
    code: str = ""
    fault: str = ""
    parts: Mapping[str, float] = field(default_factory=dict)

    @property
    def strict(self) -> bool:
        """Right answer in the right format: what the accuracy reward and every strict score count."""
        return self.correct and self.well_formed


@dataclass(frozen=True, slots=True)
class Trajectory:
    """A completion with what is known of it.

    `tokens` are the completion's ids, the end token included where it was sampled; `logprobs` (same length) are
    natural logs at the sampling temperature, empty where no sampler produced them (an expert's text).
    """

    problem_id: str
    sample: int
    text: str
    tokens: tuple[int, ...] = ()
    logprobs: tuple[float, ...] = ()
    stop: StopReason = StopReason.EOS
    source: str = ""
    weights_version: int = 0
    verdict: Verdict | None = None

    def judged(self, verdict: Verdict, source: str, chain_fault: str | None) -> Trajectory:
        """The same trajectory with its verdict and its source.

        `chain_fault` says why the reasoning does not hold: "" when it does, None when nothing could check it.
        """
        if chain_fault is not None:
            reason = verdict.reason if not chain_fault else f"{verdict.reason}; chain: {chain_fault}".removeprefix("; ")
            verdict = replace(verdict, chain=not chain_fault, reason=reason)
        return replace(self, verdict=verdict, source=source)

    @property
    def strict(self) -> bool:
        """Verified right and well formed; False while there is no verdict."""
        return self.verdict is not None and self.verdict.strict

    def to_json(self, digits: int | None = 6) -> dict[str, Any]:
        """A dict of plain JSON values; `from_json` reads it back.

        Log-probabilities are rounded to `digits`, or kept exactly with None (checkpoints need that).
        """
        logprobs = self.logprobs if digits is None else [round(value, digits) for value in self.logprobs]
        # asdict copies every token by itself, which takes longer than to judge the text.
        row = {each.name: getattr(self, each.name) for each in fields(self)}
        verdict = None if self.verdict is None else asdict(self.verdict)
        return row | {"tokens": list(self.tokens), "logprobs": list(logprobs), "verdict": verdict}

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> Trajectory:
        """The trajectory that `to_json` wrote. Raises KeyError, TypeError or ValueError for anything else."""
        _check_types(row, _TRAJECTORY_TYPES)
        verdict = row["verdict"]
        if verdict is not None:
            _check_types(verdict, _VERDICT_TYPES)
        return cls(
            **{
                **row,
                "tokens": tuple(row["tokens"]),
                "logprobs": tuple(row["logprobs"]),
                "stop": StopReason(row["stop"]),
                "verdict": None if verdict is None else Verdict(**verdict),
            }
        )


@dataclass(frozen=True, slots=True)
class Group:
    """The trajectories of one problem."""

    problem: Problem
    trajectories: tuple[Trajectory, ...]

    @property
    def solve_rate(self) -> float:
        """Share of trajectories that are right and well formed; 0.0 for an empty group."""
        return mean_strict(self.trajectories)

    @property
    def aborted(self) -> bool:
        """Whether the sampler gave up a trajectory: what it is worth is then not known."""
        return any(t.stop is StopReason.ABORT for t in self.trajectories)


def mean_strict(trajectories: Sequence[Trajectory]) -> float:
    """Share of `trajectories` that are right and well formed; 0.0 when there are none."""
    return sum(t.strict for t in trajectories) / len(trajectories) if trajectories else 0.0


_TEXT_OR_NONE = (str, type(None))
_LIST = (list, tuple)
# What is in the lists is not looked at: a trajectory has thousands of numbers.
_PROBLEM_TYPES: Mapping[str, type | tuple[type, ...]] = {
    **dict.fromkeys(("id", "question", "answer", "source", "family"), str),
    "images": _LIST,
    "choices": (*_LIST, type(None)),
    "solution": _TEXT_OR_NONE,
    "level": int,
    "meta": Mapping,
}
_TRAJECTORY_TYPES: Mapping[str, type | tuple[type, ...]] = {
    **dict.fromkeys(("problem_id", "text", "source"), str),
    **dict.fromkeys(("sample", "weights_version"), int),
    **dict.fromkeys(("tokens", "logprobs"), _LIST),
    "verdict": (Mapping, type(None)),
}
_VERDICT_TYPES: Mapping[str, type | tuple[type, ...]] = {
    **dict.fromkeys(("correct", "well_formed"), bool),
    "rule": str,
    "extracted": _TEXT_OR_NONE,
}


def _check_types(row: Mapping[str, Any], types: Mapping[str, type | tuple[type, ...]]) -> None:
    for name, kinds in types.items():
        if name in row and not isinstance(row[name], kinds):
            raise TypeError(f"{name} is {repr(row[name])[:60]}")
