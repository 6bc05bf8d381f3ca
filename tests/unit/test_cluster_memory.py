"""Bytes that `rise plan` counts, against what torch keeps and what the policy's own constants say."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from metis_rise.bench.cases import Case
from metis_rise.bench.model import Sizes
from metis_rise.bench.workbench import Workbench
from metis_rise.cluster import memory
from metis_rise.cluster.facts import ModelFacts, TextFacts, VisionFacts, find_facts
from metis_rise.cluster.gpus import GPUS
from metis_rise.cluster.memory import Pass, Server, Sharding, Trainer, share_in_turns
from metis_rise.policy import features, head
from metis_rise.policy.forward import completion_logprobs
from metis_rise.recipe.model import LoraConfig, ModelConfig
from metis_rise.stages import prompts

SMALL = Sizes()
FACTS = ModelFacts(
    "study",
    TextFacts(SMALL.hidden, SMALL.layers, SMALL.heads, SMALL.kv_heads, 64, SMALL.intermediate, 4096, True, True),
    VisionFacts(
        SMALL.vision_layers, SMALL.vision_hidden, SMALL.vision_intermediate, 256, 1176, 4, 14, 1, 64, True, 0, 0
    ),
)
PLAIN = ModelConfig(path="x", dtype="float32", freeze_vision=False)
SEVEN = find_facts("Qwen2.5-VL-7B")


def test_constants_are_those_of_the_rooms_that_load_torch():
    assert (memory.HEAD_POSITIONS, memory.PASS_PATCHES) == (head.POSITIONS, features.PASS_PATCHES)
    assert (memory.FEATURE_BYTES, memory.PROMPT_BYTES) == (features.CACHE_BYTES, prompts.KEPT_BYTES)


@pytest.mark.parametrize("case", [Case(64, 64), Case(256, 32), Case(64, 16, 4, 3)], ids=str)
@pytest.mark.parametrize("trained", [True, False])
def test_activations_are_what_autograd_keeps(case: Case, trained: bool):
    bench = Workbench.study(SMALL)
    bench.policy.freeze_vision = not trained
    bench.policy.core.visual.requires_grad_(trained)
    weights = {value.untyped_storage().data_ptr() for value in bench.policy.model.parameters()}
    kept: dict[int, int] = {}
    alive: list[Tensor] = []

    def note(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = storage.nbytes()
            alive.append(tensor)
        return tensor

    rows = bench.rows(case)
    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor), bench.policy.updating():
        completion_logprobs(bench.policy, rows)
    completed = case.prompts * case.group_size * case.completion_tokens
    read = case.prompts * (case.image_tokens + 60)
    largest = Pass(read + completed, completed, 0, case.prompts * case.image_tokens * 4)
    model = PLAIN.model_copy(update={"freeze_vision": not trained})
    # The probabilities of the head's last part, which the plan counts with the logits.
    last = (completed - 1) % head.POSITIONS + 1
    probabilities = 4 * last * SMALL.vocabulary
    counted = Trainer(FACTS, model, Sharding(), True).kept(largest) + probabilities
    assert counted == pytest.approx(sum(kept.values()), rel=0.06)


def test_layers_that_are_computed_again_keep_their_input_only():
    largest = Pass(4000, 3000, 0, 0)
    frozen = {"freeze_vision": True}
    plain = Trainer(SEVEN, PLAIN.model_copy(update=frozen), Sharding(), True)
    again = plain.without(gradient_checkpointing=True)
    inputs = SEVEN.text.layers * 4000 * SEVEN.text.hidden * 4
    assert again.kept(largest) - inputs == pytest.approx(plain.kept(largest) / SEVEN.text.layers, rel=0.03)


def states(model: dict[str, Any], sharding: Sharding) -> dict[str, float]:
    return Trainer(SEVEN, ModelConfig(**model), sharding, False).state()


def test_shards_add_up_to_the_model():
    whole = Trainer(SEVEN, ModelConfig(freeze_vision=False), Sharding(8, 1), False)
    for shard in (2, 8):
        part = replace(whole, sharding=Sharding(8, shard)).state()
        assert {name: shard * size for name, size in part.items()} == pytest.approx(whole.state())
    # Float32: weights, gradients and two moments.
    assert sum(whole.state().values()) == 16 * whole.parameters.total
    assert sum(replace(whole, sharding=Sharding(8, 8, offload=True)).state().values()) == 0


def test_one_process_in_16_bit_has_masters_and_adapters_save_nearly_all_of_it():
    total = Trainer(SEVEN, ModelConfig(), Sharding(), False).parameters.total
    full = states({"freeze_vision": False}, Sharding())
    assert full == {"weights": 2 * total, "gradients": 2 * total, "optimizer": 12 * total}
    adapters = states({"lora": LoraConfig()}, Sharding())
    assert adapters["weights"] == pytest.approx(2 * total, rel=0.02)
    assert adapters["gradients"] + adapters["optimizer"] < 0.02 * (full["gradients"] + full["optimizer"])


def test_a_server_has_room_for_the_tokens_that_are_left():
    server = Server(SEVEN, GPUS["h100-80gb"], 1)
    assert server.weights == pytest.approx(16.6e9, rel=0.01)
    # 57 kB of keys and values a token (docs/benchmarks.md).
    assert server.room * 57344 + server.weights == pytest.approx(0.9 * 80 * 2**30 - 3 * 2**30, rel=0.01)
    # A GPU has all keys of a head at least: 4 heads on 8 GPUs are there twice.
    assert replace(server, tensor_parallel=8).token == replace(server, tensor_parallel=4).token == 57344 / 4
    assert Server(find_facts("Qwen2.5-VL-72B"), GPUS["h100-80gb"], 1).room < 0


def test_frozen_weights_are_of_the_recipes_dtype_and_adapters_float32():
    """As `policy/parallel` and a single process keep them."""
    parameters = Trainer(SEVEN, ModelConfig(), Sharding(), False).parameters
    total, vision = parameters.total, parameters.vision
    for sharding in (Sharding(), Sharding(8, 8)):
        shard = sharding.shard
        masters = states({"dtype": "float32", "autocast": True}, sharding)
        assert masters["weights"] * shard == 4 * total
        assert masters["gradients"] * shard == 4 * (total - vision)
        assert masters["optimizer"] * shard == 8 * (total - vision)
        lora = Trainer(SEVEN, ModelConfig(lora=LoraConfig()), sharding, False)
        parts = lora.state()
        assert parts["weights"] * shard == pytest.approx(2 * total + 4 * lora.trained)
        assert parts["gradients"] * shard == pytest.approx(4 * lora.trained)
        assert parts["optimizer"] * shard == pytest.approx(8 * lora.trained)
        assert lora.step() == 0
        half = Trainer(SEVEN, ModelConfig(), sharding, False)
        assert sum(half.state().values()) * shard == 16 * (total - vision) + 2 * vision
        assert half.step() * shard == 4 * (total - vision)


def test_weights_are_gathered_in_the_dtype_that_is_computed_in():
    parallel = Sharding(8, 8)
    mixed, plain = (
        Trainer(SEVEN, ModelConfig(dtype="float32", autocast=cast), parallel, False) for cast in (True, False)
    )
    assert (mixed.computes, plain.computes) == (2, 4)
    assert plain.whole() == 2 * mixed.whole() == 4 * mixed.parameters.total
    assert plain.gathered() > mixed.gathered()


def test_a_server_beside_a_resting_trainer_takes_what_that_leaves():
    card = GPUS["h100-80gb"]
    eight = Trainer(SEVEN, ModelConfig(dtype="float32", autocast=True), Sharding(8, 8), False)
    share = share_in_turns(eight, card)
    rest = 1.06 * sum(eight.state().values()) + 2 * 2 * 2**30
    assert 0 <= 1 - share - rest / card.memory < 0.05
    # It takes no more than a server alone does, nor less than nothing.
    assert share_in_turns(eight.without(lora=LoraConfig()), card) <= 0.9
    assert share_in_turns(replace(eight, sharding=Sharding()), card) == 0.05
