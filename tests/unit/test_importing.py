"""Rows of trajectories made elsewhere, whatever tool wrote them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from metis_rise.errors import InputError
from metis_rise.exchange.importing import _rows
from metis_rise.types import AnswerType, Problem

PROBLEMS = {name: Problem(name, "q", "1", AnswerType.NUMBER) for name in ("p", "7", "ü/ x")}


def read(path: Path, *rows: Any) -> list[tuple[str, str]]:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return [(problem.id, text) for problem, text in _rows(path, PROBLEMS)]


@pytest.mark.parametrize(
    "row",
    [
        {"problem": "p", "completion": " said "},
        {"problem_id": "p", "text": "said"},
        {"id": "p", "response": "said"},
        {"id": "p", "conversations": [{"from": "human", "value": "q"}, {"from": "gpt", "value": "said"}]},
        {"id": "p", "messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "said"}]},
        {"id": "p", "messages": [{"role": "assistant", "content": [{"type": "text", "text": "said"}]}]},
    ],
)
def test_a_completion_is_found_under_the_names_that_tools_use(tmp_path: Path, row: dict[str, Any]):
    assert read(tmp_path / "rows.jsonl", row) == [("p", "said")]


def test_ids_may_be_numbers_or_odd_texts_and_broken_characters_are_replaced(tmp_path: Path):
    rows = {"id": 7, "text": "a"}, {"id": "ü/ x", "text": "b \ud800 c"}
    assert read(tmp_path / "rows.jsonl", *rows) == [("7", "a"), ("ü/ x", "b ? c")]


@pytest.mark.parametrize(
    "row",
    [
        {"id": "p", "messages": [{"role": "assistant", "content": "said"}, {"role": "user", "content": "and?"}]},
        {"id": "p", "messages": [{"role": "assistant", "content": [{"type": "image"}]}]},
        {"id": "p", "messages": [{"role": "assistant", "content": ""}]},
        {"id": "p", "messages": []},
        {"id": "p", "text": None},
    ],
)
def test_a_row_without_one_names_itself(tmp_path: Path, row: dict[str, Any]):
    with pytest.raises(InputError, match=r"rows\.jsonl, row 2: no completion there; write"):
        read(tmp_path / "rows.jsonl", {"id": "p", "text": "fine"}, row)
