"""Lines of source files by the name of what they define."""

from __future__ import annotations

import pytest

from docs_site.source import BrokenLink, line_of

TEXT = '''"""A module."""

LIMIT: int = 3


class Counter:
    total = 0

    def add(self, more):
        step = more * 2
        if step:
            step, rest = 1, 2
        return step


def add(first):
    total = first
    total += 1
    return total
'''


@pytest.mark.parametrize(
    ("symbol", "line"),
    [
        ("LIMIT", 3),
        ("Counter", 6),
        ("Counter.total", 7),
        ("Counter.add", 9),
        ("Counter.add.step", 10),
        ("Counter.add.rest", 12),
        ("add.total", 17),
    ],
)
def test_a_name_is_found_where_it_is_defined_or_first_assigned(symbol: str, line: int):
    assert line_of(TEXT, symbol) == line


@pytest.mark.parametrize("symbol", ["counter", "Counter.less", "add.step", "LIMIT.x"])
def test_a_name_that_is_not_there_is_an_error(symbol: str):
    with pytest.raises(BrokenLink, match=symbol):
        line_of(TEXT, symbol)
