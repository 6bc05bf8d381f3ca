from __future__ import annotations

import json
from pathlib import Path

import pytest
import tiny

from metis_rise.errors import InputError
from metis_rise.policy.families import check_config, family_of
from metis_rise.policy.model import Policy


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.write_folder(tmp_path_factory.mktemp("model"))


def with_text(source: Path, target: Path, **settings: object) -> Path:
    """A folder with the source's config.json, `settings` put into its text_config."""
    config = json.loads((source / "config.json").read_text())
    config["text_config"] |= settings
    (target / "config.json").write_text(json.dumps(config))
    return target


def test_another_family_is_told_what_it_needs(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "llava"}')
    with pytest.raises(InputError) as caught:
        family_of(tmp_path)
    message = str(caught.value)
    assert message.startswith(
        f"{tmp_path / 'config.json'}: model_type 'llava' is not one of qwen2_5_vl, qwen3_vl; another family needs"
    )
    for part in ("policy/families.py", "get_rope_index", "get_image_features", "mm_encoder_outputs", "rise_layout"):
        assert part in message
    assert "\n" not in message


def test_sliding_windows_are_refused(source: Path, tmp_path: Path) -> None:
    sliding = {"use_sliding_window": True, "sliding_window": 64, "max_window_layers": 3, "layer_types": None}
    folder = with_text(source, tmp_path, **sliding)
    with pytest.raises(InputError, match=r"2 layers \(the first is 3\) attend in a sliding window of 64 "):
        check_config(folder)
    with pytest.raises(InputError, match="sliding window"):
        Policy.load(folder)


def test_a_window_that_no_layer_uses_is_no_hindrance(source: Path, tmp_path: Path) -> None:
    check_config(with_text(source, tmp_path, sliding_window=64, max_window_layers=1, layer_types=None))


def test_positions_that_depend_on_a_neighbour_are_refused(source: Path, tmp_path: Path) -> None:
    config = json.loads((source / "config.json").read_text())["text_config"]
    rope = config["rope_parameters"] | {"rope_type": "dynamic", "factor": 2.0}
    with pytest.raises(InputError, match=r"rope_type 'dynamic' is not supported.*'default' or 'yarn'"):
        check_config(with_text(source, tmp_path, rope_parameters=rope))


def test_dropout_is_refused(source: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"attention_dropout = 0\.1 is not supported"):
        check_config(with_text(source, tmp_path, attention_dropout=0.1))


def test_a_config_that_transformers_refuses_is_one_line(source: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"config\.json: transformers cannot read it .*hidden_size") as caught:
        check_config(with_text(source, tmp_path, hidden_size="wide"))
    assert "\n" not in str(caught.value)
