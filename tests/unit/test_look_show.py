"""One problem of a run on the terminal: everything that is known of it, and nothing that can do harm."""

from __future__ import annotations

import base64
import io
import json
import re
import shutil
from pathlib import Path

import pytest
from fake_run import make_run
from PIL import Image
from rich.console import Console
from terminal_screen import Terminal
from typer.testing import CliRunner

from metis_rise.cli import app
from metis_rise.errors import InputError
from metis_rise.look.picture import Way, draw, way_of
from metis_rise.look.problem import find, near
from metis_rise.look.show import print_problem
from metis_rise.run import Run, read_jsonl, write_jsonl


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_run(tmp_path_factory.mktemp("runs") / "tiny", problems=24, steps=30)


def told(run: Path, name: str, width: int = 80, every: bool = False) -> str:
    console = Console(width=width, color_system=None)
    with console.capture() as found:
        print_problem(run, name, console, every=every)
    return found.get()


def test_a_test_problem_shows_what_every_model_answered(run: Path):
    said = told(run, "test-bars-0001")
    problem = next(row for row in read_jsonl(run / "problems" / "test.jsonl") if row["id"] == "test-bars-0001")
    assert problem["question"] in " ".join(said.split()) and f"gold answer: {problem['answer']}" in said
    assert f"{problem['images'][0]}.png" in said.replace("\n", "")
    for arm in ("base", "after RL", "after RISE"):
        for mode in ("greedy", "sampled"):
            assert f"{arm}, {mode}: " in said
    assert said.count("✓ right") + said.count("✗ wrong") == 6


def test_a_train_problem_shows_where_it_stands_and_its_samples(run: Path):
    result = json.loads((run / "2-diagnose" / "DONE").read_text())
    name, rate = next((key, rate) for key, rate in result["solve_rates"].items() if 0 < rate < 1)
    said = told(run, name)
    assert f"inconsistent, {100 * rate:.0f} % right" in said
    assert (
        f"diagnosis: {round(8 * rate)} of 8 right, 2 shown" in said and "taught, self-distilled: 1 of 1 right" in said
    )
    assert "RL: " in said
    every = told(run, name, every=True)
    assert every.count("✓ right") + every.count("✗ wrong") == 8 + 8 + 1


def test_json_has_every_trajectory_and_no_tokens(run: Path):
    found = json.loads(CliRunner().invoke(app, ["show", str(run), "train-bars-0001", "--json"]).stdout)
    assert found["problem"]["id"] == "train-bars-0001" and found["split"] == "train"
    answers = {each["where"]: each for each in found["answers"]}
    assert len(answers["diagnosis"]["trajectories"]) == 8 and len(answers["RL"]["trajectories"]) == 8
    assert "tokens" not in answers["RL"]["trajectories"][0]


def test_a_part_of_an_id_is_enough_where_no_other_has_it(run: Path):
    assert find(run, "dev-bars-0001").problem.id == "dev-bars-0001"
    assert find(run, "v-bars-0001").problem.id == "dev-bars-0001"
    with pytest.raises(InputError, match=r"part of 3 ids: train-bars-0001, dev-bars-0001, test-bars-0001"):
        find(run, "bars-0001")
    with pytest.raises(InputError, match=r"no problem 'test-bars-9001'; its problems folder has test-bars-00"):
        find(run, "test-bars-9001")
    # Parts in another order, and a slip of the pen.
    with pytest.raises(InputError, match=r"has dev-bars-0001 and others"):
        find(run, "0001-bras-dev")


def test_a_run_without_problems_yet_is_named(tmp_path: Path):
    Run.open(tmp_path, "new", {"name": "tiny"})
    with pytest.raises(InputError, match="new: has no problems yet"):
        find(tmp_path / "new", "bars")


def test_of_several_rounds_the_last_ones_outcome_counts_and_all_that_was_left_out(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    other = Path(shutil.copytree(run, tmp_path / "other"))
    name, gone = "train-bars-0001", {"problem": "train-bars-0001", "kept": False, "reason": "chain wrong"}
    write_jsonl(other / "4-expert" / "outcomes.jsonl", [gone])
    (other / "round-2").mkdir()
    assert find(other, name).unsolved == "chain wrong"
    write_jsonl(other / "round-2" / "4-expert" / "outcomes.jsonl", [gone | {"reason": "too long"}])
    assert find(other, name).unsolved == "too long"
    write_jsonl(other / "round-2" / "4-expert" / "outcomes.jsonl", [gone | {"kept": True, "reason": ""}])
    assert find(other, name).unsolved == ""
    monkeypatch.setattr("metis_rise.look.problem.rollout_files", lambda stage: ([], 3))
    assert find(other, name).unread == 6


def test_an_unknown_id_names_those_whose_parts_are_alike_in_any_order():
    ids = [f"{family}-{level}-test-0-{n:04}" for level in (3, 1) for family in ("shop", "dial") for n in range(9)]
    assert near("test-dail-0004", ids)[0] == "dial-3-test-0-0004"
    assert {each[:4] for each in near("test-dial", ids)} == {"dial"}


def test_hostile_text_stays_text_and_long_text_is_cut_in_the_middle(run: Path, tmp_path: Path):
    other = Path(shutil.copytree(run, tmp_path / "other"))
    file = other / "6-evaluate" / "rl-greedy.jsonl"
    rows = read_jsonl(file)
    evil = "\x1b]0;owned\x07[bold]x[/bold]\r\x9b2J\u202eabc\n" + "\n".join(f"line {i}" for i in range(50))
    write_jsonl(file, [row | {"text": evil} if row["problem_id"] == "test-bars-0001" else row for row in rows])
    said = told(other, "test-bars-0001")
    assert "␛]0;owned␇[bold]x[/bold]␍\ufffd2J\ufffdabc" in said
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e]", said)
    assert "line 0" in said and "line 49" in said and "line 25" not in said and "39 lines, shown with --all" in said
    assert "line 25" in told(other, "test-bars-0001", every=True)


def test_a_picture_that_is_gone_is_said(run: Path, tmp_path: Path):
    other = Path(shutil.copytree(run, tmp_path / "other"))
    shutil.rmtree(other / "images")
    assert "the picture is missing" in " ".join(told(other, "test-bars-0001").split())


def drawing(way: Way, picture: Image.Image) -> str:
    file = io.StringIO()
    draw(picture, Console(file=file, force_terminal=True, width=80, color_system="truecolor"), way)
    return file.getvalue()


@pytest.fixture
def flag() -> Image.Image:
    """Red above blue."""
    picture = Image.new("RGB", (120, 80), "#ff0000")
    picture.paste("#0000ff", (0, 40, 120, 80))
    return picture


def test_kitty_and_iterm_get_the_picture_as_png(flag: Image.Image):
    kitty, iterm = drawing(Way.KITTY, flag), drawing(Way.ITERM, flag)
    assert kitty.startswith("\x1b_Gf=100,a=T,q=2,c=30,r=10,m=") and kitty.endswith("\x1b\\\n")
    chunks = re.findall(r"\x1b_G([^;]*);([^\x1b]*)\x1b\\", kitty)
    assert [keys[-1] for keys, _ in chunks] == ["1"] * (len(chunks) - 1) + ["0"] and all(
        len(c) <= 4096 for _, c in chunks
    )
    inside = re.search(r"\x1b\]1337;File=inline=1;width=30;height=10:([^\x07]*)\x07", iterm)
    assert inside is not None
    for data in ("".join(chunk for _, chunk in chunks), inside[1]):
        with Image.open(io.BytesIO(base64.b64decode(data))) as found:
            assert found.size == (120, 80) and found.getpixel((5, 5))[0] > 200


def decoded(sixel: str) -> Image.Image:
    """A picture from sixel codes, read as a VT340 does."""
    head = re.match(r'\x1bPq"1;1;(\d+);(\d+)', sixel)
    assert head is not None
    picture = Image.new("RGB", (int(head[1]), int(head[2])))
    colours: dict[str, tuple[int, ...]] = {}
    colour, x, top = "", 0, 0
    for part in re.findall(r"#\d+;2;\d+;\d+;\d+|#\d+|!\d+.|[?-~]|\$|-", sixel[head.end() :].removesuffix("\x1b\\\n")):
        if part.startswith("#"):
            name, *rest = part[1:].split(";")
            colours |= {name: tuple(round(int(v) * 255 / 100) for v in rest[1:])} if rest else {}
            colour = name
        elif part in "$-":
            x, top = 0, top + 6 * (part == "-")
        else:
            count, sign = (int(part[1:-1]), part[-1]) if part.startswith("!") else (1, part)
            for column in range(x, x + count):
                for row in range(6):
                    if ord(sign) - 63 >> row & 1:
                        picture.putpixel((column, top + row), colours[colour])
            x += count
    return picture


def test_kitty_gets_a_large_picture_in_chunks():
    noise = Image.effect_noise((300, 200), 80).convert("RGB")
    chunks = re.findall(r"\x1b_G([^;]*);([^\x1b]*)\x1b\\", drawing(Way.KITTY, noise))
    assert len(chunks) > 2 and [keys[-3:] for keys, _ in chunks[1:]] == ["m=1"] * (len(chunks) - 2) + ["m=0"]
    assert all(len(chunk) == 4096 for _, chunk in chunks[:-1])
    with Image.open(io.BytesIO(base64.b64decode("".join(chunk for _, chunk in chunks)))) as found:
        assert found.tobytes() == noise.tobytes()


def test_sixel_holds_the_picture(flag: Image.Image):
    found = decoded(drawing(Way.SIXEL, flag))
    assert found.size == (300, 200)
    red, blue = (255, 0, 0), (0, 0, 255)
    for place, want in (((3, 3), red), ((299, 90), red), ((150, 199), blue), ((0, 110), blue)):
        assert all(abs(a - b) <= 8 for a, b in zip(found.getpixel(place), want, strict=True))


def test_half_blocks_hold_the_picture(flag: Image.Image):
    codes = drawing(Way.BLOCKS, flag)
    rows = codes.splitlines()
    assert len(rows) == 10 and codes.count("▀") == 300
    assert "38;2;255;0;0;48;2;255;0;0" in rows[0] and "38;2;0;0;255;48;2;0;0;255" in rows[-1]


def test_nothing_is_drawn_into_files():
    assert way_of(Console(file=io.StringIO(), width=80)) is Way.NONE


ASK = """
import os
os.environ |= {environment}
from rich.console import Console
from metis_rise.look import picture
from metis_rise.look.picture import way_of
picture._ANSWER_S = {patience}
print("drawn by " + way_of(Console(color_system={colours!r})))
print("read " + (input() if {typed} else "nothing"))
"""


@pytest.mark.parametrize(
    ("environment", "colours", "want"),
    [
        ({"KITTY_WINDOW_ID": "1"}, "truecolor", "kitty"),
        ({"KITTY_WINDOW_ID": "1", "TMUX": "x"}, "truecolor", "blocks"),
        ({"TERM_PROGRAM": "iTerm.app"}, "truecolor", "iterm"),
        ({}, "256", "blocks"),
        ({}, "standard", "none"),
    ],
)
def test_the_terminal_says_what_it_can(environment: dict[str, str], colours: str, want: str):
    terminal = Terminal(ASK.format(environment=environment, colours=colours, typed=False, patience=0.2))
    assert terminal.finish() == 0
    assert f"drawn by {want}" in terminal.text


def test_a_terminal_that_answers_with_sixel_gets_it_and_its_answer_is_not_left_over():
    terminal = Terminal(ASK.format(environment={}, colours="256", typed=True, patience=60))
    terminal.answer(b"\x1b[c", b"\x1b[?62;4;22c")
    terminal.wait_for("drawn by sixel")
    terminal.type(b"hello\n")
    terminal.wait_for("read hello")
    assert terminal.finish() == 0
