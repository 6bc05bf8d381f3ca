from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from metis_rise.errors import InputError
from metis_rise.policy.backends import cascade, sdpa
from metis_rise.policy.layout import PADDING, Spans
from metis_rise.policy.packing import Block, Row, RowGroup, group_rows, pack, pack_completions
from metis_rise.policy.planning import Split, Whole, plan
from metis_rise.policy.prompt import Prompt

CPU = torch.device("cpu")


def prompt(tokens: int, name: str, jump: int = 0) -> Prompt:
    """A text prompt whose positions leave `jump` out, as pictures make them do."""
    positions = torch.arange(tokens) - jump
    return Prompt(torch.arange(100, 100 + tokens), positions.expand(3, -1), torch.zeros(tokens).long(), problem=name)


def rows_of(*groups: tuple[int, list[int]]) -> list[Row]:
    """(prompt tokens, completion lengths) per group; completion tokens count up from 1000."""
    rows, token = [], 1000
    for number, (tokens, lengths) in enumerate(groups):
        owner = prompt(tokens, f"p{number}")
        for length in lengths:
            rows.append((owner, torch.arange(token, token + length)))
            token += length
    return rows


def test_a_row_by_hand() -> None:
    first, second = prompt(3, "a", jump=1), prompt(2, "b")
    rows = [(first, torch.tensor([7, 8])), (second, torch.tensor([9])), (first, torch.tensor([5]))]
    row = pack(rows, group_rows(rows))
    # Shorter completions first within a group.
    assert row.members == (2, 0, 1) and row.lengths == (1, 2, 1)
    assert row.input_ids.tolist() == [[100, 101, 102, 5, 7, 8, 100, 101, 9]]
    assert row.position_ids[:, 0].tolist() == [[-1, 0, 1, 2, 2, 3, 0, 1, 2]] * 3
    assert row.blocks == (Block(0, 3, (1, 2)), Block(6, 2, (1,)))
    # The prompt's last token predicts every first token.
    assert row.predicts.tolist() == [2, 2, 4, 7]
    assert row.targets.tolist() == [5, 7, 8, 9]


def test_completions_behind_a_kept_prompt_by_hand() -> None:
    rows = rows_of((4, [2, 3]))
    row = pack_completions(rows, group_rows(rows)[0])
    assert row.input_ids.tolist() == [[1000, 1001, 1002, 1003, 1004]]
    assert row.position_ids[0, 0].tolist() == [4, 5, 4, 5, 6]
    # Place 0 is the prompt's last hidden state.
    assert row.predicts.tolist() == [0, 1, 0, 3, 4]
    assert row.blocks == (Block(0, 4, (2, 3)),)


group_lists = st.lists(
    st.tuples(st.integers(1, 30), st.lists(st.integers(1, 25), min_size=1, max_size=6)), min_size=1, max_size=6
)


def tokens_of(group: RowGroup, rows: list[Row]) -> int:
    return len(group.prompt) + sum(len(rows[i][1]) for i in group.members)


@given(groups=group_lists, budget=st.integers(56, 200))
@settings(deadline=None)
def test_plans_cover_every_row_once_within_the_budget(groups: list[tuple[int, list[int]]], budget: int) -> None:
    rows = rows_of(*groups)
    seen: list[int] = []
    for each in plan(rows, budget):
        if isinstance(each, Whole):
            assert sum(tokens_of(group, rows) for group in each.groups) <= budget
            seen += [index for group in each.groups for index in group.members]
        else:
            assert tokens_of(each.group, rows) > budget, "only what does not fit is split"
            assert all(tokens_of(piece, rows) <= budget for piece in each.pieces)
            assert all(piece.prompt is each.group.prompt for piece in each.pieces)
            seen += [index for piece in each.pieces for index in piece.members]
    assert sorted(seen) == list(range(len(rows)))


def test_groups_share_a_row_where_they_fit() -> None:
    rows = rows_of((10, [5, 5]), (40, [20]), (10, [10]), (5, [5, 5]))
    plans = plan(rows, 60)
    assert all(isinstance(each, Whole) for each in plans)
    # 60 | 20 + 20 + 15.
    assert sorted(sum(g.tokens for g in each.groups) for each in plans if isinstance(each, Whole)) == [55, 60]


def test_without_a_budget_there_is_one_pass() -> None:
    rows = rows_of((10, [5, 5]), (40, [20]))
    (only,) = plan(rows, None)
    assert isinstance(only, Whole) and len(only.groups) == 2


def test_a_group_that_no_budget_serves_is_named() -> None:
    rows = rows_of((10, [5]), (30, [4, 21]))
    with pytest.raises(InputError, match=r"problem 'p1'.*30 \+ 21 = 51 tokens, the budget is 50"):
        plan(rows, 50)
    assert any(isinstance(each, Split) for each in plan(rows, 51))


def states(blocks: tuple[Block, ...], kept: int, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    draw = torch.Generator().manual_seed(seed)
    tokens = blocks[-1].stop

    def make(heads: int, count: int) -> Tensor:
        # Tokens before heads in memory, as projections leave them.
        return torch.randn(1, count, heads, 16, generator=draw).transpose(1, 2).requires_grad_()

    return make(6, tokens - kept), make(2, tokens), make(2, tokens)


def dense(query: Tensor, key: Tensor, value: Tensor, blocks: tuple[Block, ...], kept: int, scaling: float) -> Tensor:
    """One mask over everything, written out from the definition."""
    tokens = blocks[-1].stop
    owner, piece = torch.empty(tokens), torch.zeros(tokens)
    for number, block in enumerate(blocks):
        owner[block.start : block.stop] = number
        for member, (start, length) in enumerate(zip(block.starts(), block.lengths, strict=True)):
            piece[start : start + length] = member + 1
    place = torch.arange(tokens)
    sees = (owner[:, None] == owner) & (place[:, None] >= place) & ((piece == 0) | (piece[:, None] == piece))
    shares = query.shape[1] // key.shape[1]
    key, value = key.repeat_interleave(shares, 1), value.repeat_interleave(shares, 1)
    scores = (query @ key.transpose(2, 3) * scaling).masked_fill(~sees[kept:], -torch.inf)
    return (scores.softmax(-1) @ value).transpose(1, 2)


@given(groups=group_lists, kept=st.booleans(), seed=st.integers(0, 99))
@settings(deadline=None, max_examples=40)
@pytest.mark.parametrize("backend", [sdpa, cascade], ids=["sdpa", "cascade"])
def test_attention_equals_a_dense_mask(
    backend: object, groups: list[tuple[int, list[int]]], kept: bool, seed: int
) -> None:
    groups = groups[:1] if kept else groups
    blocks: list[Block] = []
    for tokens, lengths in groups:
        blocks.append(Block(blocks[-1].stop if blocks else 0, tokens, tuple(sorted(lengths))))
    before = blocks[0].prefix if kept else 0
    spans = Spans(tuple(blocks), before, CPU)
    inputs = states(spans.blocks, before, seed)
    expected = dense(*inputs, spans.blocks, before, 0.3)
    weight = torch.randn(expected.shape, generator=torch.Generator().manual_seed(seed))
    gradients = torch.autograd.grad((expected * weight).sum(), inputs)
    got = backend.attend(*inputs, spans, 0.3)  # type: ignore[attr-defined]
    torch.testing.assert_close(got, expected, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(torch.autograd.grad((got * weight).sum(), inputs), gradients, atol=1e-5, rtol=1e-4)


@given(groups=group_lists)
@settings(deadline=None)
def test_bunches_hold_each_completion_once_with_little_padding(groups: list[tuple[int, list[int]]]) -> None:
    rows = rows_of(*groups)
    row = pack(rows, group_rows(rows))
    spans = Spans(row.blocks, 0, CPU)
    positions: list[int] = []
    for bunch in spans.bunches:
        if bunch.places is None:
            assert bunch.real is None
            positions += range(bunch.start, bunch.start + bunch.count * bunch.length)
        else:
            assert bunch.real is not None and bunch.places.shape == (bunch.count, bunch.length)
            assert 1 - float(bunch.real.float().mean()) <= PADDING + 1e-6
            positions += bunch.places[bunch.real].tolist()
    completions = [p for block in row.blocks for p in range(block.first, block.stop)]
    assert sorted(positions) == completions


@given(groups=group_lists, seed=st.integers(0, 99))
@settings(deadline=None, max_examples=40)
def test_in_the_last_layer_only_the_ends_of_prompts_are_computed(
    groups: list[tuple[int, list[int]]], seed: int
) -> None:
    rows = rows_of(*groups)
    row = pack(rows, group_rows(rows))
    inputs = states(row.blocks, 0, seed)
    needed = torch.ones(len(row), dtype=torch.bool)
    for block in row.blocks:
        needed[block.start : block.first - 1] = False
    expected = dense(*inputs, row.blocks, 0, 0.3)[:, needed]
    weight = torch.randn(expected.shape, generator=torch.Generator().manual_seed(seed))
    got = cascade.attend(*inputs, Spans(row.blocks, 0, CPU, ends_only=True), 0.3)
    torch.testing.assert_close(got[:, needed], expected, atol=1e-5, rtol=1e-5)
    assert not got[:, ~needed].any()
    torch.testing.assert_close(
        torch.autograd.grad((got[:, needed] * weight).sum(), inputs),
        torch.autograd.grad((expected * weight).sum(), inputs),
        atol=1e-5,
        rtol=1e-4,
    )


@pytest.mark.parametrize("count", [cascade.TILE, cascade.TILE + 1, 3 * cascade.TILE - 5])
def test_long_prompts_and_completions_go_backward_in_tiles(count: int) -> None:
    spans = Spans((Block(0, count, (count, count)),), 0, CPU)
    inputs = states(spans.blocks, 0, 3)
    expected = dense(*inputs, spans.blocks, 0, 0.3)
    weight = torch.randn(expected.shape, generator=torch.Generator().manual_seed(4))
    torch.testing.assert_close(
        torch.autograd.grad((cascade.attend(*inputs, spans, 0.3) * weight).sum(), inputs),
        torch.autograd.grad((expected * weight).sum(), inputs),
        atol=2e-5,
        rtol=1e-4,
    )


@pytest.mark.parametrize("backend", [sdpa, cascade], ids=["sdpa", "cascade"])
def test_attention_reads_states_of_any_stride(backend: object) -> None:
    spans = Spans((Block(0, 9, (2, 5)),), 0, CPU)
    inputs = [tensor.detach() for tensor in states(spans.blocks, 0, 1)]
    strided = [tensor.transpose(2, 3).contiguous().transpose(2, 3) for tensor in inputs]
    assert all(tensor.stride(3) != 1 for tensor in strided)
    expected = backend.attend(*inputs, spans, 0.3)  # type: ignore[attr-defined]
    torch.testing.assert_close(backend.attend(*strided, spans, 0.3), expected)  # type: ignore[attr-defined]
