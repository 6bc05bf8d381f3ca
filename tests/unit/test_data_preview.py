"""`rise data preview`: what the page shows, that hostile text stays text, that it stays small."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from drawings import drawing, in_file
from typer.testing import CliRunner

from metis_rise.cli import app

HOSTILE = "</article><script>alert(1)</script><img src=x onerror=alert(2)>"


def row(number: int, **fields: Any) -> dict[str, Any]:
    return {
        "id": f"p{number}",
        "question": f"Number {number}?",
        "answer": str(number),
        "answer_type": "number",
    } | fields


def page(folder: Path, rows: list[dict[str, Any]], *arguments: str) -> str:
    path = folder / "mine.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    done = CliRunner().invoke(app, ["data", "preview", str(path), "--to", str(folder / "page.html"), *arguments])
    assert done.exit_code == 0, done.output
    return (folder / "page.html").read_text(encoding="utf-8")


def shown(text: str) -> list[int]:
    return [int(number) for number in re.findall(r"<h2>row (\d+) ", text)]


def test_a_page_shows_problems_with_their_pictures(tmp_path: Path):
    (tmp_path / "a.png").write_bytes(in_file(drawing(1)))
    text = page(
        tmp_path,
        [
            row(1, images=["a.png"], solution="one", meta={"family": "shapes"}),
            row(2, answer="B", answer_type="choice", choices=["red", "blue"]),
            row(3, answer=""),
        ],
    )
    assert shown(text) == [1, 2] and text.count('<img src="data:image/') == 1
    assert "<li class=right>B. blue</li>" in text and "<li>A. red</li>" in text
    assert "family: shapes" in text and '<p class="worked">one</p>' in text
    assert "1 rows cannot be used" in text and "row 3: answer is missing or empty" in text


def test_nothing_is_fetched_and_hostile_text_stays_text(tmp_path: Path):
    rows = [row(1, id=HOSTILE, question=HOSTILE, solution=HOSTILE, meta={HOSTILE: HOSTILE, "family": HOSTILE})]
    rows += [row(2, answer="A", answer_type="choice", choices=[HOSTILE, "x"]), row(3, question=HOSTILE, answer=HOSTILE)]
    text = page(tmp_path, [*rows, row(4, images=[HOSTILE])])
    assert "<script" not in text and "<img" not in text and text.count("</article>") == 2
    assert not re.search(r"https?://|url\(", text)
    assert "default-src 'none'" in text


def test_a_picture_that_cannot_be_decoded_is_said_so(tmp_path: Path):
    (tmp_path / "bad.png").write_bytes(in_file(drawing(1))[:100])
    assert "the picture cannot be decoded" in page(tmp_path, [row(1, images=["bad.png"])])


def test_problems_are_drawn_from_the_whole_file(tmp_path: Path):
    rows = [row(number) for number in range(1, 1001)]
    first, again = (shown(page(tmp_path, rows, "--number", "50")) for _ in range(2))
    other = shown(page(tmp_path, rows, "--number", "50", "--seed", "1"))
    assert first == again == sorted(set(first)) and len(first) == 50 and other != first
    assert sum(number > 500 for number in first + other) in range(30, 71)


def test_the_largest_page_is_below_10_megabytes(tmp_path: Path):
    """Two hundred problems of nothing but signs that take five characters each, with noise for pictures."""
    import numpy as np
    from PIL import Image

    for number in range(40):
        noise = np.random.default_rng(number).integers(0, 256, (500, 500, 3), dtype=np.uint8)
        (tmp_path / f"{number}.png").write_bytes(in_file(Image.fromarray(noise)))
    long = "&" * 50_000
    fields = {"solution": long, "meta": {"m": long}, "answer_type": "choice", "answer": "A"}
    options = [f"{'&' * 300}{number}" for number in range(26)]
    rows = [row(n, question=f"{n}{long}", choices=options, images=[f"{n % 40}.png"]) | fields for n in range(200)]
    text = page(tmp_path, rows, "--number", "200")
    assert len(shown(text)) == 200
    assert 5_000_000 < len(text.encode()) < 10_000_000
    assert "left out: the page would be too large" in text and "more characters)" in text


def test_a_file_that_holds_nothing_to_show_is_an_error_and_makes_no_page(tmp_path: Path):
    (tmp_path / "mine.jsonl").write_text(json.dumps(row(1, answer="")))
    done = CliRunner().invoke(app, ["data", "preview", str(tmp_path / "mine.jsonl"), "--to", str(tmp_path / "p.html")])
    assert done.exit_code == 2 and "answer is missing or empty" in done.stderr
    assert not (tmp_path / "p.html").exists()


@pytest.mark.parametrize(("name", "page"), [("train.jsonl", "train-preview.html")])
def test_the_page_is_called_like_its_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, page: str):
    monkeypatch.chdir(tmp_path)
    (tmp_path / name).write_text(json.dumps(row(1)))
    assert CliRunner().invoke(app, ["data", "preview", name]).exit_code == 0
    assert (tmp_path / page).is_file()


@pytest.mark.parametrize(
    ("name", "page"),
    [
        ("hub/train-*.parquet", "train"),
        ("hub/train-00000-of-0000?.parquet", "train-00000-of-0000"),
        ("hub/train_[0-9].parquet", "train"),
        ("hub/*.parquet", "hub"),
        ("hub", "hub"),
    ],
)
def test_the_page_of_a_pattern_has_no_sign_of_it_in_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, page: str
):
    monkeypatch.chdir(tmp_path)
    told: list[Path] = []
    monkeypatch.setattr("metis_rise.data.preview.write_preview", lambda path, target, number, seed: told.append(target))
    assert CliRunner().invoke(app, ["data", "preview", name]).exit_code == 0
    assert told == [Path(f"{page}-preview.html")]
