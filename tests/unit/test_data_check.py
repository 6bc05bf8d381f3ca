"""`rise data check`: counts, bad rows, duplicates, token lengths, and what a file has in common with benchmarks."""

from __future__ import annotations

import json
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow
import pytest
from drawings import COPIES, drawing, in_file
from fake_benchmark import in_cell, write_tsv
from PIL import Image
from pyarrow import parquet
from typer.testing import CliRunner

from metis_rise.cli import app
from metis_rise.data.survey import survey
from metis_rise.data.texts import normal
from metis_rise.errors import InputError
from metis_rise.foreign.opening import open_rows
from metis_rise.problems.images import ImageStore
from metis_rise.problems.reader import read_problems
from metis_rise.verifier.gold import check_gold

ASKED = "A farmer plants rows of beans beside rows of maize; how many plants stand in the shaded field?"


@pytest.fixture(autouse=True)
def no_benchmarks(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """The machine's own benchmark files are left alone."""
    monkeypatch.setenv("LMUData", str(tmp_path / "none"))


def row(number: int, **fields: Any) -> dict[str, Any]:
    return {
        "id": f"p{number}",
        "question": f"What is {number}?",
        "answer": str(number),
        "answer_type": "number",
    } | fields


def pictured(folder: Path, name: str, data: bytes) -> list[str]:
    (folder / name).write_bytes(data)
    return [name]


def write(folder: Path, *rows: dict[str, Any] | str) -> Path:
    path = folder / "mine.jsonl"
    path.write_text("\n".join(each if isinstance(each, str) else json.dumps(each) for each in rows))
    return path


def check(path: Path, *arguments: str, code: int = 0) -> dict[str, Any]:
    done = CliRunner().invoke(app, ["data", "check", str(path), "--json", *arguments])
    assert done.exit_code == code, done.output
    return json.loads(done.stdout)


def benchmark(folder: Path, *items: tuple[str, str, bytes]) -> Path:
    """A MathVision file of (index, question, picture)."""
    folder.mkdir(exist_ok=True)
    rest = {"choices": "[]", "answer": "4", "category": "algebra", "level": "1"}
    rows = [{"index": i, "image": in_cell(data), "question": question} | rest for i, question, data in items]
    write_tsv(folder / "MathVision.tsv", rows)
    return folder


def leaks(path: Path, folder: Path, code: int) -> dict[str, Any]:
    return check(path, "--benchmarks", str(folder), code=code)["leaks"]["benchmarks"]["mathvision"]


def test_a_good_file(tmp_path: Path):
    images = pictured(tmp_path, "a.png", in_file(drawing(1)))
    path = write(
        tmp_path,
        row(1, images=images, solution="1", meta={"family": "shapes"}),
        row(2, answer="B", answer_type="choice", choices=["x", "y"]),
    )
    found = check(path)
    assert (found["ok"], found["rows"], found["problems"], found["solutions"]) == (True, 2, 2, 1)
    assert found["answer_types"] == {"number": 1, "choice": 1}
    assert found["families"] == {"shapes": 1, "mine": 1}
    assert found["pictures"]["of_a_problem"] == {"0": 1, "1": 1}
    assert found["pictures"]["width"]["most"] == 240 and found["pictures"]["different"] == 1
    assert {name: each["checked"] for name, each in found["leaks"]["benchmarks"].items()} == dict.fromkeys(
        ("mathvista", "mathvision", "mathverse", "dynamath", "wemath", "logicvista"), False
    )


def test_bad_rows_are_counted_by_reason_and_named(tmp_path: Path):
    broken = pictured(tmp_path, "broken.png", in_file(drawing(1))[:200])
    path = write(tmp_path, row(1), "{", row(2, answer=""), row(3, images=broken), row(4, images=["no.png"]), row(1))
    found = check(path, code=2)
    assert not found["ok"] and found["problems"] == 1 and found["bad"]["rows"] == 5
    reasons = (
        "not JSON",
        "answer is missing or empty",
        "image cannot be decoded",
        "no such image file",
        "id used before",
    )
    assert found["bad"]["reasons"] == dict.fromkeys(reasons, 1)
    assert sorted(each["row"] for each in found["bad"]["first"]) == [2, 3, 4, 5, 6]


def test_the_same_as_a_run_reads(tmp_path: Path):
    """Rows of parquet with pictures inside are looked at too, and leave no files."""
    rows = [
        {"images": [{"bytes": in_file(drawing(n)), "path": None}], "problem": f"x{n}?", "answer": "3"} for n in (1, 2)
    ]
    parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / "t.parquet")
    found = check(tmp_path / "t.parquet")
    assert found["problems"] == 2 and found["pictures"]["different"] == 2
    assert [path.name for path in tmp_path.iterdir()] == ["t.parquet"]


def test_pictures_inside_are_not_kept_on_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A file of many gigabytes must not need as many again."""
    shades = [in_file(Image.new("RGB", (8, 8), (n % 256, n // 256, 0))) for n in range(600)]
    rows = [
        {"images": [{"bytes": data, "path": None}], "problem": f"x{n}?", "answer": "3"} for n, data in enumerate(shades)
    ]
    parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / "t.parquet")
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    there: list[int] = []
    found = survey(
        tmp_path / "t.parquet", lambda *_: there.append(sum(p.is_file() for p in (tmp_path / "tmp").rglob("*")))
    )
    assert len(found.gallery) == len(there) == 600 and 0 < max(there) < 300
    assert list((tmp_path / "tmp").iterdir()) == []


def test_faults_are_counted_as_a_run_counts_them(tmp_path: Path):
    """Whatever is wrong with a row: the same rows are left, and the same reasons are said."""
    (tmp_path / "a.png").write_bytes(in_file(drawing(1)))
    (tmp_path / "link.png").symlink_to(tmp_path / "a.png")
    (tmp_path / "out.png").symlink_to("/etc/hostname")
    (tmp_path / "text.png").write_text("no picture")
    (tmp_path / "cut.jpg").write_bytes(in_file(drawing(2), "JPEG")[:400])
    (tmp_path / "deep.tif").write_bytes(in_file(Image.new("F", (4, 4)), "TIFF"))
    (tmp_path / "folder.png").mkdir()
    pictures = ["a.png", "link.png", "out.png", "text.png", "cut.jpg", "deep.tif", "folder.png", "none.png", "../a.png"]
    rows = [row(number, images=[name]) for number, name in enumerate([*pictures, "a.png", "http://x/a.png"])]
    rows += [row(90, answer="x"), row(91, answer="1 or 2"), row(92, question="<image1>"), row(93, answer_type="numbr")]
    rows += [row(94, answer="E", answer_type="choice", choices=["a", "b"]), row(0), row(95, image="a.png"), row(3)]
    path = write(tmp_path, *rows, "[1]", "{", '"x"')
    dropped: Counter[str] = Counter()
    read = read_problems(path, ImageStore(tmp_path / "run" / "images"), check_gold, dropped, open_rows)
    found = survey(path, lambda *_: None)
    assert found.bad == dropped and dropped.total() > 12
    assert [entry.id for entry in found.entries] == [problem.id for problem in read] and len(read) > 2
    assert found.rows == len(read) + dropped.total()


def test_duplicates(tmp_path: Path):
    one = pictured(tmp_path, "1.png", in_file(drawing(1)))
    copy = pictured(tmp_path, "1.jpg", in_file(drawing(1), "JPEG", quality=60))
    other = pictured(tmp_path, "2.png", in_file(drawing(2)))
    path = write(
        tmp_path,
        row(0, question="Find x.", images=one, answer="3"),
        row(1, question="Find x.", images=one, answer="3"),
        row(2, question="  find   $x$ ", images=copy, answer="4"),
        row(3, question="Find x.", images=other, answer="3"),
        row(4, question="Find y.", images=one, answer="3"),
        row(5, question="Which?", answer="A", answer_type="choice", choices=["1/2", "1/3"]),
        row(6, question="Which?", answer="A", answer_type="choice", choices=["1/2", "1/4"]),
        row(7, question="which", answer="A", answer_type="choice", choices=["1/2", "1/4"]),
    )
    found = check(path)["duplicates"]
    assert (found["exact"], found["near"], found["contradictions"]) == (1, 2, 1)
    assert [(each["row"], each["earlier_row"], each["kind"], each["same_answer"]) for each in found["rows"]] == [
        (2, 1, "exact", True),
        (3, 1, "near", False),
        (8, 7, "near", True),
    ]


def test_many_that_look_alike_are_twins_of_the_first(tmp_path: Path):
    """In more than one block; millions of pairs would otherwise be kept."""
    sizes = [(200 + n, 150) for n in range(160)]
    files = [pictured(tmp_path, f"{n}.png", in_file(drawing(n % 2).resize(size))) for n, size in enumerate(sizes)]
    rows = [row(n, question="How many?", images=images) for n, images in enumerate(files)]
    found = check(write(tmp_path, *rows))["duplicates"]
    assert (found["exact"], found["near"]) == (0, 158)
    assert {each["earlier_row"] for each in found["rows"]} == {1, 2}


def test_a_first_picture_that_all_rows_have_makes_no_twins(tmp_path: Path):
    same = pictured(tmp_path, "same.png", in_file(drawing(1)))
    rows = [
        row(n, question="Which?", images=same + pictured(tmp_path, f"{n}.png", in_file(drawing(n))))
        for n in range(100, 230)
    ]
    again = row(1, question="which", images=same + pictured(tmp_path, "copy.jpg", in_file(drawing(105), "JPEG")))
    found = check(write(tmp_path, *rows, again))["duplicates"]
    assert [(each["row"], each["earlier_row"]) for each in found["rows"]] == [(131, 6)]


def test_all_pictures_of_a_duplicate_must_look_alike(tmp_path: Path):
    names = [pictured(tmp_path, f"{n}.png", in_file(drawing(n)))[0] for n in (1, 2, 3)]
    again = pictured(tmp_path, "1.jpg", in_file(drawing(1), "JPEG"))[0]
    both = row(0, question="Compare.", images=names[:2]), row(1, question="Compare.", images=[again, names[2]])
    assert check(write(tmp_path, *both))["duplicates"]["near"] == 0
    same = row(2, question="compare", images=[again, names[1]])
    assert check(write(tmp_path, *both, same))["duplicates"]["near"] == 1


@pytest.mark.parametrize("copy", COPIES)
def test_a_picture_of_a_benchmark_is_found_in_any_form(tmp_path: Path, copy: str):
    folder = benchmark(
        tmp_path / "lmu", ("17", "What is shown?", in_file(drawing(5))), ("18", "And?", in_file(drawing(6)))
    )
    mine = pictured(tmp_path, "mine.png", in_file(COPIES[copy](drawing(5))))
    path = write(tmp_path, row(1, images=mine), row(2, images=pictured(tmp_path, "own.png", in_file(drawing(9)))))
    found = leaks(path, folder, code=2)
    assert (found["items"], found["of"], found["leaks"]) == (2, 3040, 1)
    assert found["rows"] == [{"row": 1, "id": "p1", "index": "17", "same": "picture"}]


def test_a_question_of_a_benchmark_is_found_in_any_spelling(tmp_path: Path):
    folder = benchmark(tmp_path / "lmu", ("17", f"{ASKED}\n<image1>", in_file(drawing(5))))
    own = pictured(tmp_path, "own.png", in_file(drawing(9)))
    path = write(tmp_path, row(1, question=ASKED.upper().replace(";", " ;"), images=own), row(2))
    assert leaks(path, folder, code=2)["rows"] == [{"row": 1, "id": "p1", "index": "17", "same": "question"}]


def test_both_together_are_said_so(tmp_path: Path):
    folder = benchmark(tmp_path / "lmu", ("3", "Find x.", in_file(drawing(5))), ("4", "Find x.", in_file(drawing(6))))
    path = write(tmp_path, row(1, question="find X", images=pictured(tmp_path, "a.png", in_file(drawing(6)))))
    assert leaks(path, folder, code=2)["rows"] == [{"row": 1, "id": "p1", "index": "4", "same": "picture and question"}]


@pytest.mark.parametrize("text", ["Find x.", "What is the value of the angle marked in the figure below?"])
def test_a_question_that_many_pictures_have_is_no_leak(tmp_path: Path, text: str):
    items = [(str(n), text, in_file(drawing(n))) for n in (1, 2)]
    folder = benchmark(tmp_path / "lmu", *items)
    path = write(tmp_path, row(1, question=text, images=pictured(tmp_path, "own.png", in_file(drawing(9)))))
    found = leaks(path, folder, code=0)
    assert (found["leaks"], found["common_questions"]) == (0, 1)


def test_a_short_question_is_no_leak_even_if_it_is_asked_once(tmp_path: Path):
    folder = benchmark(tmp_path / "lmu", ("1", "Find the length of AB.", in_file(drawing(1))))
    found = leaks(write(tmp_path, row(1, question="Find the length of AB.")), folder, code=0)
    assert (found["leaks"], found["common_questions"]) == (0, 1)


def test_a_question_that_our_own_file_asks_of_many_pictures_is_no_leak(tmp_path: Path):
    folder = benchmark(tmp_path / "lmu", ("1", ASKED, in_file(drawing(1))))
    rows = [row(n, question=ASKED, images=pictured(tmp_path, f"{n}.png", in_file(drawing(n)))) for n in (5, 6)]
    found = leaks(write(tmp_path, *rows), folder, code=0)
    assert (found["leaks"], found["common_questions"]) == (0, 2)


def test_a_damaged_benchmark_file_is_not_checked_and_says_why(tmp_path: Path):
    folder = tmp_path / "lmu"
    folder.mkdir()
    (folder / "MathVision.tsv").write_text("index\tanswer\n1\t2\n")
    found = leaks(write(tmp_path, row(1)), folder, code=0)
    assert not found["checked"] and "no column" in found["why"]


def test_token_lengths_follow_the_recipe(tmp_path: Path):
    path = write(tmp_path, row(1, images=pictured(tmp_path, "a.png", in_file(drawing(1).resize((1120, 840))))))
    seven = check(path, "--recipe", "qwen2_5_vl_7b")["tokens"]
    assert seven["image"]["most"] == 1120 * 840 // 28**2 and seven["pictures_shrunk"] == 0
    assert seven["room"] == 32768 - 4096 and seven["longer_than_room"] == 0
    small = check(path, "model.max_pixels=200704", "--recipe", "qwen2_5_vl_7b")["tokens"]
    assert small["image"]["most"] <= 256 and small["pictures_shrunk"] == 1
    tight = check(path, "rl.micro_tokens=4200", "--recipe", "qwen2_5_vl_7b")["tokens"]
    assert (tight["room"], tight["longer_than_room"]) == (104, 1)


def test_lengths_are_nearly_those_of_the_processor(tmp_path: Path):
    """What a run itself counts, by the same tokenizer and the processor's own resizing."""
    from metis_rise.cluster.facts import folder_of
    from metis_rise.policy.processor import PromptLengths, load_processor
    from metis_rise.problems.prompt import PROMPT_FILE, build_messages

    images = pictured(tmp_path, "a.png", in_file(drawing(1)))
    path = write(tmp_path, row(1, question=ASKED, images=images))
    seen: list[Any] = []
    survey(path, lambda problem, sizes: seen.append((problem, sizes)))
    (problem, sizes), folder = seen[0], folder_of("tiny")
    assert folder is not None
    system = json.loads((folder / PROMPT_FILE).read_text())["system"]
    exact = PromptLengths(load_processor(folder)).exact(build_messages(problem, system), sizes)
    assert check(path)["tokens"]["prompt"]["most"] == pytest.approx(exact, abs=6)


def test_a_model_that_is_not_known_here_is_said_so(tmp_path: Path):
    path = write(tmp_path, row(1))
    assert "its config is not here" in check(path, "model.path=nobody/nothing")["tokens"]["why_not"]


def test_lines_for_people(tmp_path: Path):
    folder = benchmark(tmp_path / "lmu", ("17", ASKED, in_file(drawing(5))))
    path = write(tmp_path, row(1, question=ASKED), row(2, answer=""), row(3), row(4, question="what is 3"))
    done = CliRunner().invoke(app, ["data", "check", str(path), "--benchmarks", str(folder)], env={"COLUMNS": "80"})
    assert done.exit_code == 2
    said = done.stdout
    assert "3 of 4 rows are problems that can be used" in said
    assert "1 bad rows: answer is missing or empty 1" in said and f"{path}, row 2: " in said
    assert "row 4 (p4) asks what row 3 asks (p3), but its gold answer is another" in said
    assert "MathVista: not checked (" in said and "no MathVista_MINI.tsv" in said
    assert "give it with --benchmarks, or set $LMUData" in said
    assert "MathVision: 1 rows are in it (1 items of 3040, the others are not checked)" in said
    assert "row 1 (p1) is index 17, by its question" in said


@pytest.mark.parametrize("content", ["", "\n\n"])
def test_a_file_without_rows_is_an_error(tmp_path: Path, content: str):
    (tmp_path / "mine.jsonl").write_text(content)
    with pytest.raises(InputError, match="no rows"):
        survey(tmp_path / "mine.jsonl", lambda problem, sizes: None)


def test_a_file_that_is_not_there_is_one_line(tmp_path: Path):
    done = CliRunner().invoke(app, ["data", "check", str(tmp_path / "no.jsonl")])
    assert done.exit_code == 2 and len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("first", "second", "same"),
    [
        ("<image1> Find $x$, in \\text{cm}.", "find x in cm", True),
        ("What is shown in image 1?", "<image> What is shown in?", True),
        ("ﬁnd ½", "find 1⁄2", True),
        ("2n+1", "2n-1", False),
        ("Find x", "Find y", False),
        ("\\frac{1}{2}", "\\frac{1}{3}", False),
    ],
)
def test_the_normal_form_of_questions(first: str, second: str, same: bool):
    assert (normal(first) == normal(second)) == same
