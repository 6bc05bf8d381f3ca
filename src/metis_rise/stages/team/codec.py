"""Requests, groups, samples and completions as messages and back, exactly."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from typing import Any

import torch
from torch import Tensor

from metis_rise.engines.base import Request, SamplingParams
from metis_rise.stages.passes import Completion, Sample
from metis_rise.stages.team.wire import Message
from metis_rise.types import Group, Problem, Trajectory


def pack_completions(completions: Sequence[Completion]) -> Message:
    """See `unpack_completions`; a problem is sent once however many completions it has."""
    problems = {each.problem.id: each.problem for each in completions}
    numbers = {key: number for number, key in enumerate(problems)}
    values = {
        "problems": [problem.to_json() for problem in problems.values()],
        "of": [numbers[each.problem.id] for each in completions],
        "lengths": [len(each.tokens) for each in completions],
    }
    return Message(values, {"tokens": _joined([each.tokens for each in completions], torch.int64)})


def unpack_completions(message: Message) -> list[Completion]:
    """What `pack_completions` was given."""
    problems = [Problem.from_json(row) for row in message.values["problems"]]
    tokens = torch.split(message.tensors["tokens"], message.values["lengths"])
    return [Completion(problems[of], ids) for of, ids in zip(message.values["of"], tokens, strict=True)]


def pack_samples(samples: Sequence[Sample]) -> Message:
    """See `unpack_samples`."""
    packed = pack_completions([sample.completion for sample in samples])
    values = {
        "advantages": [sample.advantage for sample in samples],
        "own": [sample.own for sample in samples],
        "compared": [sample.compared for sample in samples],
    }
    tensors = {
        "old": _joined([sample.old.cpu() for sample in samples], torch.float32),
        "sampler": _joined([sample.sampler for sample in samples], torch.float32),
    }
    return Message({**packed.values, **values}, {**packed.tensors, **tensors})


def unpack_samples(message: Message) -> list[Sample]:
    """What `pack_samples` was given."""
    values, lengths = message.values, message.values["lengths"]
    parts = zip(
        unpack_completions(message),
        values["advantages"],
        torch.split(message.tensors["old"], lengths),
        torch.split(message.tensors["sampler"], lengths),
        values["own"],
        values["compared"],
        strict=True,
    )
    return [Sample(*part) for part in parts]


def pack_requests(requests: Sequence[Request]) -> Message:
    """See `unpack_requests`."""
    return Message({"requests": [_request_row(request) for request in requests]})


def unpack_requests(message: Message) -> list[Request]:
    """What `pack_requests` was given."""
    return [_request(row) for row in message.values["requests"]]


def pack_groups(groups: Sequence[Group]) -> Message:
    """The trajectories of sampled groups: see `unpack_groups`."""
    drawn = [t for group in groups for t in group.trajectories]
    rows = [[replace(t, tokens=(), logprobs=()).to_json() for t in group.trajectories] for group in groups]
    values = {"trajectories": rows, "lengths": [len(t.tokens) for t in drawn]}
    tensors = {
        "tokens": torch.tensor([token for t in drawn for token in t.tokens], dtype=torch.int64),
        # Exactly the numbers of the trajectories, which are Python's.
        "logprobs": torch.tensor([value for t in drawn for value in t.logprobs], dtype=torch.float64),
    }
    return Message(values, tensors)


def unpack_groups(message: Message, problems: Sequence[Problem]) -> list[Group]:
    """What `pack_groups` was given; `problems` are those of the groups."""
    lengths = message.values["lengths"]
    parts = zip(*(torch.split(message.tensors[name], lengths) for name in ("tokens", "logprobs")), strict=True)
    pairs = zip(problems, message.values["trajectories"], strict=True)
    return [Group(problem, tuple(_trajectories(rows, parts))) for problem, rows in pairs]


def _trajectories(rows: Sequence[dict[str, Any]], parts: Iterator[tuple[Tensor, ...]]) -> Iterator[Trajectory]:
    for row in rows:
        tokens, logprobs = next(parts)
        yield replace(Trajectory.from_json(row), tokens=tuple(tokens.tolist()), logprobs=tuple(logprobs.tolist()))


def _request_row(request: Request) -> dict[str, Any]:
    return {
        "problem": request.problem.to_json(),
        "n": request.n,
        "params": asdict(request.params),
        "seed": request.seed,
    }


def _request(row: dict[str, Any]) -> Request:
    params = SamplingParams(**{**row["params"], "stop": tuple(row["params"]["stop"])})
    return Request(Problem.from_json(row["problem"]), row["n"], params, row["seed"])


def _joined(parts: Sequence[Tensor], dtype: torch.dtype) -> Tensor:
    return torch.cat([part.to(dtype) for part in parts]) if parts else torch.empty(0, dtype=dtype)
