"""`rise ask`: reasoning and answer on the terminal."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest
from micro import ok, rise
from PIL import Image
from tiny import write_folder

from metis_rise.problems import world


@pytest.fixture
def picture(tmp_path: Path) -> tuple[Path, world.Draft]:
    """A drawn bar chart of the test split."""
    draft = next(world.drafts("bars", 1, "test", Random(0)))
    image = world.picture("bars", draft, Random(0))
    assert image is not None
    image.save(tmp_path / "bars.png")
    return tmp_path / "bars.png", draft


def test_the_tiny_base_describes_what_it_sees(picture: tuple[Path, world.Draft]):
    """The base sees nearly perfectly: the caption proves that picture, prompt and sampling fit together."""
    file, draft = picture
    printed = ok(file.parent, "ask", "tiny", file.name, "Describe the image.")
    assert printed.splitlines()[0] == draft.caption
    assert "answer:" in printed


def test_reasoning_and_answer_are_told_apart(picture: tuple[Path, world.Draft]):
    file, draft = picture
    printed = ok(file.parent, "ask", "tiny", file.name, draft.question)
    reasoning, answer = printed.splitlines()[0], printed.splitlines()[-1]
    assert "<think>" not in printed and reasoning
    assert answer.startswith("answer: ")


def test_any_qwen3_folder_answers(picture: tuple[Path, world.Draft]):
    file, _ = picture
    folder = write_folder(file.parent / "qwen3", "qwen3_vl")
    printed = ok(file.parent, "ask", str(folder), file.name, "How many?", "--max-tokens", "4")
    assert "cut at 4 tokens" in printed


def test_faults_are_one_line(tmp_path: Path):
    (tmp_path / "no.png").write_bytes(b"no picture")
    done = rise(tmp_path, "ask", "tiny", "no.png", "How many?")
    assert done.returncode == 2 and len(done.stderr.splitlines()) == 1 and "no.png" in done.stderr
    picture = Image.new("RGB", (112, 112))
    picture.save(tmp_path / "yes.png")
    for question in ("Compare <image1> and <image2>.", "What is <|image_pad|>?"):
        done = rise(tmp_path, "ask", "tiny", "yes.png", question)
        assert done.returncode == 2 and len(done.stderr.splitlines()) == 1
    (tmp_path / "empty").mkdir()
    done = rise(tmp_path, "ask", "empty", "no.png", "How many?")
    assert done.returncode == 2 and len(done.stderr.splitlines()) == 1
