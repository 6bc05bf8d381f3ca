"""A processor for images and text that needs no torchvision.

transformers' own Qwen processors demand a video processor, and that one demands torchvision. `ProcessorMixin` reads
its parts off the signature of `__init__`, so a subclass whose signature has no `video_processor` never asks for one.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from transformers import AutoTokenizer, PreTrainedTokenizerBase
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil
from transformers.processing_utils import ProcessorMixin

from metis_rise.errors import InputError
from metis_rise.policy.families import family_of, read_json


def load_processor(folder: Path, min_pixels: int | None = None, max_pixels: int | None = None) -> ProcessorMixin:
    """The processor of the model in `folder` (Hugging Face layout), for still images.

    `min_pixels` and `max_pixels` bound the area that a picture is resized to; None keeps the folder's own bounds.
    Raises InputError for a folder that is missing, incomplete or of an unknown family.
    """
    family = family_of(folder)
    settings = read_json(folder / "preprocessor_config.json")
    size = pixel_bounds(settings, min_pixels, max_pixels)
    if size["shortest_edge"] > size["longest_edge"]:
        raise InputError(f"{folder}: min_pixels {size['shortest_edge']} is above max_pixels {size['longest_edge']}")
    images = Qwen2VLImageProcessorPil.from_dict({**settings, "size": size, "min_pixels": None, "max_pixels": None})
    tokenizer = _load_tokenizer(folder)
    processor: ProcessorMixin = _without_video(family.processor)(
        images, tokenizer, chat_template=_chat_template(folder, tokenizer)
    )
    return processor


def prompt_tokens(processor: Any, messages: Sequence[dict[str, Any]], sizes: Sequence[tuple[int, int]]) -> int:
    """Tokens of the prompt of chat `messages`, from the sizes (width, height) of its pictures alone."""
    text = processor.apply_chat_template(list(messages), add_generation_prompt=True, tokenize=False)
    images = processor.image_processor
    patches: list[int] = [images.get_number_of_image_patches(height, width) for width, height in sizes]
    # In the text each picture is one placeholder.
    words: list[int] = processor.tokenizer.encode(text)
    return len(words) + sum(count // int(images.merge_size) ** 2 - 1 for count in patches)


def pixel_bounds(settings: dict[str, Any], min_pixels: int | None, max_pixels: int | None) -> dict[str, int]:
    """The `size` entry of preprocessor settings, its old spellings read and the given bounds (not None) put in."""
    size: dict[str, int] = dict(settings.get("size") or Qwen2VLImageProcessorPil.size)
    low = (min_pixels, settings.get("min_pixels"), size.get("shortest_edge"), size.get("min_pixels"))
    high = (max_pixels, settings.get("max_pixels"), size.get("longest_edge"), size.get("max_pixels"))
    first = [next((value for value in bound if value is not None), None) for bound in (low, high)]
    if first[0] is None or first[1] is None:
        raise InputError("preprocessor_config.json: `size` names no shortest_edge and longest_edge")
    return {"shortest_edge": int(first[0]), "longest_edge": int(first[1])}


def _load_tokenizer(folder: Path) -> PreTrainedTokenizerBase:
    try:
        tokenizer = AutoTokenizer.from_pretrained(str(folder), local_files_only=True)
    except (OSError, ValueError) as error:
        raise InputError(f"{folder}: no usable tokenizer ({str(error).splitlines()[0]})") from error
    assert isinstance(tokenizer, PreTrainedTokenizerBase)
    return tokenizer


def _chat_template(folder: Path, tokenizer: PreTrainedTokenizerBase) -> str:
    """The folder's template: chat_template.jinja, else the older homes that published folders use."""
    if (path := folder / "chat_template.jinja").is_file():
        return path.read_text(encoding="utf-8")
    if (path := folder / "chat_template.json").is_file():
        return str(read_json(path)["chat_template"])
    if isinstance(tokenizer.chat_template, str):
        return tokenizer.chat_template
    raise InputError(f"{folder}: has no chat_template.jinja")


def _without_video(base: Any) -> Any:
    def build(
        self: Any, image_processor: Any = None, tokenizer: Any = None, chat_template: str | None = None, **kwargs: Any
    ) -> None:
        base.__init__(self, image_processor, tokenizer, None, chat_template=chat_template, **kwargs)

    # The name goes into saved files as `processor_class`, so it stays that of transformers.
    return type(base.__name__, (base,), {"__init__": build, "__module__": __name__})
