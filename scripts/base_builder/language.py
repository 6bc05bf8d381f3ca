"""Second and third phase: the language side learns to read features, to compute, and then the mixture of styles."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import Protocol

import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional
from tqdm import trange
from transformers import PreTrainedTokenizerFast, Qwen2_5_VLForConditionalGeneration

from base_builder.lessons import Lesson, Mix, facts, lesson
from base_builder.optimizer import MuonAdam
from base_builder.pictures import IMAGE_TOKENS, features, patches
from metis_rise.problems import world
from metis_rise.problems.world.canvas import GRID

_FACT_SHARE = {False: 0.20, True: 0.12}
# The dial needs the longest chains and was the weakest family of every earlier base.
_FAMILY_WEIGHTS = {"bars": 1.0, "dial": 2.0, "shop": 1.2, "story": 0.8, "path": 0.8, "angle": 0.8}
_IGNORED = -100


@dataclass(frozen=True, slots=True)
class Item:
    """Token ids of a prompt and its reply, which of the reply's are learnt, and the picture."""

    prompt: list[int]
    reply: list[int]
    learnt: list[bool]
    image: Image.Image | None


class Lessons(Protocol):
    """What a model is taught: items of one chat format."""

    @property
    def image_start(self) -> int: ...  # noqa: D102

    def items(self, count: int) -> list[Item]:
        """`count` items, drawn anew."""
        ...


class Classroom:
    """Draws lessons and turns them into batches for one model."""

    def __init__(self, tokenizer: PreTrainedTokenizerFast, seed: int, mix: Mix) -> None:
        self._tokenizer, self._rng, self._mix = tokenizer, Random(f"lessons/{seed}"), mix
        self._families = list(_FAMILY_WEIGHTS)
        self._weights = list(_FAMILY_WEIGHTS.values())
        head, tail = self._chat("<image>").split("<image>")
        self._head, self._tail = self._ids(head), self._ids(tail)
        self._vision = [
            tokenizer.convert_tokens_to_ids(t) for t in ("<|vision_start|>", "<|image_pad|>", "<|vision_end|>")
        ]
        self.image_start = len(self._head) + 1

    def _chat(self, request: str) -> str:
        messages = [{"role": "user", "content": request}]
        text = self._tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
        assert isinstance(text, str)
        return text

    def _ids(self, text: str) -> list[int]:
        return self._tokenizer.encode(text, add_special_tokens=False)

    def items(self, count: int) -> list[Item]:
        """`count` items."""
        return [self._item() for _ in range(count)]

    def _item(self) -> Item:
        if self._rng.random() < _FACT_SHARE[self._mix.styles]:
            return self.assemble(facts(self._rng), None)
        family = self._rng.choices(self._families, self._weights)[0]
        level = self._rng.choice(world.LEVELS)
        draft = next(world.drafts(family, level, "base", self._rng))
        return self.assemble(
            lesson(family, level, draft, self._mix, self._rng), world.picture(family, draft, self._rng)
        )

    def assemble(self, taught: Lesson, image: Image.Image | None) -> Item:
        """A lesson about a picture, in tokens."""
        start, pad, end = self._vision
        vision = [] if image is None else [start, *[pad] * IMAGE_TOKENS, end]
        reply: list[int] = []
        learnt: list[bool] = []
        # Tokens of one piece at a time: only whole pieces can be left unlearnt.
        for text, wanted in taught.parts:
            ids = self._ids(text)
            reply += ids
            learnt += [wanted] * len(ids)
        if taught.ends:
            reply.append(int(self._tokenizer.eos_token_id))
            learnt.append(True)
        return Item([*self._head, *vision, *self._ids(taught.request), *self._tail], reply, learnt, image)


def teach_language(
    model: Qwen2_5_VLForConditionalGeneration,
    classroom: Lessons,
    steps: int,
    batch: int,
    learning_rate: float,
    final_share: float,
) -> None:
    """Trains all but the vision tower for `steps` batches; the rate falls linearly to `final_share` of its peak."""
    optimizer = MuonAdam((n, p) for n, p in model.named_parameters() if "visual" not in n)
    model.train()
    mean = 0.0
    for step in (bar := trange(steps, desc="language", mininterval=5)):
        items = classroom.items(batch)
        losses = [_loss(model, rows, classroom.image_start) for rows in _alike(items)]
        loss = torch.stack([part for part, _ in losses]).sum() / sum(count for _, count in losses)
        loss.backward()
        optimizer.step(learning_rate * min(1, (step + 1) / 50) * (1 - (1 - final_share) * step / steps))
        value = loss.item()
        mean = value if step == 0 else 0.98 * mean + 0.02 * value
        if step % 25 == 0:
            bar.set_postfix({"loss": f"{mean:.4f}"})


def _alike(items: list[Item]) -> list[list[Item]]:
    """The items in three parts that pad little: short and long ones with a picture, and those without."""
    pictured = sorted((i for i in items if i.image is not None), key=lambda i: len(i.prompt) + len(i.reply))
    plain = [item for item in items if item.image is None]
    half = len(pictured) // 2
    return [part for part in (pictured[:half], pictured[half:], plain) if part]


def _loss(model: Qwen2_5_VLForConditionalGeneration, rows: list[Item], image_start: int) -> tuple[Tensor, int]:
    longest = max(len(row.prompt) + len(row.reply) for row in rows)
    ids = torch.full((len(rows), longest), int(model.config.text_config.pad_token_id))
    labels = torch.full((len(rows), longest), _IGNORED)
    for i, row in enumerate(rows):
        ids[i, : len(row.prompt) + len(row.reply)] = torch.tensor(row.prompt + row.reply)
        wanted = [t if keep else _IGNORED for t, keep in zip(row.reply, row.learnt, strict=True)]
        labels[i, len(row.prompt) : len(row.prompt) + len(row.reply)] = torch.tensor(wanted)
    embedded = model.get_input_embeddings()(ids)
    images = [row.image for row in rows if row.image is not None]
    if images:
        with torch.no_grad():
            seen = features(model, patches(images))
        embedded = torch.cat([embedded[:, :image_start], seen, embedded[:, image_start + IMAGE_TOKENS :]], 1)
    positions = _positions(longest, image_start if images else None)[:, None].expand(3, len(rows), longest)
    # Causal attention with padding on the right needs no mask.
    hidden = model.model.language_model(
        inputs_embeds=embedded, position_ids=positions, attention_mask=None, use_cache=False
    ).last_hidden_state
    learnt = labels[:, 1:] != _IGNORED
    logits = model.lm_head(hidden[:, :-1][learnt])
    return functional.cross_entropy(logits, labels[:, 1:][learnt], reduction="sum"), int(learnt.sum())


def _positions(length: int, image_start: int | None) -> Tensor:
    """M-RoPE positions [3, length] of a row with at most one picture; the gate checks them against transformers."""
    positions = torch.arange(length).repeat(3, 1)
    if image_start is not None:
        after = image_start + IMAGE_TOKENS
        cell = torch.arange(IMAGE_TOKENS)
        positions[0, image_start:after] = image_start
        positions[1, image_start:after] = image_start + cell // GRID
        positions[2, image_start:after] = image_start + cell % GRID
        positions[:, after:] = image_start + GRID + torch.arange(length - after)
    return positions
