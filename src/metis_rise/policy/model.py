"""The policy: the model that is sampled from and trained, with its tokenizer and processor."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn
from transformers import PreTrainedTokenizerBase

from metis_rise.errors import InputError
from metis_rise.policy import attention
from metis_rise.policy.families import read_json
from metis_rise.policy.features import FeatureCache, encode_prompts
from metis_rise.policy.folders import whole_folder
from metis_rise.policy.loading import find_folder, load_model, no_bars, pick_device, pick_dtype
from metis_rise.policy.processor import load_processor, pixel_bounds
from metis_rise.policy.prompt import Prompt, build_prompt

VISION_TOKENS = ("<|image_pad|>", "<|video_pad|>", "<|vision_start|>", "<|vision_end|>", "<|vision_pad|>")
TURN_TOKEN = "<|im_start|>"
# Ours, beside the weights: the system prompt that the model was trained with.
PROMPT_FILE = "metis_rise.json"


class Policy:
    """A vision-language model with everything needed to read prompts and write completions.

    Attributes:
        model: the transformers model, its language model using the attention function of `attention`.
        tokenizer, processor: as loaded from the model's folder.
        device: where the parameters are.
        eos_ids: ids that end a completion.
        pad_id: what fills the space beside shorter rows; never seen by the model's attention.
        banned_ids: ids that no sampler may draw: parts of a picture, a new turn, and ids with no token.
        version: how often the weights were updated since they were loaded from a base.
    """

    def __init__(self, model: Any, processor: Any, files: dict[str, Any], *, freeze_vision: bool = True) -> None:
        """A policy around loaded parts; `files` are the JSON side files that `save` writes beside the weights."""
        self.model = model
        self.processor = processor
        self.tokenizer: PreTrainedTokenizerBase = self.processor.tokenizer
        self.device: torch.device = next(model.parameters()).device
        self.freeze_vision = freeze_vision
        self.version = 0
        self._files = files
        self._features = FeatureCache()
        attention.install(model)
        self.core.visual.requires_grad_(not freeze_vision)
        self.eos_ids = _end_ids(model, self.tokenizer)
        pad = self.tokenizer.pad_token_id
        self.pad_id = int(pad) if isinstance(pad, int) else self.eos_ids[0]
        self.banned_ids = _banned_ids(self.tokenizer, self.model.config.text_config.vocab_size, self.eos_ids)

    @classmethod
    def load(
        cls,
        spec: str | Path,
        *,
        dtype: str = "float32",
        device: str = "auto",
        freeze_vision: bool = True,
        min_pixels: int | None = None,
        max_pixels: int | None = None,
    ) -> Policy:
        """Load a folder in Hugging Face layout, "tiny" (the base in this package) or a hub id.

        Args:
            spec: where the model is.
            dtype: of the parameters, whatever the stored one: float32, bfloat16 or float16.
            device: a torch device, or "auto" for CUDA where there is one.
            freeze_vision: leave the vision tower untrained; its features are then cached by picture.
            min_pixels: lower bound of a picture's area after resizing; None keeps the folder's.
            max_pixels: upper bound, likewise.

        Raises:
            InputError: nothing usable there.
        """
        folder = find_folder(str(spec))
        processor = load_processor(folder, min_pixels, max_pixels)
        files = {"preprocessor_config.json": read_json(folder / "preprocessor_config.json")}
        for name in ("video_preprocessor_config.json", PROMPT_FILE):
            if (folder / name).is_file():
                files[name] = read_json(folder / name)
        if min_pixels is not None or max_pixels is not None:
            # The saved model must be read with the bounds it was trained with, in either spelling.
            settings = files["preprocessor_config.json"]
            size = pixel_bounds(settings, min_pixels, max_pixels)
            settings |= {"size": size, "min_pixels": size["shortest_edge"], "max_pixels": size["longest_edge"]}
        model = load_model(folder, pick_dtype(dtype)).to(pick_device(device))
        return cls(model.eval(), processor, files, freeze_vision=freeze_vision)

    def trained_with(self, system: str | None) -> None:
        """Note the system prompt (None: the template's own) that `save` writes beside the weights."""
        self._files[PROMPT_FILE] = {"system": system}

    @property
    def knows_system(self) -> bool:
        """Whether the model's folder says what system prompt it was trained with; `system` is then that prompt."""
        return PROMPT_FILE in self._files

    @property
    def system(self) -> str | None:
        """The system prompt noted by `trained_with` or in the model's folder; None for the template's own."""
        system: str | None = self._files.get(PROMPT_FILE, {}).get("system")
        return system

    @property
    def core(self) -> Any:
        """The model without its output head: vision tower and language model."""
        return self.model.model

    def named_trainable(self) -> Iterator[tuple[str, nn.Parameter]]:
        """Names and parameters that are trained."""
        return ((name, value) for name, value in self.model.named_parameters() if value.requires_grad)

    def encode(self, messages: Sequence[dict[str, Any]], images: Sequence[Image.Image] = ()) -> Prompt:
        """The prompt of chat `messages` whose image parts stand for `images`, in order; ends where the answer begins.

        Raises InputError when the messages name another number of pictures than are given.
        """
        named = sum(
            part.get("type") == "image" for m in messages if not isinstance(m["content"], str) for part in m["content"]
        )
        if named != len(images):
            raise InputError(f"the messages name {named} picture(s), {len(images)} given")
        text = self.processor.apply_chat_template(list(messages), add_generation_prompt=True, tokenize=False)
        features = self.processor(text=[text], images=list(images) or None, return_tensors="pt")
        return build_prompt(self.core, features)

    def completion_ids(self, text: str) -> Tensor:
        """Token ids [C] int64 of a whole answer, its end token included: what SFT trains on."""
        ids = self.tokenizer.encode(text, add_special_tokens=False)
        return torch.tensor([*ids, self.eos_ids[0]])

    def decode(self, ids: Sequence[int]) -> str:
        """The text of a completion, without its end token where it has one."""
        body = ids[:-1] if ids and ids[-1] in self.eos_ids else ids
        text = self.tokenizer.decode(list(body), skip_special_tokens=False, clean_up_tokenization_spaces=False)
        assert isinstance(text, str)
        return text

    def image_features(self, prompts: Sequence[Prompt]) -> list[Tensor | None]:
        """Per prompt [1 + deepstack levels, image tokens, hidden], None without pictures.

        Each distinct picture goes through the vision tower once: in this call, and with a frozen tower in any call.
        """
        if not self.freeze_vision:
            return encode_prompts(self.core, prompts, self.device, None)
        with torch.no_grad():
            return encode_prompts(self.core, prompts, self.device, self._features)

    def load_weights(self, folder: Path) -> None:
        """Take over the weights saved in `folder` by `save`, values kept exactly where the stored type allows."""
        loaded = load_model(folder, self.model.dtype)
        self.model.load_state_dict(loaded.state_dict())
        self._features.clear()

    def save(self, folder: Path, dtype: str | None = None) -> None:
        """Write a folder that transformers and vLLM load as it is; it appears whole or not at all.

        `dtype` is the stored type of the weights, None for that of the parameters.
        """
        with whole_folder(Path(folder)) as target:
            self.write(target, dtype)

    def write(self, target: Path, dtype: str | None = None) -> None:
        """`save` into a folder that is there, without the guard against half-written results."""
        stored = self.model.dtype if dtype is None else pick_dtype(dtype)
        # The parameters themselves when no cast is needed: transformers tells tied weights by their storage.
        state = None if stored == self.model.dtype else _cast(self.model.state_dict(), stored)
        with no_bars():
            self.model.save_pretrained(target, state_dict=state)
        config = read_json(target / "config.json")
        config["dtype"] = str(stored).removeprefix("torch.")
        files = {**self._files, "config.json": config}
        self.tokenizer.save_pretrained(target)
        for name, content in files.items():
            (target / name).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
        (target / "chat_template.jinja").write_text(self.processor.chat_template, encoding="utf-8")


def _cast(state: dict[str, Tensor], dtype: torch.dtype) -> dict[str, Tensor]:
    by_storage: dict[int, Tensor] = {}
    for value in state.values():
        by_storage.setdefault(value.data_ptr(), value.to(dtype))
    return {name: by_storage[value.data_ptr()] for name, value in state.items()}


def _end_ids(model: Any, tokenizer: PreTrainedTokenizerBase) -> tuple[int, ...]:
    """The tokenizer's end of turn first (it ends what SFT trains on), then what generation_config.json adds."""
    ends = model.generation_config.eos_token_id
    listed = [] if ends is None else ends if isinstance(ends, list) else [ends]
    ids = [value for value in (tokenizer.eos_token_id, *listed) if isinstance(value, int)]
    if not ids:
        raise InputError("neither generation_config.json nor the tokenizer names an end token")
    return tuple(dict.fromkeys(ids))


def _banned_ids(tokenizer: PreTrainedTokenizerBase, vocabulary: int, eos_ids: Sequence[int]) -> tuple[int, ...]:
    known = tokenizer.get_vocab()
    named = {known[token] for token in (*VISION_TOKENS, TURN_TOKEN) if token in known}
    return tuple(sorted((named | set(range(len(tokenizer), vocabulary))) - set(eos_ids)))
