"""Problem files: what is read, and the one line that each fault gets."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from metis_rise.errors import InputError
from metis_rise.problems.images import ImageStore
from metis_rise.problems.prompt import build_messages
from metis_rise.problems.reader import dump_problems, load_problems, read_problems
from metis_rise.terminal import bar
from metis_rise.types import AnswerType, Problem
from metis_rise.verifier.judge import judge

SLICES = {"tabmwp": 300, "mmk12": 200, "geometry3k": 29, "nlvr": 120, "mathvision": 60, "logicvista": 60}

Read = Callable[..., list[Problem]]


@pytest.fixture
def read(tmp_path: Path, store: ImageStore, png: bytes) -> Read:
    """Writes rows (objects or raw lines) beside two pictures and reads them."""
    (tmp_path / "a.png").write_bytes(png)
    (tmp_path / "broken.png").write_bytes(png[:30])

    def write_and_read(*rows: dict[str, Any] | str | bytes, **options: Any) -> list[Problem]:
        lines = [json.dumps(row) if isinstance(row, dict) else row for row in rows]
        data = b"\n".join(line.encode() if isinstance(line, str) else line for line in lines)
        (tmp_path / "mine.jsonl").write_bytes(data)
        return read_problems(tmp_path / "mine.jsonl", store, **options)

    return write_and_read


def row(**fields: Any) -> dict[str, Any]:
    return {"question": "How many?", "answer": "4", "answer_type": "number"} | fields


def choice(answer: Any, choices: list[Any] | None, **fields: Any) -> dict[str, Any]:
    return row(answer=answer, answer_type="choice", choices=choices, **fields)


def test_a_full_row(read: Read, store: ImageStore) -> None:
    (got,) = read(
        row(id="r1", images=["a.png"], source="me", split="dev", solution=" 2 + 2 = 4 ", meta={"grade": 7}, unit="cm")
    )
    assert (got.id, got.answer, got.answer_type, got.source) == ("r1", "4", AnswerType.NUMBER, "me")
    assert (got.solution, got.family, got.level) == ("2 + 2 = 4", "mine", 0)
    assert got.meta == {"grade": 7, "split": "dev", "unit": "cm"}
    assert store.open(got.images[0]).size == (6, 4)


def test_optional_fields_may_be_missing_and_blank_lines_are_skipped(read: Read) -> None:
    first, second = read(row(id="r1"), "", row(id=2, images=None, choices=None, meta=None, source=None), "")
    assert (first.images, first.choices, first.solution, first.meta) == ((), None, None, {})
    assert second.id == "2"


def test_family_and_solution_come_from_meta(read: Read) -> None:
    (got,) = read(row(meta={"family": "clocks", "solution": "half past"}))
    assert (got.family, got.solution) == ("clocks", "half past")


@pytest.mark.parametrize(("value", "level"), [(4, 4), ("Level 4", 0), (True, 0), (None, 0), (4.5, 0)])
def test_a_level_is_a_whole_number_wherever_it_stands(read: Read, value: object, level: int) -> None:
    (inside,) = read(row(meta={"level": value}))
    (beside,) = read(row(level=value))
    assert (inside.level, beside.level) == (level, level)


def test_what_is_nested_as_deep_as_may_be_is_written_and_loaded_again(read: Read, tmp_path: Path) -> None:
    deep = json.loads("[" * 63 + "]" * 63)
    problems = read(row(odd=deep, meta={"own": 1}))
    assert problems[0].meta["odd"] == deep
    dump_problems(problems, tmp_path / "train.jsonl")
    assert load_problems(tmp_path / "train.jsonl") == problems


def test_a_missing_id_is_made_from_the_content(read: Read) -> None:
    first, second = read(row(), row(question="How much?"))
    assert first.id != second.id
    assert read(row(question="How much?"))[0].id == second.id


ALIASES = {
    "choice": ["mcq", "Multiple Choice", "multiple_choice"],
    "number": ["integer", "int", "float", "decimal", "fraction", "percent"],
    "text": ["free-form", "string", "expression", "text"],
}


@pytest.mark.parametrize(("alias", "kind"), [(alias, kind) for kind, names in ALIASES.items() for alias in names])
def test_answer_type_aliases(read: Read, alias: str, kind: str) -> None:
    assert read(row(answer_type=alias, answer="A"))[0].answer_type == kind


@pytest.mark.parametrize(
    ("answer", "choices", "letter"),
    [
        ("B", ["3", "4"], "B"),
        ("(B)", ["3", "4"], "B"),
        ("b", ["3", "4"], "B"),
        ("4", ["3", "4"], "B"),
        (4, [3, 4], "B"),
        ("True", ["true", "false"], "A"),
        ("X", ["X", "Y"], "A"),
        ("b", ["b", "a"], "A"),
        ("A and B", ["A and B", "A and C"], "A"),
        ("A and C", ["x", "y", "z"], "A, C"),
        ("D, B", None, "B, D"),
        ("D", None, "D"),
    ],
)
def test_a_choice_answer_becomes_its_letter(read: Read, answer: Any, choices: list[Any] | None, letter: str) -> None:
    assert read(choice(answer, choices))[0].answer == letter


def test_options_lose_their_own_letters(read: Read) -> None:
    assert read(choice("B", ["A. 3", "(B) 4"]))[0].choices == ("3", "4")
    assert read(choice("B. blue", ["A. red", "B. blue"]))[0].answer == "B"
    assert read(choice("2", ["1", "2", "3"]))[0].answer == "B"
    assert read(choice("A", ["A cat", "B flat"]))[0].choices == ("A cat", "B flat")


@pytest.mark.parametrize(("answer", "text"), [(4, "4"), (-2.5, "-2.5"), (" 1,207 ", "1,207"), (0, "0")])
def test_number_answers_become_text(read: Read, answer: Any, text: str) -> None:
    assert read(row(answer=answer))[0].answer == text


def test_pictures_follow_the_order_of_their_markers(read: Read, tmp_path: Path, store: ImageStore) -> None:
    Image.new("RGB", (3, 3)).save(tmp_path / "b.bmp")
    (got,) = read(row(question="<image2> before <image1>", images=["a.png", "b.bmp"]))
    assert [store.open(key).size for key in got.images] == [(3, 3), (6, 4)]
    assert got.question == "<image1> before <image2>"


def test_pictures_lie_in_the_folder_of_the_file_however_they_are_named(
    tmp_path: Path, store: ImageStore, png: bytes
) -> None:
    folder, elsewhere = tmp_path / "data", tmp_path / "elsewhere"
    for each in (folder / "sub", elsewhere):
        each.mkdir(parents=True)
        (each / "a.png").write_bytes(png)
    (folder / "inside.png").symlink_to(folder / "sub" / "a.png")
    (folder / "outside.png").symlink_to(elsewhere / "a.png")
    (folder / "linked").symlink_to(elsewhere)
    # The folder itself may be reached over a link.
    (tmp_path / "link").symlink_to(folder)
    file = tmp_path / "link" / "rows.jsonl"
    fine = ["sub/a.png", "sub/../sub/a.png", str(folder / "sub" / "a.png"), "inside.png"]
    file.write_text(json.dumps(row(images=fine)))
    assert len(read_problems(file, store)[0].images) == 4
    for name in ("../elsewhere/a.png", str(elsewhere / "a.png"), "outside.png", "linked/a.png"):
        file.write_text(json.dumps(row(images=[name])))
        with pytest.raises(InputError, match="is outside of"):
            read_problems(file, store)


@pytest.mark.parametrize("name", ["http://127.0.0.1/a.png", "HTTPS://host/a.png", "file:///a.png", "data:image/png,x"])
def test_addresses_are_not_fetched(read: Read, name: str) -> None:
    with pytest.raises(InputError, match="is an address, and nothing is fetched; download it"):
        read(row(images=[name]))


BAD_ROWS: list[tuple[dict[str, Any] | str | bytes, str, str]] = [
    ("{not json", "not JSON", "write one JSON object per line"),
    ('{"question": NaN}', "NaN is not JSON", "write one JSON object per line"),
    ("[" * 100_000, "not JSON", "write one JSON object per line"),
    ('{"question": "\\ud800"}', "not UTF-8", "in UTF-8"),
    (b'{"question": "\xff"}', "not UTF-8", "in UTF-8"),
    ("[1, 2]", "not a JSON object", "write one JSON object per line"),
    (row(question=" "), "question is missing or empty", "write the question"),
    (row(question=["?"]), "question is a list", "as a string"),
    (row(answer=""), "answer is missing or empty", "write the gold answer"),
    (row(answer="  "), "answer is missing or empty", "write the gold answer"),
    (row(answer=None), "answer is missing or empty", "write the gold answer"),
    (row(answer=True), "answer is true/false", "as a string or a number"),
    (row(answer=["4"]), "answer is a list", "as a string or a number"),
    (row(answer="4" * 201), "answer has 201 characters", "at most 200"),
    (row(answer_type="numbr"), "unknown answer_type 'numbr'", "did you mean 'number'?"),
    (row(answer_type="zzz"), "unknown answer_type 'zzz'", "known: choice, number, text"),
    (row(answer_type=None), "answer_type is missing", "known: choice, number, text"),
    (row(choices=["3", "4"]), "choices are given but answer_type is 'number'", "use 'choice'"),
    (choice(1, ["1", "2", "3"]), "answer is the number 1 beside choices", "write the letter or the text"),
    (choice("A", {"A": 3}), "choices is not a list", "or null"),
    (choice("A", ["3", " "]), "choices is not a list of non-empty texts", "or null"),
    (choice("A", ["3"]), "choices has 1 options", "give 2 to 26"),
    (choice("C", ["3", "4"]), "answer 'C' is none of the choices", "from A to B"),
    (choice("A, C", ["3", "4"]), "answer 'A, C' is none of the choices", "from A to B"),
    (choice("4", ["4", "4"]), "answer '4' is none of the choices", "from A to B"),
    (choice("true", None), "answer 'true' is no option letter", "use answer_type text"),
    (row(images=["gone.png"]), "there is no image file", "relative to"),
    (row(images=["."]), "there is no image file", "relative to"),
    (row(images=["broken.png"]), "cannot be decoded", "save it again as PNG or JPEG"),
    (row(images="a.png"), "images is not a list", "write a list"),
    (row(image="a.png"), "unknown field 'image'", "rename it to 'images'"),
    (row(question="See <image2>", images=["a.png"]), "marker <image2> but there are 1", "list every picture"),
    (row(id=""), "id is ''", "leave id out"),
    (row(id=["a"]), "id is ['a']", "leave id out"),
    (row(id=True), "id is True", "leave id out"),
    (row(id="same"), "id 'same' is already used in row 1", "an id of its own"),
    (row(meta=[]), "meta is a list", "write an object"),
    (row(meta={"solution": 3}), "meta.solution is a number", "as a string"),
    (row(meta={"family": 3}), "meta.family is 3", "leave it out"),
    (row(solution=3), "solution is a number", "as a string"),
]


@pytest.mark.parametrize(("bad", "what", "mend"), BAD_ROWS)
def test_a_bad_row_gets_one_line_with_file_row_and_mend(
    read: Read, tmp_path: Path, bad: dict[str, Any] | str | bytes, what: str, mend: str
) -> None:
    with pytest.raises(InputError) as caught:
        read(row(id="same"), "", bad)
    message = str(caught.value)
    assert message.startswith(f"{tmp_path / 'mine.jsonl'}, row 3: ")
    assert what in message
    assert mend in message.partition("; ")[2]
    assert "\n" not in message


def no_alternatives(answer: str, kind: AnswerType, choices: Sequence[str] | None) -> str | None:
    return "it names alternatives" if " or " in answer else None


def test_a_gold_answer_that_cannot_be_judged_is_a_bad_row(read: Read, tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        read(row(), row(answer="3 or 5"), check_gold=no_alternatives)
    message = str(caught.value)
    assert message.startswith(f"{tmp_path / 'mine.jsonl'}, row 2: answer '3 or 5' cannot be judged: it names alternat")
    assert "--skip-bad" in message and "\n" not in message


def test_the_check_sees_the_answer_as_it_will_be_judged(read: Read) -> None:
    seen: list[tuple[str, AnswerType, Any]] = []

    def check(answer: str, kind: AnswerType, choices: Sequence[str] | None) -> None:
        seen.append((answer, kind, choices))

    read(choice("blue", ["A. red", "B. blue"]), row(answer=2.5), check_gold=check)
    assert seen == [("B", AnswerType.CHOICE, ("red", "blue")), ("2.5", AnswerType.NUMBER, None)]


def test_all_bad_rows_are_told_at_once(read: Read, tmp_path: Path, store: ImageStore) -> None:
    rows = [row(id=number, answer=["1", ""][number % 2], images=["a.png"]) for number in range(20)]
    with pytest.raises(InputError) as caught:
        read(*rows)
    *named, last = str(caught.value).splitlines()
    assert [line.partition(":")[0].rpartition(" ")[2] for line in named] == ["2", "4", "6", "8", "10"]
    assert last == (
        f"{tmp_path / 'mine.jsonl'}: 10 of 20 rows cannot be used; mend them, or leave them out with --skip-bad"
    )
    assert not store.folder.exists()


def test_skipped_rows_are_counted_by_reason(read: Read) -> None:
    dropped: Counter[str] = Counter()
    bad = [
        row(answer="3 or 5", question="one"),
        row(answer="4 or 5", question="two"),
        "{not json",
        b'{"question": "\xff"}',
        row(answer_type="numbr"),
        row(answer_type="nmber"),
        row(images=["broken.png"], question="three"),
        row(images=["gone.png"]),
        row(images=["gone too.png"]),
        row(image="a.png"),
        row(answer="4" * 300),
        row(id="good"),
        choice("E", ["1", "2"]),
    ]
    (got,) = read(row(id="good"), *bad, check_gold=no_alternatives, dropped=dropped)
    assert got.id == "good"
    assert dropped == {
        "gold answer: it names alternatives": 2,
        "not JSON": 1,
        "not UTF-8": 1,
        "unknown answer_type": 2,
        "image cannot be decoded": 1,
        "no such image file": 2,
        "unknown field": 1,
        "answer too long": 1,
        "id used before": 1,
        "answer is none of the choices": 1,
    }


def test_a_file_without_a_good_row_is_an_error_in_any_case(read: Read) -> None:
    dropped: Counter[str] = Counter()
    with pytest.raises(InputError, match=r"row 1: question is missing[^\n]*\n[^\n]*row 2[^\n]*\n.*2 of 2 rows cannot"):
        read(row(question=""), row(answer=""), dropped=dropped)
    with pytest.raises(InputError, match="the file has no rows"):
        read("", dropped=dropped)
    assert not dropped


@pytest.mark.parametrize(("bad", "what", "mend"), BAD_ROWS)
def test_every_bad_row_can_be_skipped_and_counted(
    read: Read, tmp_path: Path, bad: dict[str, Any] | str | bytes, what: str, mend: str
) -> None:
    dropped: Counter[str] = Counter()
    assert [problem.id for problem in read(row(id="same"), bad, dropped=dropped)] == ["same"]
    (reason,) = dropped
    assert dropped[reason] == 1 and str(tmp_path) not in reason and len(reason) < 60


def test_a_bad_last_row_stores_no_picture(read: Read, store: ImageStore) -> None:
    with pytest.raises(InputError):
        read(row(images=["a.png"]), row(answer=""))
    assert not store.folder.exists()


def test_repeated_rows_without_ids_are_refused(read: Read) -> None:
    with pytest.raises(InputError, match=r"row 2: id .* is already used in row 1; remove the repeated row"):
        read(row(), row())


def test_files_that_are_missing_folders_or_empty(tmp_path: Path, store: ImageStore, read: Read) -> None:
    with pytest.raises(InputError, match=r"no\.jsonl: there is no such file; give the path"):
        read_problems(tmp_path / "no.jsonl", store)
    with pytest.raises(InputError, match="this is a folder; give the path of the JSONL file"):
        read_problems(tmp_path, store)
    with pytest.raises(InputError, match=r"mine\.jsonl: the file has no rows; write one"):
        read("", "  ")


def test_rows_and_pictures_show_their_progress(
    read: Read, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("LINE_EVERY_S", "COUNTED_EVERY_S", "_LINE_EVERY_SHARE"):
        monkeypatch.setattr(bar, name, 0.0)
    for number in range(3):
        (tmp_path / f"{number}.png").hardlink_to(tmp_path / "a.png")
    problems = read(*(row(id=number, images=[f"{number}.png"]) for number in range(3)))
    assert len({problem.images for problem in problems}) == 1 and len(problems) == 3
    said = capsys.readouterr().err
    assert "rows of mine.jsonl: 3 rows" in said and "pictures of mine.jsonl: 3/3 pictures" in said


def test_a_byte_order_mark_and_line_separators_inside_strings_are_read(read: Read) -> None:
    raw = json.dumps(row(question="one\u2028two"), ensure_ascii=False).encode()
    assert read(b"\xef\xbb\xbf" + raw)[0].question == "one\u2028two"


def test_dumped_problems_load_unchanged(read: Read, tmp_path: Path) -> None:
    problems = read(choice("B", ["π", "2π"], images=["a.png"], meta={"k": [1, None]}), row(solution="so"))
    dump_problems(problems, tmp_path / "out.jsonl")
    assert load_problems(tmp_path / "out.jsonl") == problems


def test_a_damaged_dump_is_an_input_error(tmp_path: Path) -> None:
    (tmp_path / "out.jsonl").write_text('{"id": "x"}\n')
    with pytest.raises(InputError, match=r"out\.jsonl row 1: not a problem of a run .*; start a new run"):
        load_problems(tmp_path / "out.jsonl")


@pytest.mark.shared_data
@pytest.mark.parametrize("name", SLICES)
def test_every_shared_slice_reads_and_its_gold_answers_judge_right(
    shared_data: Path, store: ImageStore, name: str
) -> None:
    problems = read_problems(shared_data / name / f"{name}.jsonl", store)
    assert len(problems) == SLICES[name]
    for problem in problems:
        assert store.path(problem.images[0]).is_file()
        parts = build_messages(problem, None)[0]["content"]
        assert sum(part["type"] == "image" for part in parts) == len(problem.images)
        gold = rf"<think> so </think><answer>\boxed{{{problem.answer}}}</answer>"
        assert judge(problem, gold).strict, problem.id
    if name == "tabmwp":
        assert all(problem.solution for problem in problems)
