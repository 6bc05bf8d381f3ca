"""The policy: the model that is sampled from and trained, with its tokenizer and processor."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import torch
from PIL import Image
from torch import Tensor, nn
from transformers import PreTrainedTokenizerBase

from metis_rise.policy import lora as adapters
from metis_rise.policy.adapter_folder import base_name, write_adapter_folder
from metis_rise.policy.attention import install
from metis_rise.policy.backends import choose
from metis_rise.policy.card import write_card
from metis_rise.policy.cutting import Cut, cut
from metis_rise.policy.families import check_config
from metis_rise.policy.features import FeatureCache, Picture, distinct_pictures, encode_pictures, join_features
from metis_rise.policy.folders import whole_folder
from metis_rise.policy.loading import find_folder, load_model, pick_device, pick_dtype, refuse_contradictions
from metis_rise.policy.processor import load_processor, side_files
from metis_rise.policy.prompt import Prompt, prompt_of
from metis_rise.policy.recompute import recompute_layers
from metis_rise.policy.token_ids import banned_ids, end_ids
from metis_rise.policy.writing import write_model, write_processor
from metis_rise.problems.prompt import PROMPT_FILE
from metis_rise.recipe.model import LoraConfig

if TYPE_CHECKING:
    from metis_rise.policy.parallel.mesh import Parallel


class Policy:
    """A vision-language model with everything needed to read prompts and write completions.

    Attributes:
        model: the transformers model, its language model using the attention function of `attention`.
        tokenizer, processor: as loaded from the model's folder.
        device: where the parameters are.
        eos_ids: ids that end a completion.
        pad_id: what fills the space beside shorter rows; never seen by the model's attention.
        banned_ids: ids that no sampler may draw: parts of a picture, a new turn, and ids with no token.
        lora: how the adapters were made that are trained instead of the weights; None without adapters.
        base: how saved adapters name the model that they belong to.
        placeholder_ids: ids that stand for a piece of a picture (the first) or of a video; no completion may hold them.
        patches_per_token: patches that the vision tower merges into one image token.
        backend: how the prompt of a packed row is attended to, and why so.
        version: how often the weights were updated since they were loaded from a base.
        encoded: pictures that went through the vision tower so far.
    """

    def __init__(
        self,
        model: Any,
        processor: Any,
        files: dict[str, Any],
        *,
        freeze_vision: bool = True,
        lora: LoraConfig | None = None,
        gradient_checkpointing: bool = False,
        autocast: bool = False,
        attention: str = "auto",
        base: str = "",
        device: torch.device | None = None,
    ) -> None:
        """A policy around loaded parts; `files` are the JSON side files that `save` writes beside the weights.

        The keywords are those of `load`, but for `base` and for `device`: where it computes, None for its parameters'.
        """
        self.model = model
        self.processor = processor
        self.tokenizer: PreTrainedTokenizerBase = self.processor.tokenizer
        self.device: torch.device = next(model.parameters()).device if device is None else device
        self.dtype: torch.dtype = model.dtype
        self.freeze_vision = freeze_vision
        self.lora = lora
        self.base = base
        self.version = 0
        self.encoded = 0
        self.placeholder_ids: tuple[int, ...] = (model.config.image_token_id, model.config.video_token_id)
        self.patches_per_token: int = model.config.vision_config.spatial_merge_size**2
        self.backend = choose(attention, self.device, torch.bfloat16 if autocast else self.dtype)
        self._autocast = autocast
        self._files = files
        self._features = FeatureCache()
        refuse_contradictions(self.dtype, autocast, lora is not None, freeze_vision)
        install(model)
        self.core.visual.requires_grad_(not freeze_vision)
        if lora is not None:
            adapters.add_adapters(model, lora)
        if gradient_checkpointing:
            for part in [self.core.language_model, *([] if freeze_vision else [self.core.visual])]:
                recompute_layers(part)
        self.eos_ids = end_ids(model, self.tokenizer)
        pad = self.tokenizer.pad_token_id
        self.pad_id = int(pad) if isinstance(pad, int) else self.eos_ids[0]
        self.banned_ids = banned_ids(self.tokenizer, self.model.config.text_config.vocab_size, self.eos_ids)

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
        lora: LoraConfig | None = None,
        gradient_checkpointing: bool = False,
        autocast: bool = False,
        attention: str = "auto",
        parallel: Parallel | None = None,
    ) -> Policy:
        """Load a folder in Hugging Face layout, "tiny" (the base in this package) or a hub id.

        Args:
            spec: where the model is.
            dtype: of the parameters, whatever the stored one: float32, bfloat16 or float16.
            device: a torch device, or "auto" for CUDA where there is one.
            freeze_vision: leave the vision tower untrained; its features are then cached by picture.
            min_pixels: lower bound of a picture's area after resizing; None keeps the folder's.
            max_pixels: upper bound, likewise.
            lora: train adapters made so instead of the weights, which stay; needs a frozen vision tower.
            gradient_checkpointing: within `updating`, layers keep their input only and run again in the backward.
            autocast: within `precision`, compute in bfloat16; needs float32 parameters.
            attention: how the prompt of a packed row is attended to: auto, sdpa, cascade or varlen (`backends`).
            parallel: the processes that share it, each keeping a part, on the device that it names (collective).

        Raises:
            InputError: nothing usable there, settings that exclude each other, or no peft for `lora`.
        """
        folder = find_folder(str(spec))
        check_config(folder)
        if lora is not None:
            adapters.find_peft()
        processor = load_processor(folder, min_pixels, max_pixels)
        files = side_files(folder, min_pixels, max_pixels)
        settings: dict[str, Any] = {"freeze_vision": freeze_vision, "lora": lora, "base": base_name(str(spec), folder)}
        settings |= {"gradient_checkpointing": gradient_checkpointing, "autocast": autocast, "attention": attention}
        if parallel is not None:
            # It is made of this class, so it cannot be known here before.
            from metis_rise.policy.parallel.policy import SharedPolicy

            empty = SharedPolicy.empty(folder, pick_dtype(dtype))
            return SharedPolicy(empty, folder, processor, files, parallel=parallel, **settings)
        model = load_model(folder, pick_dtype(dtype)).to(pick_device(device))
        return cls(model.eval(), processor, files, **settings)

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
    def computes_in(self) -> torch.dtype:
        """The number format of its forward passes: bfloat16 with `autocast`, else that of the parameters."""
        return torch.bfloat16 if self._autocast else self.dtype

    @property
    def core(self) -> Any:
        """The model without its output head: vision tower and language model."""
        return self.model.model

    def precision(self) -> contextlib.AbstractContextManager[Any]:
        """Where every forward pass belongs: bfloat16 where the policy was loaded with `autocast`, else no change.

        Enter it anew for each pass: within one, weights that were cast are not cast again after an update.
        """
        if self._autocast:
            return torch.autocast(self.device.type, torch.bfloat16)
        return contextlib.nullcontext()

    @contextlib.contextmanager
    def updating(self) -> Iterator[None]:
        """Where forward and backward passes of an update belong: layers are recomputed here if they are anywhere."""
        self.model.train()
        try:
            yield
        finally:
            self.model.eval()

    def without_adapters(self) -> contextlib.AbstractContextManager[None]:
        """Within it the policy is the one that its adapters were added to: the reference of a KL penalty.

        Backward passes belong outside. ValueError when the policy has no adapters.
        """
        if self.lora is None:
            raise ValueError("the policy has no adapters to switch off")
        return adapters.adapters_off(self.model)

    def named_trainable(self) -> Iterator[tuple[str, nn.Parameter]]:
        """Names and parameters that are trained."""
        return ((name, value) for name, value in self.model.named_parameters() if value.requires_grad)

    def encode(self, messages: Sequence[dict[str, Any]], images: Sequence[Image.Image] = ()) -> Prompt:
        """The prompt of chat `messages` whose image parts stand for `images`, in order; ends where the answer begins.

        Raises InputError when the messages name another number of pictures than are given.
        """
        return self.prompt(messages, [cut(self.processor.image_processor, image) for image in images])

    def prompt(self, messages: Sequence[dict[str, Any]], pictures: Sequence[Cut]) -> Prompt:
        """`encode` with pictures that are cut already."""
        return prompt_of(self.core, self.processor, messages, pictures)

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

    def image_features(
        self, prompts: Sequence[Prompt], known: Mapping[str, Tensor] = MappingProxyType({})
    ) -> list[Tensor | None]:
        """Per prompt [1 + deepstack levels, image tokens, hidden], None without pictures; see `features_of`."""
        found = self.features_of(prompts, known)
        return [join_features(prompt, found) for prompt in prompts]

    def features_of(
        self, prompts: Sequence[Prompt], known: Mapping[str, Tensor] = MappingProxyType({})
    ) -> dict[str, Tensor]:
        """Features of the pictures of `prompts` by digest.

        Each distinct picture goes through the vision tower once: in this call, and with a frozen tower in any call.
        `known` are features that are to be taken as they are.
        """
        fresh = {key: picture for key, picture in self.unknown_pictures(prompts).items() if key not in known}
        cached = {key: self._features.get(key) for key in distinct_pictures(prompts) if key not in known}
        found = dict(known) | {key: features for key, features in cached.items() if features is not None}
        encoded = self.encode_pictures(fresh)
        if self.freeze_vision:
            for key, features in encoded.items():
                self._features.put(key, features)
        return found | encoded

    def unknown_pictures(self, prompts: Sequence[Prompt]) -> dict[str, Picture]:
        """Pictures of `prompts` by digest whose features are not in the cache; a trained tower has none in it."""
        pictures = distinct_pictures(prompts)
        return {key: picture for key, picture in pictures.items() if self._features.get(key) is None}

    def encode_pictures(self, pictures: Mapping[str, Picture]) -> dict[str, Tensor]:
        """Features of pictures by digest, with gradient where the vision tower is trained."""
        self.encoded += len(pictures)
        with self.precision(), torch.set_grad_enabled(torch.is_grad_enabled() and not self.freeze_vision):
            encoded = encode_pictures(self.core, list(pictures.values()), self.device)
        return dict(zip(pictures, encoded, strict=True))

    def load_weights(self, folder: Path) -> None:
        """Take over the weights saved in `folder` by `save`, values kept exactly where the stored type allows.

        ValueError for a policy with adapters, which `save` has merged: `checkpoint.load_weights` puts those back.
        """
        if self.lora is not None:
            raise ValueError("adapters cannot be told from the weights that they were merged into")
        loaded = load_model(folder, self.dtype)
        self.model.load_state_dict(loaded.state_dict())
        self._features.clear()

    def save(self, folder: Path, dtype: str | None = None) -> None:
        """Write a folder that transformers and vLLM load as it is; it appears whole or not at all.

        Adapters are merged into the weights written, and lie in FOLDER/adapter too; those in memory stay as they are.
        `dtype` is the stored type of the weights, None for that of the parameters.
        """
        with whole_folder(Path(folder)) as target:
            self.write(target, dtype)

    def write(self, target: Path, dtype: str | None = None) -> None:
        """`save` into a folder that is there, without the guard against half-written results."""
        stored = self.dtype if dtype is None else pick_dtype(dtype)
        state = self.model.state_dict() if self.lora is None else adapters.merged_state(self.model, stored)
        write_model(target, self.model, state, stored)
        write_processor(target, self.processor, self._files)
        write_card(target, type(self.model).__name__, self.system)
        if self.lora is not None:
            write_adapter_folder(target, adapters.adapter_values(self.model), self.lora, self.base)

    def gathered(self) -> contextlib.AbstractContextManager[None]:
        """Within it the weights are whole in every process that shares them, and each may sample by itself."""
        return contextlib.nullcontext()
