"""A processor for images and text that needs no torchvision.

transformers' own Qwen processors demand a video processor, and that one demands torchvision. `ProcessorMixin` reads
its parts off the signature of `__init__`, so a subclass whose signature has no `video_processor` never asks for one.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from transformers import AutoTokenizer, PreTrainedTokenizerBase
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil
from transformers.processing_utils import ProcessorMixin

from metis_rise.errors import InputError
from metis_rise.jinja_trial import try_chat_template
from metis_rise.policy.families import family_of, read_json
from metis_rise.problems.prompt import PROMPT_FILE

_END_OF_TURN = "<|im_end|>"
# What templates of others are tried with.
_PICTURE = {"type": "image"}
_CHATS = (
    ({"role": "user", "content": [_PICTURE, {"type": "text", "text": "How many?"}]},),
    (
        {"role": "system", "content": [{"type": "text", "text": "Think first. " * 20}]},
        {"role": "user", "content": [_PICTURE, {"type": "text", "text": "Look:\n" * 100}, _PICTURE]},
        {"role": "assistant", "content": [{"type": "text", "text": "<think> 3 + 4 = 7 </think><answer>7</answer>"}]},
        {"role": "user", "content": [{"type": "text", "text": "And now?"}]},
    ),
)


def load_processor(folder: Path, min_pixels: int | None = None, max_pixels: int | None = None) -> ProcessorMixin:
    """The processor of the model in `folder` (Hugging Face layout), for still images.

    `min_pixels` and `max_pixels` bound the area that a picture is resized to; None keeps the folder's own bounds.
    Raises InputError for a folder that is missing, incomplete or of an unknown family, or whose chat template does not
    come to an end.
    """
    family = family_of(folder)
    settings = read_json(folder / "preprocessor_config.json")
    size = pixel_bounds(settings, min_pixels, max_pixels)
    if size["shortest_edge"] > size["longest_edge"]:
        raise InputError(f"{folder}: min_pixels {size['shortest_edge']} is above max_pixels {size['longest_edge']}")
    images = Qwen2VLImageProcessorPil.from_dict({**settings, "size": size, "min_pixels": None, "max_pixels": None})
    tokenizer = _load_tokenizer(folder)
    template = _chat_template(folder, tokenizer)
    if template != _shipped_template():
        try_chat_template(template, f"{folder}: its chat template", _CHATS)
    processor: ProcessorMixin = _without_video(family.processor)(images, tokenizer, chat_template=template)
    return processor


def side_files(folder: Path, min_pixels: int | None = None, max_pixels: int | None = None) -> dict[str, Any]:
    """The JSON files of `folder` that a model trained from it keeps beside its weights, by name.

    Bounds that are not None are put in, in either spelling: the saved model must be read with those it was trained
    with.
    """
    files = {"preprocessor_config.json": read_json(folder / "preprocessor_config.json")}
    for name in ("video_preprocessor_config.json", PROMPT_FILE):
        if (folder / name).is_file():
            files[name] = read_json(folder / name)
    if min_pixels is not None or max_pixels is not None:
        settings = files["preprocessor_config.json"]
        size = pixel_bounds(settings, min_pixels, max_pixels)
        settings |= {"size": size, "min_pixels": size["shortest_edge"], "max_pixels": size["longest_edge"]}
    return files


class PromptLengths:
    """How many tokens prompts have, from the sizes (width, height) of their pictures alone."""

    def __init__(self, processor: Any) -> None:
        """Of prompts that `processor` makes."""
        self._processor = processor
        # Tokens of system turns: one begins all prompts of a run, and is longer than the rest.
        self._openings: dict[str, int] = {}
        # What a prompt has at most beside its texts, by its system text and the kinds of the parts.
        self._frames: dict[tuple[str, ...], int] = {}

    def exact(self, messages: Sequence[dict[str, Any]], sizes: Sequence[tuple[int, int]]) -> int:
        """Tokens of the prompt of chat `messages`."""
        opening, rest = self._rendered(messages)
        # In the text each picture is one placeholder.
        words = opening + len(self._processor.tokenizer.encode(rest))
        return words + sum(count - 1 for count in self._pictures(sizes))

    def bound(self, messages: Sequence[dict[str, Any]], sizes: Sequence[tuple[int, int]]) -> int:
        """Not less than `exact`, and found several times faster.

        A token of a byte-level tokenizer stands for one byte of text at least, and chat templates take texts as they
        are.
        """
        system, turns = _system_apart(messages)
        parts = [part for turn in turns for part in turn["content"]]
        texts = sum(_bytes(part["text"]) for part in parts if part["type"] == "text")
        kind = (system, *(part["type"] for part in parts))
        if kind not in self._frames:
            opening, rest = self._rendered(messages)
            self._frames[kind] = opening + _bytes(rest) - texts
        return self._frames[kind] + texts + sum(self._pictures(sizes))

    def _rendered(self, messages: Sequence[dict[str, Any]]) -> tuple[int, str]:
        """Tokens of the system turn, and the text after it; 0 and the whole text where no system text is given."""
        text = self._processor.apply_chat_template(list(messages), add_generation_prompt=True, tokenize=False)
        if not _system_apart(messages)[0]:
            return 0, text
        # No token reaches over the end of a turn, which is one itself.
        opening, end, rest = text.partition(_END_OF_TURN)
        if opening not in self._openings:
            self._openings[opening] = len(self._processor.tokenizer.encode(opening))
        return self._openings[opening], end + rest

    def _pictures(self, sizes: Sequence[tuple[int, int]]) -> list[int]:
        images = self._processor.image_processor
        merged = int(images.merge_size) ** 2
        return [images.get_number_of_image_patches(height, width) // merged for width, height in sizes]


def _system_apart(messages: Sequence[dict[str, Any]]) -> tuple[str, Sequence[dict[str, Any]]]:
    """The system text, "" without one, and the other turns."""
    if messages[0]["role"] != "system":
        return "", messages
    return "".join(part["text"] for part in messages[0]["content"]), messages[1:]


def _bytes(text: str) -> int:
    # The form that Qwen's tokenizers bring texts into first; it may be longer.
    return len(unicodedata.normalize("NFC", text).encode())


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
    for name in ("tokenizer.json", "tokenizer_config.json"):
        if (folder / name).is_file():
            read_json(folder / name)
    try:
        tokenizer = AutoTokenizer.from_pretrained(str(folder), local_files_only=True, trust_remote_code=False)
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        # What transformers lets through where keys are missing or of another type.
        why = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        raise InputError(f"{folder}: no usable tokenizer ({why})") from error
    assert isinstance(tokenizer, PreTrainedTokenizerBase)
    return tokenizer


def _chat_template(folder: Path, tokenizer: PreTrainedTokenizerBase) -> str:
    """The folder's template: chat_template.jinja, else the older homes that published folders use."""
    if (path := folder / "chat_template.jinja").is_file():
        try:
            return path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"{path}: cannot be read ({error}); restore it from the model's source") from error
    if (path := folder / "chat_template.json").is_file():
        return str(read_json(path)["chat_template"])
    if isinstance(tokenizer.chat_template, str):
        return tokenizer.chat_template
    raise InputError(f"{folder}: has no chat_template.jinja")


@cache
def _shipped_template() -> str:
    """That of the tiny model, whose loops are known to end: nothing is started for it."""
    return (
        resources.files("metis_rise").joinpath("assets", "tiny_base", "chat_template.jinja").read_text(encoding="utf-8")
    )


def _without_video(base: Any) -> Any:
    def build(
        self: Any, image_processor: Any = None, tokenizer: Any = None, chat_template: str | None = None, **kwargs: Any
    ) -> None:
        base.__init__(self, image_processor, tokenizer, None, chat_template=chat_template, **kwargs)

    # The name goes into saved files as `processor_class`, so it stays that of transformers.
    return type(base.__name__, (base,), {"__init__": build, "__module__": __name__})
