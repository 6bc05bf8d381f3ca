"""What `gpu_rl_step.py` works on: a model of published dimensions with random weights, its prompts, and its recipe."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib import resources
from math import isqrt
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from transformers import Qwen2_5_VLConfig

from gpu.shapes import SEVEN_B, make_model
from metis_rise.bench.workbench import FILLER, TOKEN_SIDE
from metis_rise.cluster import prompts as planned
from metis_rise.cluster.workload import Workload
from metis_rise.policy.loading import TINY, find_folder
from metis_rise.policy.model import Policy
from metis_rise.policy.processor import load_processor
from metis_rise.policy.prompt import Prompt
from metis_rise.problems.images import ImageStore
from metis_rise.problems.prompt import build_messages
from metis_rise.recipe import Recipe, load_recipe
from metis_rise.stages.prompts import Prompts
from metis_rise.types import AnswerType, Problem


@dataclass(frozen=True, slots=True)
class Sizes:
    """A model and how much of what it does in a step.

    model: a recipe's `model.path`, of which the config alone is read.
    groups, group_size, completion_tokens: of an RL step; every completion has that length.
    image_tokens, text_tokens: of a prompt; the first a square number.
    examples: of an SFT step, each of a problem of its own.
    micro_tokens: of a pass. batch_tokens: of the sampler.
    """

    model: str
    groups: int
    group_size: int
    completion_tokens: int
    image_tokens: int
    text_tokens: int
    examples: int
    micro_tokens: int
    batch_tokens: int

    @property
    def prompt_tokens(self) -> int:
        """Of a prompt, its picture included."""
        return self.image_tokens + self.text_tokens


THREE_B = Sizes("Qwen2.5-VL-3B", 16, 8, 512, 1024, 128, 64, 16384, 262_144)
SMALL = Sizes("tiny", 4, 4, 16, 16, 64, 8, 1024, 32_768)


def recipe_of(sizes: Sizes, gpu: str | None) -> Recipe:
    """The recipe of one process on one GPU of the kind `gpu`, or on this machine's CPU."""
    on_gpu = [f"cluster.gpu={gpu}", "cluster.gpus_per_node=1", "model.device=cuda", "model.dtype=bfloat16"]
    on_cpu = ["model.device=cpu", "model.dtype=float32"]
    settings = [
        # They are not read: the workload is known.
        *("problems.train=made-up.jsonl", "problems.test=made-up.jsonl"),
        *(on_cpu if gpu is None else on_gpu),
        f"model.path={sizes.model}",
        f"model.max_pixels={sizes.image_tokens * TOKEN_SIDE**2}",
        "model.freeze_vision=true",
        "model.gradient_checkpointing=true",
        f"sampling.max_tokens={sizes.completion_tokens}",
        f"sampling.batch_tokens={sizes.batch_tokens}",
        f"rl.prompts_per_step={sizes.groups}",
        f"rl.group_size={sizes.group_size}",
        f"rl.micro_tokens={sizes.micro_tokens}",
        "rl.overlong_buffer=0",
        f"sft.micro_tokens={sizes.micro_tokens}",
        *(f"sft.stages.{number}.batch_size={sizes.examples}" for number in range(2)),
    ]
    return load_recipe("user_jsonl", settings)


def work_of(sizes: Sizes) -> Workload:
    """What the steps do, for the plan: every group is trained on."""
    image, text, longest = sizes.image_tokens, sizes.text_tokens, sizes.prompt_tokens
    note = "prompts and completions are made up"
    prompts = planned.Prompts(image, text, longest, sizes.groups + sizes.examples, 1, 1.0, note)
    return Workload(prompts, sizes.completion_tokens, sizes.completion_tokens, 1.0, (note,))


class Known(Prompts):
    """Prompts that were all made before: `made`, by problem."""

    def __init__(self, policy: Policy) -> None:
        super().__init__(policy, ImageStore(Path("no-pictures")), None)
        self.made: dict[str, Prompt] = {}

    def __call__(self, problem: Problem) -> Prompt:
        """The prompt of a problem."""
        return self.made[problem.id]


class Subject:
    """A policy of random weights, which never ends a completion, and problems that are new each time.

    The tokenizer is that of the shipped base, so the ids of special tokens are; widths are the config's.
    """

    def __init__(self, sizes: Sizes, recipe: Recipe) -> None:
        """The policy is made on the recipe's device in its number format."""
        self.sizes, self.recipe = sizes, recipe
        config = recipe.model
        processor = load_processor(find_folder(TINY), max_pixels=config.max_pixels)
        model = make_model(
            _config(sizes.model, processor.tokenizer), torch.device(config.device), getattr(torch, config.dtype)
        )
        self.policy = Policy(
            model,
            processor,
            {},
            freeze_vision=config.freeze_vision,
            gradient_checkpointing=config.gradient_checkpointing,
            attention=config.attention,
        )
        self.policy.banned_ids = tuple(sorted({*self.policy.banned_ids, *self.policy.eos_ids}))
        self.prompts = Known(self.policy)
        self._count = 0
        around = len(self._encode(_problem("", ""), 0)) - sizes.image_tokens
        # Without its leading space, which a problem's question loses.
        self._question = (FILLER * (sizes.text_tokens - around)).lstrip()

    @contextmanager
    def problems(self, count: int) -> Iterator[list[Problem]]:
        """So many new ones, whose prompts are known within, as a run has them encoded before they are needed."""
        made = [_problem(f"made-up-{self._count + number}", self._question) for number in range(count)]
        self._count += count
        known = {problem.id: self._encode(problem, self._count + number) for number, problem in enumerate(made)}
        assert {len(prompt) for prompt in known.values()} == {self.sizes.prompt_tokens}
        self.prompts.made = known
        yield made
        self.prompts.made = {}

    def answers(self, count: int) -> list[torch.Tensor]:
        """Random completions [C], of the ids that are sampled."""
        allowed = sorted(set(range(len(self.policy.tokenizer))) - set(self.policy.banned_ids))
        random = torch.Generator().manual_seed(self._count)
        drawn = torch.randint(len(allowed), (count, self.sizes.completion_tokens), generator=random)
        return list(torch.tensor(allowed)[drawn])

    def _encode(self, problem: Problem, seed: int) -> Prompt:
        side = isqrt(self.sizes.image_tokens) * TOKEN_SIDE
        picture = Image.fromarray(np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8))
        return replace(self.policy.encode(build_messages(problem, None), [picture]), problem=problem.id)


def _problem(name: str, question: str) -> Problem:
    return Problem(name, question, "", AnswerType.TEXT, ("picture",))


def _config(model: str, tokenizer: Any) -> Qwen2_5_VLConfig:
    """The config of `model` with the special ids of `tokenizer`."""
    assets = resources.files("metis_rise") / "assets"
    path = assets / "tiny_base" / "config.json" if model == TINY else assets / "configs" / f"{model}.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    known = tokenizer.get_vocab()
    config["text_config"] = {
        "rope_parameters": SEVEN_B.text["rope_parameters"],
        **config["text_config"],
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
        "bos_token_id": None,
    }
    names = {"image": "image_pad", "video": "video_pad", "vision_start": "vision_start", "vision_end": "vision_end"}
    ids = {f"{name}_token_id": known[f"<|{token}|>"] for name, token in names.items()}
    return Qwen2_5_VLConfig(**{**config, **ids})
