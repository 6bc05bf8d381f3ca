"""Sharing work out between processes."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from metis_rise.stages.team.balance import grouped_shares, shares

WEIGHTS = st.lists(st.integers(1, 1000), max_size=40)
SIZES = st.integers(1, 6)


@given(WEIGHTS, SIZES)
def test_every_item_is_in_one_share_and_none_has_much_more_than_another(weights: list[int], size: int) -> None:
    parts = shares(weights, size)
    assert len(parts) == size
    assert sorted(index for part in parts for index in part) == list(range(len(weights)))
    assert all(part == sorted(part) for part in parts)
    loads = [sum(weights[index] for index in part) for part in parts]
    assert max(loads) - min(loads) <= max(weights, default=0)


def test_the_heaviest_are_dealt_first() -> None:
    assert shares([1, 1, 1, 3], 2) == [[3], [0, 1, 2]]


@given(st.lists(st.tuples(st.sampled_from("abcdefgh"), st.integers(1, 100)), max_size=30), SIZES)
def test_items_of_one_key_stay_together(items: list[tuple[str, int]], size: int) -> None:
    parts = grouped_shares([key for key, _ in items], [weight for _, weight in items], size)
    assert sorted(index for part in parts for index in part) == list(range(len(items)))
    owners = [{items[index][0] for index in part} for part in parts]
    assert sum(map(len, owners)) == len({key for key, _ in items})


def test_groups_are_balanced_by_their_sums() -> None:
    assert grouped_shares(["a", "b", "a", "c", "d"], [5, 4, 5, 4, 2], 2) == [[0, 2], [1, 3, 4]]
