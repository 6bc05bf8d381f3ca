from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from metis_rise.errors import InputError
from metis_rise.recipe import Recipe, load_recipe, resolved, shipped_recipes
from metis_rise.recipe.base import Part
from metis_rise.recipe.faults import known_keys

JSONL = ["problems.train=a.jsonl", "problems.test=b.jsonl"]


def write(folder: Path, text: str) -> str:
    path = folder / "mine.yaml"
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_every_shipped_recipe_loads_under_its_own_name():
    assert {"tiny", "user_jsonl", "qwen2_5_vl_7b", "qwen2_5_vl_72b", "qwen3_vl_8b"} <= set(shipped_recipes())
    for name, text in shipped_recipes().items():
        recipe = load_recipe(name, [] if name in ("tiny", "evidence") else JSONL)
        assert recipe.name == name
        assert text.startswith("# ")


@pytest.mark.parametrize("name", sorted(name for name in shipped_recipes() if name.startswith("qwen")))
def test_every_source_that_a_recipe_s_numbers_name_is_in_its_legend(name: str):
    head, _, body = shipped_recipes()[name].partition("\nname:")
    explained = re.findall(r"\[([A-Z])\] ", head)
    assert sorted(set(explained)) == sorted(explained)
    assert set(re.findall(r"\[([A-Z])\]", body)) == set(explained)


@pytest.mark.parametrize("name", ["qwen2_5_vl_7b", "qwen2_5_vl_72b", "qwen3_vl_8b"])
def test_a_lora_variant_differs_where_adapters_do_and_in_its_machines(name: str):
    whole, adapters = (flat(resolved(load_recipe(each, JSONL))) for each in (name, f"{name}_lora"))
    differ = {key for key in whole.keys() | adapters.keys() if whole.get(key) != adapters.get(key)}
    may = {"name", "model.dtype", "model.autocast", "rl.learning_rate", "rl.micro_tokens", "sft.micro_tokens"}
    assert {key for key in differ - may if not key.startswith(("cluster.", "model.lora"))} == {
        "sft.stages.0.learning_rate",
        "sft.stages.1.learning_rate",
    }


def flat(value: Any, key: str = "") -> dict[str, Any]:
    """The leaves of plain JSON values by dotted key."""
    if not isinstance(value, dict | list):
        return {key: value}
    items = value.items() if isinstance(value, dict) else enumerate(value)
    return {k: v for name, each in items for k, v in flat(each, f"{key}.{name}".lstrip(".")).items()}


def test_resolved_recipe_is_json_with_nulls_and_makes_the_same_recipe_again():
    recipe = load_recipe("tiny", ["rl.group_size=4"])
    values = json.loads(json.dumps(resolved(recipe)))
    assert values["problems"]["limit_train"] is None
    assert values["rl"]["group_size"] == 4
    assert Recipe.model_validate(values) == recipe


def test_defaults_apply_to_sections_that_a_file_leaves_out(tmp_path: Path):
    recipe = load_recipe(write(tmp_path, "name: x\nproblems: {kind: world}\n"))
    assert (recipe.rl.objective, recipe.rl.clip_low, recipe.rl.kl_weight) == ("grpo", "auto", 0.0)
    assert [stage.name for stage in recipe.sft.stages] == ["self", "expert"]


def test_overrides_are_yaml_values_at_dotted_keys_and_list_numbers():
    recipe = load_recipe(
        "tiny",
        [
            "rl.learning_rate=3e-5",
            "prompt.system=null",
            "model.freeze_vision=false",
            "sft.stages.1.epochs=9",
            "sft.stages.0.data=[self, mastered]",
            "problems.limit_test=5",
        ],
    )
    assert recipe.rl.learning_rate == 3e-5
    assert recipe.prompt.system is None
    assert recipe.model.freeze_vision is False
    assert [stage.epochs for stage in recipe.sft.stages] == [2, 9]
    assert recipe.sft.stages[0].data == ("self", "mastered")
    assert recipe.problems.limit_test == 5


def test_the_objective_s_settings_are_auto_or_explicit_and_survive_json():
    own = load_recipe("tiny", ["rl.objective=cispo"])
    assert (own.rl.objective, own.rl.clip_low, own.rl.clip_high) == ("cispo", "auto", "auto")
    assert (own.rl.advantage_scale, own.rl.loss_aggregation) == ("auto", "auto")
    said = load_recipe("tiny", ["rl.clip_low=1", "rl.clip_high=3e-4", "rl.loss_aggregation=sequence"])
    assert (said.rl.clip_low, said.rl.clip_high, said.rl.loss_aggregation) == (1.0, 3e-4, "sequence")
    for recipe in (own, said):
        assert Recipe.model_validate(json.loads(json.dumps(resolved(recipe)))) == recipe


def test_the_later_of_two_overrides_wins_and_an_equals_sign_may_be_in_the_value():
    recipe = load_recipe("user_jsonl", [*JSONL, "problems.train=dir/a=b.jsonl"])
    assert recipe.problems.train == "dir/a=b.jsonl"


def test_every_field_has_a_description():
    def parts(part: type[Part]) -> list[type[Part]]:
        return [part, *(p for child in part.__subclasses__() for p in parts(child))]

    bare = [f"{p.__name__}.{n}" for p in parts(Part) for n, f in p.model_fields.items() if not f.description]
    assert bare == []
    assert "sft.stages.0.learning_rate" in known_keys()


def test_a_recipe_does_not_change_after_reading():
    with pytest.raises(ValueError, match="frozen"):
        load_recipe("tiny").rl.steps = 3


def test_recipe_is_importable_without_torch():
    code = (
        "import sys; sys.modules['torch'] = None; sys.modules['transformers'] = None\n"
        "from metis_rise.recipe import load_recipe; print(load_recipe('tiny').name)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "tiny\n"), done.stderr


def test_user_jsonl_has_no_default_path():
    with pytest.raises(InputError, match=r"rise run user_jsonl problems\.train=PATH problems\.test=PATH"):
        load_recipe("user_jsonl")
