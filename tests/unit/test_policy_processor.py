from __future__ import annotations

import json
from pathlib import Path

import pytest
import tiny
import torch
from transformers import AutoTokenizer
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

from metis_rise.errors import InputError
from metis_rise.policy.model import Policy
from metis_rise.policy.processor import PromptLengths, load_processor

SIZES = [(112, 112), (28, 28), (300, 90), (57, 201), (640, 480)]


@pytest.fixture(scope="module", params=["qwen2_5_vl", "qwen3_vl"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.write_folder(tmp_path_factory.mktemp("model"), request.param)


@pytest.mark.parametrize("size", SIZES)
def test_equal_to_transformers_parts(folder: Path, size: tuple[int, int]) -> None:
    picture = tiny.picture(1, *size)
    images = Qwen2VLImageProcessorPil.from_pretrained(folder)(images=[picture], return_tensors="pt")
    merged = int(images["image_grid_thw"].prod()) // 4
    text = (
        "<|im_start|>user\n<|vision_start|>" + "<|image_pad|>" * merged + "<|vision_end|>How many dots?<|im_end|>\n"
        "<|im_start|>assistant\n"
    )
    expected = AutoTokenizer.from_pretrained(folder)(text, return_tensors="pt")["input_ids"]

    processor = load_processor(folder)
    rendered = processor.apply_chat_template(tiny.message("How many dots?", 1), add_generation_prompt=True)
    got = processor(text=[rendered], images=[picture], return_tensors="pt")

    assert torch.equal(got["input_ids"], expected)
    assert torch.equal(got["pixel_values"], images["pixel_values"])
    assert torch.equal(got["image_grid_thw"], images["image_grid_thw"])


def test_encode_is_the_processor_with_the_models_positions(folder: Path) -> None:
    policy = Policy.load(folder)
    pictures = [tiny.picture(1, 112, 112), tiny.picture(2, 57, 201)]
    messages = tiny.message("Compare them.", 2)
    prompt = policy.encode(messages, pictures)
    rendered = policy.processor.apply_chat_template(messages, add_generation_prompt=True)
    features = policy.processor(text=[rendered], images=pictures, return_tensors="pt")
    positions, delta = policy.core.get_rope_index(
        features["input_ids"],
        mm_token_type_ids=features["mm_token_type_ids"],
        image_grid_thw=features["image_grid_thw"],
    )
    assert torch.equal(prompt.input_ids, features["input_ids"][0])
    assert torch.equal(prompt.position_ids, positions[:, 0])
    assert prompt.next_position == len(prompt) + int(delta)
    assert prompt.pixel_values is not None and torch.equal(prompt.pixel_values, features["pixel_values"])


def test_keys_tell_pictures_apart(folder: Path) -> None:
    policy = Policy.load(folder)
    one, two = tiny.picture(1), tiny.picture(2)
    first = policy.encode(tiny.message("a", 2), [one, two]).key
    assert first == policy.encode(tiny.message("other words", 2), [one.copy(), two]).key
    assert first != policy.encode(tiny.message("a", 2), [two, one]).key
    assert policy.encode(tiny.message("a")).key == ""


def test_pixel_bounds_are_obeyed(folder: Path) -> None:
    free = load_processor(folder).image_processor(images=[tiny.picture(1, 640, 480)])
    bound = load_processor(folder, max_pixels=64 * 64).image_processor(images=[tiny.picture(1, 640, 480)])
    patch = 14 if "qwen2_5" in (folder / "config.json").read_text() else 16
    assert int(bound["image_grid_thw"].prod()) * patch**2 <= 64 * 64 < int(free["image_grid_thw"].prod()) * patch**2
    raised = load_processor(folder, min_pixels=128 * 128).image_processor(images=[tiny.picture(1, 32, 32)])
    assert int(raised["image_grid_thw"].prod()) * patch**2 >= 128 * 128


def test_older_homes_of_the_chat_template(folder: Path, tmp_path: Path) -> None:
    tiny.write_folder(tmp_path)
    (tmp_path / "chat_template.jinja").unlink()
    with pytest.raises(InputError, match=r"chat_template\.jinja"):
        load_processor(tmp_path)
    (tmp_path / "chat_template.json").write_text(json.dumps({"chat_template": tiny.TEMPLATE}))
    assert load_processor(tmp_path).chat_template == tiny.TEMPLATE


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("config.json", None, "config.json: cannot be read"),
        ("config.json", "{", "not valid JSON"),
        ("config.json", '{"model_type": "llama"}', "model_type 'llama' is not one of qwen2_5_vl, qwen3_vl"),
        ("preprocessor_config.json", None, "preprocessor_config.json: cannot be read"),
        ("tokenizer.json", None, "no usable tokenizer"),
        ("model.safetensors", None, "weights cannot be loaded"),
        ("model.safetensors", "torn", "weights cannot be loaded"),
    ],
)
def test_faults_of_a_folder_are_one_line(tmp_path: Path, name: str, content: str | None, says: str) -> None:
    tiny.write_folder(tmp_path)
    (tmp_path / name).unlink()
    if content is not None:
        (tmp_path / name).write_text(content)
    with pytest.raises(InputError, match=says) as caught:
        Policy.load(tmp_path)
    assert "\n" not in str(caught.value)


def test_missing_tensors_are_an_error_not_random_weights(tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    tiny.write_folder(tmp_path)
    tensors = load_file(tmp_path / "model.safetensors")
    del tensors[next(name for name in tensors if "layers.1.mlp.up_proj" in name)]
    save_file(tensors, tmp_path / "model.safetensors", {"format": "pt"})
    with pytest.raises(InputError, match="lack 1 tensor"):
        Policy.load(tmp_path)


def test_hub_id_out_of_reach(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(InputError, match="HF_HUB_OFFLINE"):
        Policy.load("no-such-owner/no-such-model")
    with pytest.raises(InputError, match="no such folder"):
        Policy.load("./no/such/folder")


@pytest.mark.parametrize("system", [None, "Think first.\nThen answer, na\u00efve or not."])
def test_a_prompt_is_measured_without_decoding_its_pictures(folder: Path, system: str | None) -> None:
    policy = Policy.load(folder)
    lengths = PromptLengths(policy.processor)
    # The last one is longer in the form that tokenizers bring it into.
    for text in ("How many dots?", "\nWhy?\n", "e\u0301 \u0958\u0958\u0958"):
        for sizes in ([], SIZES[:1], SIZES[1:3], SIZES):
            messages = tiny.message(text, len(sizes))
            if system is not None:
                messages.insert(0, {"role": "system", "content": [{"type": "text", "text": system}]})
            whole = policy.encode(messages, [tiny.picture(1, *size) for size in sizes])
            assert lengths.exact(messages, sizes) == len(whole)
            assert len(whole) <= lengths.bound(messages, sizes) <= len(whole) + 400
