"""The folder that a vLLM server is given: the model's own, or links to it beside what is missing."""

from __future__ import annotations

import json
from pathlib import Path

from metis_rise.policy.families import check_config, read_json

PICTURES = "preprocessor_config.json"
VIDEOS = "video_preprocessor_config.json"
VIDEO_PROCESSORS = {"qwen2_5_vl": "Qwen2VLVideoProcessor", "qwen3_vl": "Qwen3VLVideoProcessor"}


def serving_folder(folder: Path, scratch: Path) -> tuple[Path, list[str]]:
    """`folder` itself or, where a file is missing, a folder in `scratch` that links to its files; and notes.

    vLLM reads a video processor's settings whether or not there are videos.

    Raises:
        InputError: no model of a known family there.
    """
    check_config(folder)
    if (folder / VIDEOS).is_file():
        return folder, []
    settings = read_json(folder / PICTURES)
    settings.pop("image_processor_type", None)
    settings["video_processor_type"] = VIDEO_PROCESSORS[read_json(folder / "config.json")["model_type"]]
    target = scratch / "model"
    target.mkdir()
    for path in folder.iterdir():
        (target / path.name).symlink_to(path.resolve())
    (target / VIDEOS).write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")
    return target, [f"{folder}: has no {VIDEOS}; served with one made from its {PICTURES}"]
