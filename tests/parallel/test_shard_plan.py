"""What each process keeps of the published models, cut as `policy/parallel` cuts them: on the meta device, no weights.

A process group that sends nothing stands in for the other ranks, one rank after another.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import resources
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch.distributed.tensor import DTensor
from torch.testing._internal.distributed.fake_pg import FakeStore

from metis_rise.cluster.facts import find_facts
from metis_rise.cluster.layout import sharding_of
from metis_rise.cluster.memory import Trainer
from metis_rise.policy.families import FAMILIES
from metis_rise.policy.parallel.mesh import Parallel
from metis_rise.policy.parallel.sharding import shard
from metis_rise.recipe import load_recipe


@contextmanager
def rank_of(rank: int, size: int) -> Iterator[None]:
    dist.init_process_group("fake", store=FakeStore(), rank=rank, world_size=size)
    try:
        yield
    finally:
        dist.destroy_process_group()


def empty_model(name: str) -> Any:
    text = (resources.files("metis_rise") / "assets" / "configs" / f"{name}.json").read_text(encoding="utf-8")
    config: dict[str, Any] = json.loads(text)
    kind = FAMILIES[config.pop("model_type")].model
    with torch.device("meta"):
        model = kind(kind.config_class(**config))
    model.model.visual.requires_grad_(False)
    return model


@pytest.mark.parametrize(
    ("recipe", "name", "settings", "ranks", "copies"),
    [
        ("qwen2_5_vl_7b", "Qwen2.5-VL-7B", [], 8, 1),
        ("qwen2_5_vl_7b", "Qwen2.5-VL-7B", ["parallel={shard: hybrid, shard_size: 4}"], 8, 2),
        ("qwen3_vl_8b", "Qwen3-VL-8B", [], 8, 1),
        ("qwen2_5_vl_72b", "Qwen2.5-VL-72B", [], 40, 1),
    ],
)
def test_bytes_of_all_ranks_add_up_to_the_model(recipe: str, name: str, settings: list[str], ranks: int, copies: int):
    loaded = load_recipe(recipe, ["problems.train=a", "problems.test=b", *settings])
    planned = Trainer(find_facts(name), loaded.model, sharding_of(loaded, ranks), cpu=False)
    kept, trained = [], 0
    for rank in range(ranks):
        with rank_of(rank, ranks):
            model = empty_model(name)
            shard(model, Parallel.over_world(loaded.parallel, torch.device("cpu")), mixed=True)
            parts = list(model.parameters())
            assert all(isinstance(part, DTensor) for part in parts)
            kept.append(sum(part.to_local().nbytes for part in parts))
            trained += sum(part.to_local().numel() for part in parts if part.requires_grad)
    assert sum(kept) == copies * 4 * planned.parameters.total
    assert trained == copies * planned.trained
    # What `rise plan` says of a rank; the last one has what is left of rows that do not divide.
    assert max(kept) == pytest.approx(planned.state()["weights"], rel=0.003)
    assert min(kept) > 0.9 * max(kept)
