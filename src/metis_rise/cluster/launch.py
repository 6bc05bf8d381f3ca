"""The file that a scheduler is given to do a recipe's run on the machines of its part `cluster`."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from importlib.resources import as_file, files
from typing import Any, Literal

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from metis_rise.cluster.advice import advice
from metis_rise.cluster.facts import ModelFacts, find_facts
from metis_rise.cluster.gpus import SERVER_ROWS
from metis_rise.cluster.layout import Layout, layout_of
from metis_rise.cluster.memory import Trainer, share_in_turns
from metis_rise.cluster.plan import Asked, make_plan
from metis_rise.cluster.rates import Rates
from metis_rise.cluster.workload import Workload
from metis_rise.engines.server.discovery import FIRST_PORT, THIS_MACHINE
from metis_rise.engines.server.sleeping import OPTION
from metis_rise.errors import InputError
from metis_rise.recipe import Recipe
from metis_rise.recipe.cluster import GpuName

Scheduler = Literal["slurm", "skypilot"]
_TEMPLATES: Mapping[Scheduler, str] = {"slurm": "launch/slurm.sh.j2", "skypilot": "launch/skypilot.yaml.j2"}
# What SkyPilot calls them (`sky show-gpus`).
_ACCELERATORS: Mapping[GpuName, str] = {
    "a100-40gb": "A100",
    "a100-80gb": "A100-80GB",
    "h100-80gb": "H100",
    "h200-141gb": "H200",
    "b200-180gb": "B200",
    "l40s-48gb": "L40S",
    "rtx4090-24gb": "RTX4090",
}
# Where the processes that train meet: torchrun's usual port.
_RENDEZVOUS = 29500


def launch_file(scheduler: Scheduler, recipe: Recipe, arguments: Sequence[str]) -> str:
    """The text of the file.

    Args:
        scheduler: whose file it is.
        recipe: what is run; its part `cluster` lays out the machines.
        arguments: of `rise run`: the recipe as the user named it, settings, options.

    Raises:
        InputError: a recipe for one process or for servers that the file could not start, or an argument that no line
            of a script can hold.
    """
    for argument in (*arguments, recipe.model.path):
        if not argument.isprintable():
            raise InputError(f"{argument!r}: holds a line break or another character that a launch file cannot; rename")
    layout = layout_of(recipe)
    if layout.gpu is None:
        raise InputError(
            f"{recipe.name}: cluster.gpu = null is one process on this machine, which needs no launch file; use "
            "`rise run`, or set cluster.gpu and cluster.nodes"
        )
    if recipe.model.device == "cpu":
        raise InputError(
            f"model.device = 'cpu': the file asks for {layout.gpu} GPUs, which would stand idle; set model.device=auto"
        )
    if not layout.native and recipe.engine.urls != "auto":
        raise InputError(
            f"engine.urls = {list(recipe.engine.urls)}: the file starts servers of its own; set engine.urls=auto "
            "(with cluster.server_nodes, or engine.colocated=true)"
        )
    with as_file(files("metis_rise") / "templates") as folder:
        environment = Environment(loader=FileSystemLoader(folder), undefined=StrictUndefined, autoescape=False)
        return environment.get_template(_TEMPLATES[scheduler]).render(_values(recipe, layout, arguments)) + "\n"


def misfits(recipe: Recipe) -> list[str]:
    """What `rise plan` finds too large for the GPUs, and what it would change; empty where all fits."""
    asked = Asked()
    plan = make_plan(recipe, asked, _no_measure)
    memories = {"training": plan.training_memory(), "serving": plan.serving_memory()}
    found = [
        f"{what} needs {memory.total / 2**30:.1f} GiB of each GPU and may take {memory.limit / 2**30:.0f} (`rise plan`)"
        for what, memory in memories.items()
        if memory is not None and memory.limit is not None and not memory.fits
    ]
    return [*found, *(f"what would change that: {line}" for line in advice(plan, asked))]


def _no_measure(recipe: Recipe, facts: ModelFacts, work: Workload) -> Rates:
    raise ValueError("rates are stated where GPUs are named")


def _values(recipe: Recipe, layout: Layout, arguments: Sequence[str]) -> dict[str, Any]:
    assert layout.gpu is not None
    cluster, served = recipe.cluster, not layout.native
    trainers = cluster.nodes - cluster.server_nodes
    what = f"{cluster.nodes} x {cluster.gpus_per_node} {layout.gpu}"
    if cluster.server_nodes:
        what += f", {trainers} machine(s) that train and {cluster.server_nodes} that serve"
    return {
        "title": f"{recipe.name} on {what}; made by `rise launch`.",
        "name": recipe.name,
        # As SkyPilot wants it: words joined by hyphens.
        "task": re.sub(r"[^a-z0-9]+", "-", recipe.name.lower()).strip("-") or "rise",
        "nodes": cluster.nodes,
        "gpus": cluster.gpus_per_node,
        "accelerators": _ACCELERATORS[layout.gpu],
        "trainers": trainers,
        "lora": recipe.model.lora is not None,
        "arguments": shlex.join(arguments),
        "rendezvous": _RENDEZVOUS,
        "served": served,
        "colocated": layout.turns,
        "serving": cluster.server_nodes or cluster.nodes,
        "first_server": trainers if cluster.server_nodes else 0,
        "tensor_parallel": cluster.tensor_parallel,
        "model": shlex.quote(recipe.model.path),
        # Others may reach a server of several machines: docs/servers.md says what they could do.
        "host": THIS_MACHINE if cluster.nodes == 1 else "0.0.0.0",
        "port": FIRST_PORT,
        # A prompt and its longest completion fit into a pass of the update, or the run is refused.
        "tokens": max(recipe.rl.micro_tokens, recipe.sft.micro_tokens),
        "rows": SERVER_ROWS,
        "server_options": f" -- {OPTION} --gpu-memory-utilization {_share(recipe, layout)}" if layout.turns else "",
    }


def _share(recipe: Recipe, layout: Layout) -> float:
    """The share of a GPU's memory that a server on a trainer's GPU takes."""
    assert layout.card is not None
    trainer = Trainer(find_facts(recipe.model.path), recipe.model, layout.sharding, cpu=False)
    return share_in_turns(trainer, layout.card)
