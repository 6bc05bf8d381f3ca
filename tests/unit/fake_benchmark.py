"""A small benchmark whose groups are pairs of rows, and files for it."""

from __future__ import annotations

import base64
import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path

from PIL import Image

from metis_rise.benchmarks import cells
from metis_rise.benchmarks.base import Benchmark, Headline, Item, Known, Row
from metis_rise.types import AnswerType, Problem


class Fake(Benchmark):
    """Two rows of one `pair` are a whole group."""

    name = "fake"
    title = "Fake"
    known = Known(
        dataset="Fake_MINI",
        md5="0" * 32,
        rows=4,
        groups=2,
        columns=("question", "answer", "pair"),
        source="https://example.org/Fake_MINI.tsv",
        also_called=("Fake_testmini",),
        files=("testmini.json",),
    )
    headlines = (Headline("accuracy", lambda items, marks: float(all(marks[item.index] for item in items))),)

    def problem(self, row: Row) -> Problem:
        question, answer = cells.text(row, "question"), cells.text(row, "answer")
        return Problem(row.index, question, answer, AnswerType.NUMBER, row.images)

    def prompt(self, row: Row) -> str:
        return f"Question: {row['question']}"

    def group(self, row: Row) -> str:
        return row["pair"]

    def official(self, item: Item, extraction: str) -> bool:
        return item.problem.answer == extraction

    def whole(self, items: Sequence[Item]) -> str | None:
        return None if len(items) == 2 else f"{2 - len(items)} rows"


def picture(color: tuple[int, int, int] = (200, 30, 30), kind: str = "PNG") -> bytes:
    """A small picture file."""
    buffer = io.BytesIO()
    Image.new("RGB", (24, 16), color).save(buffer, kind)
    return buffer.getvalue()


def in_cell(data: bytes) -> str:
    """A picture as a cell holds it."""
    return base64.b64encode(data).decode()


def rows(count: int, **changed: str) -> list[dict[str, str]]:
    """Rows 0 to `count` - 1, pictures of their own, in pairs; `changed` cells are the same in each."""
    return [
        {
            "index": str(number),
            "image": in_cell(picture((number % 256, number // 256, 7))),
            "question": f"What is {number}?",
            "answer": str(number),
            "pair": str(number // 2),
            **changed,
        }
        for number in range(count)
    ]


def write_tsv(path: Path, content: Sequence[Mapping[str, str]]) -> Path:
    """The rows as pandas writes them, columns as in the first."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(content[0]), delimiter="\t", lineterminator="\n")
        writer.writeheader()
        writer.writerows(content)
    return path
