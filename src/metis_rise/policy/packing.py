"""Packed rows: every prompt once, followed by its completions, several prompts one after another.

    [ prompt | c1 | c2 | ... | cG ][ prompt' | c1' | ... ]

Nothing is padded. Who sees whom is the layout's business (`layout`), which reads the `blocks`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from metis_rise.errors import InputError
from metis_rise.policy.prompt import Prompt

Row = tuple[Prompt, Tensor]


@dataclass(frozen=True, slots=True)
class Block:
    """Where one prompt and its completions lie: `prefix` tokens from `start` on, then completions of `lengths`."""

    start: int
    prefix: int
    lengths: tuple[int, ...]

    @property
    def first(self) -> int:
        """Position of the first completion's first token."""
        return self.start + self.prefix

    @property
    def completed(self) -> int:
        """Tokens of all completions."""
        return sum(self.lengths)

    @property
    def stop(self) -> int:
        """Position after the last completion."""
        return self.first + self.completed

    def starts(self) -> list[int]:
        """Position of each completion's first token."""
        starts, position = [], self.first
        for length in self.lengths:
            starts.append(position)
            position += length
        return starts


@dataclass(frozen=True, slots=True)
class RowGroup:
    """The completions of one prompt: `members` are indices into a list of rows, shortest completion first."""

    prompt: Prompt
    members: tuple[int, ...]
    completed: int

    @property
    def tokens(self) -> int:
        """Tokens in a packed row: the prompt once, and all completions."""
        return len(self.prompt) + self.completed


@dataclass(frozen=True, slots=True, eq=False)
class PackedRow:
    """One packed row of T tokens that scores N completion tokens, on the CPU.

    input_ids: [1, T] int64.
    position_ids: [3, 1, T] int64, M-RoPE positions; those of every completion go on from its own prompt.
    predicts: [N] int64, for each completion token the place of the hidden state that predicts it.
    targets: [N] int64, the completion tokens.
    blocks: where prompts and completions lie, in the coordinates of the keys.
    members: the rows that are scored, in the order of `targets`.
    lengths: tokens of each of them.
    """

    input_ids: Tensor
    position_ids: Tensor
    predicts: Tensor
    targets: Tensor
    blocks: tuple[Block, ...]
    members: tuple[int, ...]
    lengths: tuple[int, ...]

    def __len__(self) -> int:
        """Number of tokens T that go through the model."""
        return int(self.input_ids.shape[1])


def group_rows(rows: Sequence[Row]) -> list[RowGroup]:
    """The rows by prompt (the same `Prompt` object), in order of first appearance."""
    members: dict[int, list[int]] = {}
    for index, (prompt, _) in enumerate(rows):
        members.setdefault(id(prompt), []).append(index)
    return [make_group(rows, indices) for indices in members.values()]


def make_group(rows: Sequence[Row], indices: Sequence[int]) -> RowGroup:
    """A group of rows that share their prompt. Equal lengths become neighbours, which attention can batch."""
    ordered = sorted(indices, key=lambda index: len(rows[index][1]))
    return RowGroup(rows[ordered[0]][0], tuple(ordered), sum(len(rows[index][1]) for index in ordered))


def pack(rows: Sequence[Row], groups: Sequence[RowGroup]) -> PackedRow:
    """One row of whole groups, each prompt before its completions."""
    ids: list[Tensor] = []
    positions: list[Tensor] = []
    predicts: list[Tensor] = []
    blocks: list[Block] = []
    start = 0
    for group in groups:
        prompt, completions = group.prompt, [rows[index][1] for index in group.members]
        block = Block(start, len(prompt), tuple(map(len, completions)))
        ids += [prompt.input_ids, *completions]
        positions += [prompt.position_ids, _positions(prompt, block)]
        predicts += [_predicts(block)]
        blocks.append(block)
        start = block.stop
    members = tuple(index for group in groups for index in group.members)
    return _packed(rows, ids, positions, predicts, blocks, members)


def pack_prompt(prompt: Prompt) -> PackedRow:
    """A row of one prompt without completions, which scores nothing."""
    none = torch.empty(0, dtype=torch.long)
    blocks = (Block(0, len(prompt), ()),)
    return PackedRow(prompt.input_ids[None], prompt.position_ids[:, None], none, none, blocks, (), ())


def pack_completions(rows: Sequence[Row], group: RowGroup) -> PackedRow:
    """A row of completions alone, for a prompt whose keys and values are kept elsewhere.

    `predicts` counts from the prompt's last hidden state, which is place 0; the block counts from the prompt's start.
    """
    completions = [rows[index][1] for index in group.members]
    block = Block(0, len(group.prompt), tuple(map(len, completions)))
    predicts = _predicts(block) - (block.prefix - 1)
    return _packed(rows, completions, [_positions(group.prompt, block)], [predicts], [block], group.members)


def _packed(
    rows: Sequence[Row],
    ids: Sequence[Tensor],
    positions: Sequence[Tensor],
    predicts: Sequence[Tensor],
    blocks: Sequence[Block],
    members: tuple[int, ...],
) -> PackedRow:
    return PackedRow(
        torch.cat(list(ids))[None],
        torch.cat(list(positions), 1)[:, None],
        torch.cat(list(predicts)),
        torch.cat([rows[index][1] for index in members]),
        tuple(blocks),
        members,
        tuple(len(rows[index][1]) for index in members),
    )


def _positions(prompt: Prompt, block: Block) -> Tensor:
    """M-RoPE positions [3, completed]: each completion counts on from the prompt, alike on all three axes."""
    counts = torch.cat([torch.arange(length) for length in block.lengths])
    return (prompt.next_position + counts).expand(3, -1)


def _predicts(block: Block) -> Tensor:
    """Each completion token is predicted by its predecessor, a first one by the prompt's last token."""
    last = block.first - 1
    pieces = [torch.arange(start - 1, start - 1 + n) for start, n in zip(block.starts(), block.lengths, strict=True)]
    for piece in pieces:
        piece[0] = last
    return torch.cat(pieces)


def check_rows(rows: Sequence[Row], placeholders: Sequence[int], patches_per_token: int) -> None:
    """InputError, naming the problem, for rows that no forward pass could score.

    Args:
        rows: what is to be scored.
        placeholders: ids that stand for pictures or videos; the first one is the image's.
        patches_per_token: patches that the vision tower merges into one image token.
    """
    barred = torch.tensor(placeholders)
    for prompt, completion in rows:
        if len(completion) == 0:
            raise InputError(f"problem {prompt.problem!r}: a completion is empty; at least its end token is needed")
    if torch.isin(torch.cat([completion for _, completion in rows]), barred).any():
        prompt, completion = next(row for row in rows if torch.isin(row[1], barred).any())
        held = int(torch.isin(completion, barred).sum())
        raise InputError(
            f"problem {prompt.problem!r}: a completion holds {held} vision placeholder token(s), 0 are allowed; "
            "ban them in the sampler or take them out of the text"
        )
    for prompt in {id(prompt): prompt for prompt, _ in rows}.values():
        places = int((prompt.input_ids == placeholders[0]).sum())
        patches = 0 if prompt.image_grid_thw is None else int(prompt.image_grid_thw.prod(-1).sum())
        if places != patches // patches_per_token:
            raise InputError(
                f"problem {prompt.problem!r}: its prompt has {places} image placeholder(s), its pictures make "
                f"{patches // patches_per_token} image tokens; encode it again with this model's processor"
            )
