"""What the tests let each of several processes do; functions take their rank first."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import patch

import tiny
import torch
import torch.distributed as dist
from naive import relative_error
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.testing._internal.distributed.fake_pg import FakeStore

from metis_rise.engines.base import Request, SamplingParams
from metis_rise.engines.native import NativeEngine
from metis_rise.engines.server.push import assist
from metis_rise.errors import InputError
from metis_rise.policy.checkpoint import load_training, save_training
from metis_rise.policy.forward import Row, row_logprobs, score
from metis_rise.policy.model import Policy
from metis_rise.policy.optimizer import Optimizer
from metis_rise.policy.parallel import files
from metis_rise.policy.parallel.mesh import Parallel
from metis_rise.policy.parallel.policy import SharedPolicy
from metis_rise.policy.parallel.sharding import put, shard, whole
from metis_rise.policy.weights import plain_parameters, whole_weights
from metis_rise.recipe.parallel import ParallelConfig
from metis_rise.types import Problem

CPU = torch.device("cpu")
TEMPERATURE = 0.9


def shared(folder: Path, mode: dict[str, Any] | None = None, **settings: Any) -> Policy:
    """A policy of all processes."""
    return Policy.load(folder, parallel=Parallel.over_world(ParallelConfig(**(mode or {})), CPU), **settings)


def rows_of(policy: Policy) -> list[Row]:
    """Four rows of a prompt with a picture, two of one with two, three of one without."""
    prompts = [
        policy.encode(tiny.message("How many red dots?", 1), [tiny.picture(1)]),
        policy.encode(tiny.message("two", 2), [tiny.picture(2), tiny.picture(1, 56, 84)]),
        policy.encode(tiny.message("What is 3 + 14?")),
    ]
    draw = torch.Generator().manual_seed(1)
    lengths = (5, 9, 30, 31), (4, 6), (1, 7, 12)
    return [
        (prompt, torch.randint(8, 300, (length,), generator=draw))
        for prompt, group in zip(prompts, lengths, strict=True)
        for length in group
    ]


def backward(policy: Policy, rows: Sequence[Row], weights: Sequence[float], budget: int | None) -> None:
    """Gradients of the log-probabilities of `rows` times their `weights`."""
    with policy.updating():
        for scored in score(policy, rows, TEMPERATURE, budget):
            lengths = torch.tensor(scored.logprobs.lengths)
            factors = torch.tensor([weights[i] for i in scored.members]).repeat_interleave(lengths)
            (factors * scored.logprobs.values).sum().backward()


def own(rank: int, rows: Sequence[Any], cut: int) -> Sequence[Any]:
    """The first `cut` of `rows` for rank 0, the others for rank 1."""
    return rows[:cut] if rank == 0 else rows[cut:]


def gradient_error(
    rank: int, folder: Path, cases: Sequence[tuple[int, int | None]], mode: dict[str, Any], settings: dict[str, Any]
) -> list[float]:
    """Per case (rows of rank 0, token budget) the largest relative error of a gradient against one process."""
    together = shared(folder, mode, **settings)
    alone = Policy.load(folder, **settings)
    errors = []
    for cut, budget in cases:
        rows = rows_of(together)
        weights = torch.linspace(-1, 2, len(rows)).tolist()
        backward(together, own(rank, rows, cut), own(rank, weights, cut), budget)
        found = {name: whole(p.grad) for name, p in together.named_trainable() if p.grad is not None}
        together.model.zero_grad()
        backward(alone, rows, weights, budget)
        expected = {name: p.grad for name, p in alone.named_trainable() if p.grad is not None}
        errors.append(relative_error(found, expected))
        alone.model.zero_grad()
    return errors


def logprobs(rank: int, folder: Path, cut: int, budget: int) -> float:
    """The largest difference of a log-probability without gradient from that of one process."""
    together, alone = shared(folder), Policy.load(folder)
    rows = own(rank, rows_of(together), cut)
    pairs = zip(
        row_logprobs(together, rows, TEMPERATURE, budget), row_logprobs(alone, rows, TEMPERATURE, 1000), strict=True
    )
    return max((float((a - b).abs().max()) for a, b in pairs), default=0.0)


def train(rank: int, policy: Policy, optimizer: Optimizer, steps: Sequence[int], cut: int) -> list[float]:
    """Gradient norms of updates whose weights depend on the number of the step."""
    norms = []
    for step in steps:
        rows = rows_of(policy)
        weights = torch.linspace(-1, 2 + step, len(rows)).tolist()
        backward(policy, own(rank, rows, cut), own(rank, weights, cut), 70)
        norms.append(optimizer.step(1e-3))
    return norms


def start(policy: Policy) -> Optimizer:
    """An optimizer with a setting for everything."""
    return Optimizer(policy, weight_decay=0.1, max_grad_norm=0.5, vision_lr_factor=0.3)


def trained(rank: int, folder: Path, target: Path | None, settings: dict[str, Any]) -> list[float]:
    """Four updates, a checkpoint in `target` after the second."""
    policy = shared(folder, **settings)
    optimizer = start(policy)
    head = train(rank, policy, optimizer, (0, 1), 6)
    if target is not None:
        save_training(target, policy, optimizer, {"rank": rank})
    return head + train(rank, policy, optimizer, (2, 3), 6)


def trained_alone(folder: Path, target: Path, settings: dict[str, Any]) -> list[float]:
    """The same by one process."""
    policy = Policy.load(folder, **settings)
    optimizer = start(policy)
    head = train(0, policy, optimizer, (0, 1), 9)
    save_training(target, policy, optimizer, {"rank": 0})
    return head + train(0, policy, optimizer, (2, 3), 9)


def resumed(rank: int, folder: Path, checkpoint: Path, settings: dict[str, Any]) -> tuple[list[float], Any, int]:
    """The last two updates from a checkpoint, the state that it brought, and the version it began with."""
    policy = shared(folder, **settings)
    optimizer = start(policy)
    state = load_training(checkpoint, policy, optimizer)
    version = policy.version
    return train(rank, policy, optimizer, (2, 3), 6 if rank < 2 else 9), state, version


def resumed_alone(folder: Path, checkpoint: Path, settings: dict[str, Any]) -> list[float]:
    """The same by one process."""
    policy = Policy.load(folder, **settings)
    optimizer = start(policy)
    load_training(checkpoint, policy, optimizer)
    return train(0, policy, optimizer, (2, 3), 9)


def saved(rank: int, folder: Path, target: Path, settings: dict[str, Any], file_bytes: int | None = None) -> None:
    """Adapters that say something, if any, and a saved model."""
    policy = shared(folder, **settings)
    speak(policy)
    with patch.object(files, "FILE_BYTES", file_bytes or files.FILE_BYTES):
        policy.save(target)


def served(rank: int, folder: Path, settings: dict[str, Any]) -> dict[str, Tensor]:
    """What the first process sends to servers, to which the other one helps; nothing in that one."""
    policy = shared(folder, **settings)
    speak(policy)
    if rank:
        assist("nccl", policy)
        return {}
    shapes = [(name, value.shape) for name, value in plain_parameters(policy).items()]
    found = list(whole_weights(policy, policy.dtype))
    row_logprobs(policy, [], 1.0, 1)
    assert [(name, value.shape) for name, value in found] == shapes
    return dict(found)


def speak(policy: Policy) -> None:
    """Let adapters say something."""
    for name, value in policy.named_trainable():
        if "lora_B" in name:
            put(value, torch.linspace(-0.02, 0.02, value.numel()).view(value.shape))


def sampled(rank: int, folder: Path, settings: dict[str, Any]) -> list[list[list[int]]]:
    """Greedy completions of `rank` + 1 problems, before and after an update in between."""
    policy = shared(folder, **settings)
    optimizer = start(policy)
    found = [draw(policy, rank + 1)]
    train(rank, policy, optimizer, (0,), 6)
    found.append(draw(policy, rank + 1))
    return found


def draw(policy: Policy, count: int) -> list[list[int]]:
    """Greedy completions of the first `count` problems."""

    def encode(problem: Problem) -> Any:
        return policy.encode(tiny.message(problem.question, 1), [tiny.picture(int(problem.id))])

    engine = NativeEngine(policy, encode)
    problems = [Problem(str(number), "How many dots?", "1", "number") for number in range(count)]
    requests = [Request(problem, 1, SamplingParams(temperature=0.0, max_tokens=12), 0) for problem in problems]
    with policy.gathered():
        # One at a time: who has more problems calls the vision tower more often.
        groups = [group for request in requests for group in engine.sample([request])]
    return [list(group.trajectories[0].tokens) for group in groups]


def growth(rank: int, folder: Path, dtype: str) -> tuple[float, float]:
    """How far memory peaked above where it was while a policy was loaded, and the bytes of this rank's parts."""
    # Code that a first load brings in is not the model's.
    policy = shared(folder, dtype=dtype)
    del policy
    Path("/proc/self/clear_refs").write_text("5")
    before = memory("VmRSS")
    policy = shared(folder, dtype=dtype)
    parts = sum(whole_part(value).nbytes for value in policy.model.parameters())
    return memory("VmHWM") - before, parts


def whole_part(value: Any) -> Tensor:
    """What this process keeps of a parameter."""
    part: Tensor = value.to_local()
    return part


def memory(what: str) -> float:
    """Bytes of this process."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024.0 * next(int(line.split()[1]) for line in lines if line.startswith(what + ":"))


def precisions(rank: int, folder: Path) -> tuple[set[str], set[str], set[str]]:
    """Types of parameters, of what is gathered of them, and of gradients, with autocast."""
    policy = shared(folder, autocast=True)
    with policy.gathered():
        gathered = {str(value.dtype) for value in policy.model.parameters()}
    backward(policy, own(rank, rows_of(policy), 6), [1.0] * 9, None)
    parameters = list(policy.model.parameters())
    grads = {str(value.grad.dtype) for value in parameters if value.grad is not None}
    return {str(value.dtype) for value in parameters}, gathered, grads


def error_of(rank: int, folder: Path, mode: dict[str, Any]) -> str:
    """What is said of a folder or a setting that cannot be."""
    try:
        shared(folder, mode)
    except InputError as error:
        return str(error)
    return ""


def configs(folder: Path) -> dict[str, Any]:
    """The JSON side files of a folder."""
    return {
        path.name: json.loads(path.read_text()) for path in sorted(folder.glob("*.json")) if "index" not in path.name
    }


def without_a_tensor(folder: Path, target: Path) -> Path:
    """A copy of `folder` whose weights lack the final norm."""
    shutil.copytree(folder, target)
    tensors = load_file(folder / "model.safetensors")
    (name,) = (name for name in tensors if name.endswith("model.norm.weight"))
    del tensors[name]
    save_file(tensors, target / "model.safetensors", {"format": "pt"})
    return target


def part_sizes(name: str, size: int, ranks: Sequence[int]) -> tuple[int, list[int]]:
    """Numbers in the parameters of a published model, and in the part of each of `ranks` of `size` that share it."""
    config = (resources.files("metis_rise") / "assets" / "configs" / f"{name}.json").read_text()
    sizes = []
    with TemporaryDirectory() as folder:
        (Path(folder) / "config.json").write_text(config)
        for rank in ranks:
            dist.init_process_group("fake", store=FakeStore(), rank=rank, world_size=size)
            model = SharedPolicy.empty(Path(folder), torch.bfloat16)
            total = sum(value.numel() for value in model.parameters())
            shard(model, Parallel.over_world(ParallelConfig(), CPU), mixed=False)
            sizes.append(sum(part.numel() for part in map(whole_part, model.parameters())))
            dist.destroy_process_group()
    return total, sizes
