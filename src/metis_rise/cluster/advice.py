"""What to change in a recipe that does not fit: the first change of each kind that makes it fit."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from metis_rise.cluster.memory import with_allowance
from metis_rise.cluster.plan import Asked, Plan, relaid
from metis_rise.recipe import Recipe
from metis_rise.recipe.model import LoraConfig
from metis_rise.recipe.parallel import ParallelConfig
from metis_rise.recipe.rl import RLConfig
from metis_rise.recipe.sft import SFTConfig

_MOST_GPUS = 1024
_LEAST_TOKENS = 1024


def advice(plan: Plan, asked: Asked) -> list[str]:
    """Settings that make it fit, each line by itself; empty where it fits; a line that says so where none does."""
    card, found = plan.layout.card, []
    if card is None:
        return []
    if plan.layout.native and with_allowance(plan.trainer.whole()) > card.memory:
        found.append(
            "engine.kind=server engine.urls=auto engine.colocated=true: the native sampler needs all weights on each "
            "GPU, vLLM shares them (cluster.tensor_parallel)"
        )
    elif not _enough(plan):
        found += list(_changes(plan, asked)) or ["none of the changes that the plan knows; take larger GPUs"]
    if not plan.layout.turns and not plan.fits and (line := _wider(plan)):
        found.append(line)
    return found


def _enough(plan: Plan) -> bool:
    """Whether training fits; beside a server that takes turns with it where there is one."""
    return plan.fits if plan.layout.turns else plan.training_memory().fits


def _changes(plan: Plan, asked: Asked) -> Iterator[str]:
    model, recompute = plan.recipe.model, "model.gradient_checkpointing=true"
    again = _with_model(plan, gradient_checkpointing=True)
    if not model.gradient_checkpointing and _enough(again):
        yield f"{recompute}: activations are computed again, a third more arithmetic"
    if fewer := _fewer_tokens(plan):
        yield f"{fewer}: smaller passes, more of them"
    elif not model.gradient_checkpointing and (fewer := _fewer_tokens(again)):
        yield f"{recompute} with {fewer}"
    if plan.layout.turns and not plan.layout.native and (width := _width(plan, asked)):
        yield f"cluster.tensor_parallel={width}: the servers' weights are shared by {width} GPUs"
    yield from _sharing(plan, asked)
    if nodes := _more_nodes(plan, asked):
        yield f"cluster.nodes={nodes}: weights, gradients and optimizer are shared by more GPUs"
    elif not model.gradient_checkpointing and (nodes := _more_nodes(again, asked)):
        yield f"{recompute} with cluster.nodes={nodes}"
    if model.lora is None:
        adapters = {"lora": LoraConfig(), "freeze_vision": True}
        if _enough(_with_model(plan, **adapters)):
            yield "model.lora={}: adapters are trained, not the weights"
        elif _enough(_with_model(again, **adapters)):
            yield f"model.lora={{}} with {recompute}"


def _sharing(plan: Plan, asked: Asked) -> Iterator[str]:
    """Other ways of sharing the weights among the same ranks."""
    part, sharding = plan.recipe.parallel, plan.layout.sharding
    if sharding.shard < sharding.ranks:
        whole = part.model_copy(update={"shard": "full", "shard_size": None})
        if _enough(_with_parallel(plan, asked, whole)):
            yield "parallel={shard: full}: all ranks share one copy of the weights"
    if sharding.ranks > 1 and not part.offload:
        host = _with_parallel(plan, asked, part.model_copy(update={"offload": True}))
        if _enough(host):
            size = sum(plan.trainer.state().values()) * min(sharding.ranks, plan.layout.per_node) / 2**30
            yield f"parallel.offload=true: slower, and {size:.0f} GiB of each node's own memory"


def _with_model(plan: Plan, **changes: Any) -> Plan:
    return _copy(plan, plan.recipe.model_copy(update={"model": plan.recipe.model.model_copy(update=changes)}))


def _with_parallel(plan: Plan, asked: Asked, part: ParallelConfig) -> Plan:
    return relaid(_copy(plan, plan.recipe.model_copy(update={"parallel": part})), asked)


def _fewer_tokens(plan: Plan) -> str:
    """Settings of the largest budget, halved as often as need be, that fits a prompt, a completion and the GPU."""
    recipe, work = plan.recipe, plan.work
    parts: dict[str, RLConfig | SFTConfig] = {"rl": recipe.rl, "sft": recipe.sft}
    budget = max(recipe.rl.micro_tokens, recipe.sft.micro_tokens) // 2
    while budget >= max(_LEAST_TOKENS, work.prompts.longest + work.max_tokens):
        above = [name for name, part in parts.items() if part.micro_tokens > budget]
        changes = {name: parts[name].model_copy(update={"micro_tokens": budget}) for name in above}
        if _enough(_copy(plan, recipe.model_copy(update=changes))):
            return " ".join(f"{name}.micro_tokens={budget}" for name in above)
        budget //= 2
    return ""


def _more_nodes(plan: Plan, asked: Asked) -> int:
    """Nodes with the fewest for training that fit, by doubling these; 0 where none do."""
    cluster = plan.recipe.cluster
    training = 2 * (cluster.nodes - cluster.server_nodes)
    while training * cluster.gpus_per_node <= _MOST_GPUS:
        nodes = training + cluster.server_nodes
        if _enough(relaid(plan, asked, nodes=nodes)):
            return nodes
        training *= 2
    return 0


def _width(plan: Plan, asked: Asked) -> int:
    """The least `cluster.tensor_parallel` within a node that is enough for servers in turns; 0 where none is."""
    widths = _widths(plan)
    return next((width for width in widths if _enough(relaid(plan, asked, tensor_parallel=width))), 0)


def _wider(plan: Plan) -> str:
    """What servers on GPUs of their own need; empty where it is not they that do not fit."""
    server = plan.server
    if server is None or server.room >= plan.longest_group:
        return ""
    for width in _widths(plan):
        if replace(server, tensor_parallel=width).room >= plan.longest_group:
            return f"cluster.tensor_parallel={width}: the servers' weights are shared by {width} GPUs"
    return "the servers' weights do not fit with cluster.tensor_parallel up to a whole node; take larger GPUs"


def _widths(plan: Plan) -> list[int]:
    """Other sizes of a server within a node, whose GPUs they divide."""
    per_node = plan.layout.per_node
    return [width for width in range(plan.layout.tensor_parallel + 1, per_node + 1) if per_node % width == 0]


def _copy(plan: Plan, recipe: Recipe) -> Plan:
    return Plan(recipe, plan.facts, plan.layout, plan.work, plan.rates, plan.push)
