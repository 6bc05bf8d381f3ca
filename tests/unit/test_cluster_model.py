"""What `rise plan` knows of models: facts, parameters and operations, against transformers on the meta device."""

from __future__ import annotations

import json
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from metis_rise.cluster.facts import find_facts, shipped
from metis_rise.cluster.flops import group_flops, packed_flops, token_flops, update_factor, vision_flops
from metis_rise.cluster.parameters import count, lora_parameters
from metis_rise.cluster.prompts import prompts_of
from metis_rise.errors import InputError
from metis_rise.policy.families import FAMILIES
from metis_rise.policy.lora import add_adapters
from metis_rise.recipe import load_recipe
from metis_rise.recipe.model import LoraConfig

# As the hub states them.
PUBLISHED = {
    "Qwen2.5-VL-3B": 3_754_622_976,
    "Qwen2.5-VL-7B": 8_292_166_656,
    "Qwen2.5-VL-32B": 33_452_718_336,
    "Qwen2.5-VL-72B": 73_410_777_344,
    "Qwen3-VL-8B": 8_767_123_696,
}


def config_of(name: str) -> dict[str, Any]:
    folder = resources.files("metis_rise") / "assets"
    path = folder / "tiny_base" / "config.json" if name == "tiny" else folder / "configs" / f"{name}.json"
    return json.loads(path.read_text(encoding="utf-8"))


def build(config: dict[str, Any], device: str) -> Any:
    family = FAMILIES[config["model_type"]].model
    made = family.config_class(**{key: value for key, value in config.items() if key != "model_type"})
    with torch.device(device):
        return family(made)


@pytest.mark.parametrize("name", [*PUBLISHED, "tiny"])
def test_parameters_are_those_of_the_model_part_by_part(name: str):
    model, counted = build(config_of(name), "meta"), count(find_facts(name))
    sizes = {part: value.numel() for part, value in model.named_parameters()}

    def of(prefix: str) -> int:
        return sum(size for part, size in sizes.items() if part.startswith(prefix))

    assert counted.total == sum(sizes.values()) == PUBLISHED.get(name, counted.total)
    assert counted.vision == of("model.visual.")
    assert counted.layer == of("model.language_model.layers.0.")
    assert counted.block == of("model.visual.blocks.0.")
    assert counted.embedding == of("model.language_model.embed_tokens.")
    assert counted.head == of("lm_head.")


def test_shipped_configs_go_by_hub_id():
    assert set(shipped()) == set(PUBLISHED)
    assert find_facts("Qwen/Qwen2.5-VL-7B-Instruct") == find_facts("Qwen2.5-VL-7B")


def test_adapters_are_counted_as_peft_makes_them():
    config = config_of("tiny")
    for key in ("config", "other"):
        lora = LoraConfig(rank=4) if key == "config" else LoraConfig(rank=3, targets=("q_proj", "down_proj"))
        model = build(config, "cpu")
        add_adapters(model, lora)
        made = sum(value.numel() for value in model.parameters() if value.requires_grad)
        assert lora_parameters(find_facts("tiny").text, lora) == made


@pytest.mark.parametrize("name", ["tiny", "Qwen3-VL-8B"])
def test_operations_are_what_torch_counts(name: str, tmp_path: Path):
    """With eager attention, whose masked upper triangle torch counts too."""
    config = config_of(name)
    if name != "tiny":
        config["text_config"] |= {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "head_dim": 16}
        config["text_config"] |= {"num_key_value_heads": 2, "intermediate_size": 96, "vocab_size": 500}
        config["text_config"]["rope_parameters"] = {
            "rope_type": "default",
            "rope_theta": 1e4,
            "mrope_section": [4, 2, 2],
        }
        config["vision_config"] |= {"depth": 3, "hidden_size": 32, "intermediate_size": 48, "num_heads": 2}
        config["vision_config"] |= {"out_hidden_size": 64, "deepstack_visual_indexes": [0, 1]}
    model = build(config, "cpu").eval()
    model.set_attn_implementation("eager")
    (tmp_path / "config.json").write_text(json.dumps(config))
    facts = find_facts(str(tmp_path))
    prompt, completed = 40, 24
    grids, vision = [[1, 8, 8]], config["vision_config"]
    pixels = torch.randn(64, 3 * vision["temporal_patch_size"] * vision["patch_size"] ** 2)
    with FlopCounterMode(display=False) as language, torch.no_grad():
        ids = torch.zeros(1, prompt + completed, dtype=torch.long)
        hidden = model.model.language_model(ids).last_hidden_state
        model.lm_head(hidden[:, -completed:])
    with FlopCounterMode(display=False) as tower, torch.no_grad():
        model.model.get_image_features(pixels, torch.tensor(grids), return_dict=True)
    text, tokens = facts.text, prompt + completed
    hidden_pairs = 4 * text.wide * text.layers * tokens * (tokens - 1) / 2
    # Beyond that torch sees the angles of rotary embedding, made by a product.
    assert language.get_total_flops() == pytest.approx(group_flops(text, prompt, completed, 1) + hidden_pairs, rel=2e-3)
    assert tower.get_total_flops() == pytest.approx(vision_flops(facts.vision, 64), rel=2e-3)


def test_seven_billion_come_to_the_figures_of_the_study():
    """TFLOP by hand (docs/benchmarks.md): 5.6 for a picture, 14.9 for 1124 tokens, 15.2 for 1024 new ones."""
    facts = find_facts("Qwen2.5-VL-7B")
    prompt = group_flops(facts.text, 1124, 0, 1)
    assert vision_flops(facts.vision, 4096) / 1e12 == pytest.approx(5.6, abs=0.3)
    assert prompt / 1e12 == pytest.approx(14.9, abs=0.3)
    assert (group_flops(facts.text, 1124, 1024, 1) - prompt) / 1e12 == pytest.approx(15.2, abs=0.4)


def test_training_is_three_passes_as_torch_counts_them():
    config, facts = config_of("tiny"), find_facts("tiny")
    model = build(config, "cpu")
    model.set_attn_implementation("eager")
    prompt, completed = 40, 11
    pixels = torch.randn(64, facts.vision.patch_values)
    with FlopCounterMode(display=False) as counter:
        hidden = model.model.language_model(torch.zeros(1, prompt + completed, dtype=torch.long)).last_hidden_state
        features = model.model.get_image_features(pixels, torch.tensor([[1, 8, 8]]), return_dict=True).pooler_output
        (model.lm_head(hidden[0, -completed:]).sum() + torch.cat(list(features)).sum()).backward()
    text, tokens = facts.text, prompt + completed
    hidden_pairs = 4 * text.wide * text.layers * tokens * (tokens - 1) / 2
    once = packed_flops(text, prompt, [completed]) + hidden_pairs + vision_flops(facts.vision, 64)
    # Nobody wants the gradient of the pixels.
    expected = update_factor(adapters=False, recompute=False) * once - 2 * pixels.numel() * facts.vision.hidden
    assert counter.get_total_flops() == pytest.approx(expected, rel=2e-3)


def test_ragged_completions_are_counted_one_by_one():
    text = find_facts("tiny").text
    assert packed_flops(text, 100, [50, 50]) == pytest.approx(group_flops(text, 100, 100, 2))
    # The same tokens, but one pair more than two and two.
    more = packed_flops(text, 3, [3, 1]) - packed_flops(text, 3, [2, 2])
    assert more == pytest.approx(4 * text.wide * text.layers)


def test_completions_share_their_prompt_and_see_no_siblings():
    text = find_facts("tiny").text
    apart, together = group_flops(text, 100, 50, 1), group_flops(text, 100, 100, 2)
    assert together - apart == pytest.approx(apart - group_flops(text, 100, 0, 1))
    assert together < 2 * apart - token_flops(text) * 99


def test_an_update_is_three_passes_four_with_layers_computed_again():
    assert [update_factor(adapters=a, recompute=r) for a in (False, True) for r in (False, True)] == [3, 4, 2, 3]


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({}, "cannot be read"),
        ({"config.json": "{"}, "is not valid JSON"),
        ({"config.json": '{"model_type": "llava"}'}, "model_type must be one of qwen2_5_vl, qwen3_vl"),
        ({"config.json": '{"model_type": "qwen3_vl", "text_config": {}}'}, "'hidden_size' is missing"),
        ({"config.json": '{"model_type": "qwen3_vl", "text_config": 3}'}, "lacks a dimension that the plan needs"),
        ({"config.json": b"\xff\xfe"}, "cannot be read .no UTF-8."),
    ],
)
def test_faults_of_a_model_folder(tmp_path: Path, files: dict[str, str | bytes], said: str):
    for name, text in files.items():
        (tmp_path / name).write_bytes(text.encode() if isinstance(text, str) else text)
    with pytest.raises(InputError, match=said):
        find_facts(str(tmp_path))


@pytest.mark.parametrize("value", ["128", 0, -1, None, 1e300, True, 10**12])
def test_dimensions_are_positive_numbers(value: object, tmp_path: Path):
    for part, key in (("text_config", "hidden_size"), ("vision_config", "patch_size")):
        config = config_of("tiny")
        config[part][key] = value
        (tmp_path / "config.json").write_text(json.dumps(config))
        with pytest.raises(InputError, match=f"{key} = .*must be a whole number from 1"):
            find_facts(str(tmp_path))


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("tokenizer.json", "{bad"),
        ("preprocessor_config.json", "[]"),
        ("preprocessor_config.json", '{"size": 3}'),
        ("preprocessor_config.json", "{"),
    ],
)
def test_faults_beside_the_config_are_told_with_their_file(name: str, text: str, tmp_path: Path):
    (tmp_path / "config.json").write_text(json.dumps(config_of("Qwen2.5-VL-7B")))
    (tmp_path / name).write_text(text)
    recipe = load_recipe("user_jsonl", ["problems.train=a", "problems.test=b", f"model.path={tmp_path}"])
    with pytest.raises(InputError, match=name):
        prompts_of(recipe, find_facts(str(tmp_path)).vision)


def test_a_model_that_is_not_here_is_named_with_those_that_are():
    with pytest.raises(InputError, match=r"'someone/else': its config is not here.*Qwen2.5-VL-72B"):
        find_facts("someone/else")
