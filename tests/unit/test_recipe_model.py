from __future__ import annotations

import pytest

from metis_rise.errors import InputError
from metis_rise.recipe import load_recipe
from metis_rise.recipe.faults import known_keys


def test_lora_is_off_until_asked_for_and_has_defaults():
    assert load_recipe("tiny").model.lora is None
    asked = load_recipe("tiny", ["model.lora={}"]).model.lora
    assert asked is not None
    assert asked.targets == ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
    one = load_recipe("tiny", ["model.lora.rank=8", "model.lora.targets=[q_proj]"]).model.lora
    assert one is not None and (one.rank, one.alpha, one.targets) == (8, asked.alpha, ("q_proj",))


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["model.lora={}", "model.freeze_vision=false"], "model.freeze_vision = false: must be true with model.lora"),
        (
            ["model.vision_lr_factor=0.1", "model.freeze_vision=true"],
            "model.vision_lr_factor = 0.1: must be 1.0 unless model.freeze_vision is false",
        ),
        (["model.vision_lr_factor=0", "model.freeze_vision=false"], "model.vision_lr_factor = 0: must be greater than"),
        (["model.autocast=true", "model.dtype=bfloat16"], "model.dtype = 'bfloat16': must be float32 with"),
        (["model.lora.rank=0"], "model.lora.rank = 0: must be greater than or equal to 1"),
        (["model.lora.targets=[lm_head]"], "model.lora.targets.0 = 'lm_head': must be 'q_proj', "),
        (["model.lora.rnak=3"], "unknown key model.lora.rnak; the nearest known key is model.lora.rank"),
        (["model.attention=flash"], "model.attention = 'flash': must be 'auto', 'sdpa', 'cascade' or 'varlen'"),
    ],
)
def test_faults_of_the_model_section(overrides: list[str], said: str):
    with pytest.raises(InputError) as caught:
        load_recipe("tiny", overrides)
    assert said in str(caught.value)


def test_a_section_that_may_be_null_has_plain_keys():
    assert {"model.lora", "model.lora.rank"} <= set(known_keys())
    assert not any(".lora.0" in key for key in known_keys())
