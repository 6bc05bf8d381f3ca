"""Problem files of other tools: what is read of them, and the one line that each fault gets."""

from __future__ import annotations

import json
from collections import Counter
from io import BytesIO
from pathlib import Path
from typing import Any

import datasets
import pyarrow
import pytest
from PIL import Image
from pyarrow import parquet

from metis_rise.errors import InputError
from metis_rise.exchange.convert import convert
from metis_rise.foreign.opening import open_rows
from metis_rise.problems.images import ImageStore
from metis_rise.problems.reader import read_problems
from metis_rise.types import AnswerType, Problem
from metis_rise.verifier.gold import check_gold


def shade(level: int) -> bytes:
    buffer = BytesIO()
    Image.new("RGB", (28, 28), (level, 9, 9)).save(buffer, "PNG")
    return buffer.getvalue()


def read(path: Path, store: ImageStore, dropped: Counter[str] | None = None) -> list[Problem]:
    return read_problems(path, store, check_gold, dropped, open_rows)


def shades(problem: Problem, store: ImageStore) -> list[int]:
    return [store.open(key).getpixel((0, 0))[0] for key in problem.images]


def write_rows(path: Path, rows: list[dict[str, Any]]) -> Path:
    parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    return path


def geometry(level: int, **fields: Any) -> dict[str, Any]:
    """A row as EasyR1's Geometry3K has it."""
    row = {"images": [Image.new("RGB", (28, 28), (level, 9, 9))], "problem": f"<image>Find x{level}.", "answer": "3"}
    return row | fields


def saved(rows: list[dict[str, Any]]) -> datasets.Dataset:
    features = datasets.Features(
        {
            "images": datasets.List(datasets.Image()),
            "problem": datasets.Value("string"),
            "answer": datasets.Value("string"),
        }
    )
    return datasets.Dataset.from_list(rows, features=features)


FORMS = {
    "train-00000-of-00001.parquet": lambda data, path: data.to_parquet(path),
    "saved": lambda data, path: data.save_to_disk(path),
}


@pytest.mark.parametrize("name", FORMS)
def test_a_data_set_of_the_datasets_package(tmp_path: Path, store: ImageStore, name: str):
    FORMS[name](saved([geometry(10), geometry(200, answer="B")]), tmp_path / name)
    first, second = read(tmp_path / name, store)
    assert (first.question, first.answer, first.answer_type) == ("<image1>Find x10.", "3", AnswerType.NUMBER)
    assert (second.answer, second.answer_type) == ("B", AnswerType.CHOICE)
    assert [shades(first, store), shades(second, store)] == [[10], [200]]
    assert first.family == ("saved" if name == "saved" else "train")
    assert first.id != second.id
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([name, "images"]), "no spool is left"


def test_rows_that_were_filtered_out_of_a_saved_data_set_are_not_read(tmp_path: Path, store: ImageStore):
    saved([geometry(10), geometry(200)]).select([1]).save_to_disk(tmp_path / "saved")
    assert [shades(problem, store) for problem in read(tmp_path / "saved", store)] == [[200]]


def test_splits_and_shards(tmp_path: Path, store: ImageStore):
    data = saved([geometry(level) for level in (10, 20, 30)])
    datasets.DatasetDict({"train": data, "test": data}).save_to_disk(tmp_path / "both")
    with pytest.raises(InputError, match=r"several splits \(test, train\); name one of them, such as .*/both/train"):
        read(tmp_path / "both", store)
    assert len(read(tmp_path / "both" / "train", store)) == 3
    shards = tmp_path / "shards"
    shards.mkdir()
    for index in range(3):
        data.select([index]).to_parquet(shards / f"train-0000{index}-of-00003.parquet")
    for path in (shards, shards / "train-*.parquet"):
        found = read(path, store)
        assert [shades(problem, store) for problem in found] == [[10], [20], [30]]
        assert {problem.family for problem in found} == {"shards" if path == shards else "train"}


def test_a_single_column_of_pictures_and_one_of_names_beside_it(tmp_path: Path, store: ImageStore):
    rows = [
        {
            "question": "Which?",
            "options": ["red", "blue"],
            "answer": "blue",
            "image": "images/1.jpg",
            "decoded_image": {"bytes": shade(70), "path": None},
            "level": 4,
        }
    ]
    (got,) = read(write_rows(tmp_path / "vision.parquet", rows), store)
    assert (got.choices, got.answer, got.answer_type, got.level) == (("red", "blue"), "B", AnswerType.CHOICE, 4)
    assert shades(got, store) == [70] and got.meta == {"level": 4, "family": "vision"}


def verl(**fields: Any) -> dict[str, Any]:
    """A row as verl's own scripts write Geometry3K."""
    return {
        "data_source": "hiyouga/geometry3k",
        "prompt": [{"role": "user", "content": "<image>Find x. You FIRST think, then answer in \\boxed{}."}],
        "images": [{"bytes": shade(40), "path": None}],
        "ability": "math",
        "reward_model": {"style": "rule", "ground_truth": "48"},
        "extra_info": {"split": "train", "index": 0, "answer": "48", "question": "<image>Find x."},
    } | fields


def test_verl(tmp_path: Path, store: ImageStore):
    (got,) = read(write_rows(tmp_path / "train.parquet", [verl()]), store)
    assert (got.question, got.answer, got.answer_type) == ("<image1>Find x.", "48", AnswerType.NUMBER)
    assert (got.source, got.family, got.solution) == ("hiyouga/geometry3k", "hiyouga/geometry3k", None)
    assert shades(got, store) == [40] and got.meta["split"] == "train" and got.meta["ability"] == "math"


@pytest.mark.parametrize(
    ("prompt", "alone", "read_as"),
    [
        ("<image>Find x. Think first.", "Find x.", "Find x."),
        ("In <image> find x. Think first.", "Find x.", "In <image1> find x. Think first."),
        ("In <image> find x. Think first.", "In <image> find x.", "In <image1> find x."),
    ],
)
def test_verls_bare_question_is_taken_where_the_pictures_keep_their_places(
    tmp_path: Path, store: ImageStore, prompt: str, alone: str, read_as: str
):
    row = verl(prompt=[{"role": "user", "content": prompt}], extra_info={"question": alone})
    assert read(write_rows(tmp_path / "train.parquet", [row]), store)[0].question == read_as


def test_verl_without_the_bare_question_and_with_a_worked_solution(tmp_path: Path, store: ImageStore):
    text = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "2 + 2?"}]
    rows = [verl(prompt=text, images=[], extra_info={"index": 1, "answer": "2 + 2 = 4 #### 4"})]
    rows[0]["reward_model"]["ground_truth"] = "4"
    (got,) = read(write_rows(tmp_path / "gsm8k.parquet", rows), store)
    assert (got.question, got.answer, got.solution, got.images) == ("2 + 2?", "4", "2 + 2 = 4 #### 4", ())


REPLY = "<think> One pen is 0.7. </think><answer> \\boxed{1.4} </answer>"
CHATS = {
    "conversations": [{"from": "human", "value": "<image>How much?"}, {"from": "gpt", "value": REPLY}],
    "messages": [
        {"role": "system", "content": "Think."},
        {"role": "user", "content": "<image>How much?"},
        {"role": "assistant", "content": REPLY},
    ],
}


@pytest.mark.parametrize("column", CHATS)
@pytest.mark.parametrize("ending", [".json", ".jsonl", ".parquet"])
def test_chats_as_llama_factory_has_them(tmp_path: Path, store: ImageStore, column: str, ending: str):
    (tmp_path / "1.png").write_bytes(shade(90))
    rows = [{column: CHATS[column], "images": ["1.png"]}]
    file = tmp_path / f"mine{ending}"
    if ending == ".parquet":
        write_rows(file, rows)
    else:
        file.write_text(json.dumps(rows) if ending == ".json" else json.dumps(rows[0]))
    (got,) = read(file, store)
    assert (got.question, got.answer, got.answer_type) == ("<image1>How much?", "1.4", AnswerType.NUMBER)
    assert got.solution == REPLY and shades(got, store) == [90] and got.family == "mine"


def test_a_chat_whose_parts_hold_the_pictures(tmp_path: Path, store: ImageStore):
    (tmp_path / "1.png").write_bytes(shade(90))
    parts = [{"type": "text", "text": "Is "}, {"type": "image", "image": "1.png"}, {"type": "text", "text": "red?"}]
    row = {"messages": [{"role": "user", "content": parts}], "answer": "yes"}
    (tmp_path / "parts.jsonl").write_text(json.dumps(row))
    (got,) = read(tmp_path / "parts.jsonl", store)
    assert got.question == "Is <image1>red?" and shades(got, store) == [90] and got.answer_type is AnswerType.TEXT


@pytest.mark.parametrize("column", ["problem", "question"])
def test_a_folder_of_pictures_with_their_metadata(tmp_path: Path, store: ImageStore, column: str):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "1.png").write_bytes(shade(90))
    row = {"file_name": "1.png", column: "How many?", "answer": 7}
    (tmp_path / "data" / "metadata.jsonl").write_text(json.dumps(row))
    (got,) = read(tmp_path / "data", store)
    assert got.answer == "7" and shades(got, store) == [90]


def test_every_row_of_a_metadata_folder_is_translated(tmp_path: Path, store: ImageStore):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "metadata.jsonl").write_text('{"question": "How many?", "answer": 7}')
    assert read(tmp_path / "data", store)[0].answer_type is AnswerType.NUMBER


@pytest.mark.parametrize("column", ["image", "decoded_image", "file_name", "image_1"])
def test_lines_with_a_question_and_a_picture_by_another_name(tmp_path: Path, store: ImageStore, column: str):
    (tmp_path / "1.png").write_bytes(shade(90))
    own = {"question": "How many?", "answer": "4", "answer_type": "number"}
    rows = [own, {"question": "Is it red?", "answer": "yes", column: "1.png"}]
    (tmp_path / "mine.jsonl").write_text("\n".join(map(json.dumps, rows)))
    first, second = read(tmp_path / "mine.jsonl", store)
    assert first.images == () and shades(second, store) == [90] and column not in second.meta


def test_options_in_lines_of_our_own_become_choices(tmp_path: Path, store: ImageStore):
    own = {"question": "How many?", "answer": "4", "answer_type": "number"}
    rows = [own, {"question": "Which?", "answer": "blue", "answer_type": "choice", "options": ["red", "blue"]}]
    (tmp_path / "mine.jsonl").write_text("\n".join(map(json.dumps, rows)))
    first, second = read(tmp_path / "mine.jsonl", store)
    assert first.choices is None and (second.choices, second.answer) == (("red", "blue"), "B")


@pytest.mark.parametrize(
    "options",
    ["['left', \"it's right\"]", '["left", "it\'s right"]', {"text": ["left", "it's right"], "label": ["A", "B"]}],
)
def test_options_written_as_mmmu_and_arc_have_them(tmp_path: Path, store: ImageStore, options: Any):
    row = {"question": "Where?", "options": options, "answer": "B"}
    assert read(write_rows(tmp_path / "a.parquet", [row]), store)[0].choices == ("left", "it's right")


@pytest.mark.parametrize("options", ["[]", "", None, float("nan"), {"text": None, "label": None}])
def test_no_options_are_no_choices(tmp_path: Path, store: ImageStore, options: Any):
    row = {"question": "How many?", "options": options, "answer": "4"}
    (got,) = read(write_rows(tmp_path / "a.parquet", [row]), store)
    assert got.choices is None and got.answer_type is AnswerType.NUMBER


def test_numbered_columns_of_pictures_and_their_markers(tmp_path: Path, store: ImageStore):
    pictures = {f"image_{number}": {"bytes": shade(number * 10), "path": None} for number in (10, 2, 1)}
    row = pictures | {"image_3": None, "question": "Is <image 1> like <image 2>?", "answer": "yes"}
    (got,) = read(write_rows(tmp_path / "a.parquet", [row]), store)
    assert got.question == "Is <image2> like <image3>?" and shades(got, store) == [100, 10, 20]
    assert got.meta == {"family": "a"}


def test_a_worked_answer_ends_in_the_gold_answer(tmp_path: Path, store: ImageStore):
    (got,) = read(write_rows(tmp_path / "a.parquet", [{"question": "2 + 2?", "answer": "2 + 2 = 4\n#### 4"}]), store)
    assert (got.answer, got.answer_type, got.solution) == ("4", AnswerType.NUMBER, "2 + 2 = 4\n#### 4")


def test_what_verl_scores_by_goes_before_the_answer(tmp_path: Path, store: ImageStore):
    assert read(write_rows(tmp_path / "a.parquet", [verl(answer="it is 48 because")]), store)[0].answer == "48"


@pytest.mark.parametrize(
    ("names", "example"),
    [
        (["test-00000-of-00001", "train-00000-of-00002", "train-00001-of-00002"], r"train-\*"),
        (["dev", "test"], "dev"),
    ],
)
def test_a_folder_of_several_sets_is_refused(tmp_path: Path, store: ImageStore, names: list[str], example: str):
    for name in names:
        write_rows(tmp_path / f"{name}.parquet", [{"problem": f"{name}?", "answer": "4"}])
    with pytest.raises(InputError, match=rf"several sets .*test.*; name one, such as .*/{example}\.parquet$"):
        read(tmp_path, store)


@pytest.mark.parametrize(
    "names",
    [("0000", "0001"), ("train-00000-of-00002-a09b74b3ef9c3b56", "train-00001-of-00002-0123456789abcdef")],
)
def test_shards_of_other_names_are_one_set(tmp_path: Path, store: ImageStore, names: tuple[str, str]):
    for name in names:
        write_rows(tmp_path / f"{name}.parquet", [{"problem": f"{name}?", "answer": "4"}])
    assert len(read(tmp_path, store)) == 2


def test_our_own_rows_are_read_as_before(tmp_path: Path, store: ImageStore):
    (tmp_path / "own.jsonl").write_text('{"question": "How many?", "answer": "4"}')
    with pytest.raises(InputError, match="answer_type is missing"):
        read(tmp_path / "own.jsonl", store)


@pytest.mark.parametrize(
    ("solution", "gold"), [(REPLY, "1.4"), ("$\\frac{1}{3}$", "$\\frac{1}{3}$"), ("So the answer is 12.", "12")]
)
def test_a_gold_answer_is_read_from_the_solution_where_no_column_has_it(
    tmp_path: Path, store: ImageStore, solution: str, gold: str
):
    file = write_rows(tmp_path / "trl.parquet", [{"prompt": "How much?", "solution": solution}])
    assert read(file, store)[0].answer == gold


TURNS = [*CHATS["conversations"], {"from": "human", "value": "Why?"}]
BAD = {
    "no question": ({"answer": "4"}, "no question; name its column question, problem or prompt"),
    "no gold": ({"problem": "x?", "answer": None}, "no gold answer; name its column answer or ground_truth"),
    "mute": ({"problem": "x?", "solution": "it follows"}, "no gold answer, and none can be read from the reply"),
    "many": ({"problem": "x?", "answer": ["1", "2"]}, "the answer is not one text or number"),
    "turns": ({"conversations": TURNS}, r"no single question \(human, gpt, human\)"),
    "film": ({"problem": "x?", "answer": "4", "videos": ["a.mp4"]}, "videos cannot be read"),
    "outside": ({"problem": "x?", "answer": "4", "images": ["/etc/hostname"]}, "is outside of"),
    "address": (
        {"problem": "x?", "answer": "4", "images": ["http://x"]},
        "is an address, and nothing is fetched",
    ),
    "garbage": (
        {"problem": "x?", "answer": "4", "images": [{"bytes": b"GIF", "path": "a"}]},
        "its image 1; the picture cannot be d",
    ),
    "control": ({"problem": "<|im_end|>", "answer": "4"}, r"control token <\|im_end\|>"),
    "missing number": ({"problem": "x?", "answer": float("nan")}, "no gold answer; name its column"),
    "long": ({"problem": "x?", "answer": "9" * 10_000}, "answer has 10000 characters; write one of at most"),
    "no such option": (
        {"problem": "x?", "answer": "E", "choices": ["red", "blue"]},
        "answer 'E' is none of the choices; write a letter from A to B",
    ),
    "options": ({"problem": "x?", "answer": "A", "options": "red or blue"}, "options is no list of texts; write"),
    "lettered options": ({"problem": "x?", "answer": "A", "options": {"A": "red", "B": "blue"}}, "options is no list"),
    "other labels": (
        {"problem": "x?", "answer": "1", "choices": {"text": ["red", "blue"], "label": ["1", "2"]}},
        "choices is no list of texts",
    ),
    "elsewhere": (
        {"problem": "x?", "answer": "4", "figure": {"bytes": shade(3), "path": None}},
        "its picture is in the column 'figure', which is not known; name its column images",
    ),
    "place": (
        {"problem": "x?", "answer": 1, "choices": ["1", "2", "3"]},
        "answer is the number 1 beside choices; write the letter or the text",
    ),
    "judge": ({"problem": "x?", "answer": "3 or 5"}, "cannot be judged: it lists alternatives"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_fault_names_the_file_and_the_row(tmp_path: Path, store: ImageStore, name: str):
    row, said = BAD[name]
    file = write_rows(tmp_path / "bad.parquet", [row])
    with pytest.raises(InputError, match=said) as fault:
        read(file, store)
    assert str(fault.value).startswith(f"{file}, row 1: ")
    assert sorted(path.name for path in tmp_path.iterdir()) in (["bad.parquet"], ["bad.parquet", "images"])


def test_bad_rows_are_left_out_and_counted(tmp_path: Path, store: ImageStore):
    rows = [{"problem": "x?", "answer": "4"}, {"problem": "y?", "answer": None}]
    dropped: Counter[str] = Counter()
    assert len(read(write_rows(tmp_path / "some.parquet", rows), store, dropped)) == 1
    assert dropped.total() == 1


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.parquet", b"PAR1 no", "cannot be read as parquet"),
        ("a.json", b'{"problem": 1}', "not a list"),
        ("a.json", b"[", "not JSON"),
    ],
)
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, store: ImageStore, name: str, content: bytes, said: str):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=f"{name}: .*{said}|{name}: {said}"):
        read(tmp_path / name, store)


@pytest.mark.parametrize("name", ["no.parquet", "no.json", "no.jsonl", "no-*.parquet"])
def test_a_file_that_is_not_there_is_said(tmp_path: Path, store: ImageStore, name: str):
    with pytest.raises(InputError, match="there is no such file"):
        read(tmp_path / name, store)


def test_a_folder_of_nothing_is_said(tmp_path: Path, store: ImageStore):
    with pytest.raises(InputError, match=r"a folder with no problems that can be read; give a \.jsonl"):
        read(tmp_path, store)


def test_what_is_converted_reads_as_the_same_problems(tmp_path: Path, store: ImageStore):
    saved([geometry(10), geometry(200, answer="B")]).save_to_disk(tmp_path / "saved")
    convert(tmp_path / "saved", tmp_path / "mine", skip_bad=False)
    before, after = read(tmp_path / "saved", store), read_problems(tmp_path / "mine" / "problems.jsonl", store)
    assert after == before
    with pytest.raises(InputError, match="mine: exists; name a new folder with --to"):
        convert(tmp_path / "saved", tmp_path / "mine", skip_bad=False)


def test_a_conversion_that_fails_leaves_nothing(tmp_path: Path):
    file = write_rows(tmp_path / "bad.parquet", [{"problem": "x?", "answer": None}])
    with pytest.raises(InputError):
        convert(file, tmp_path / "mine", skip_bad=False)
    assert [path.name for path in tmp_path.iterdir()] == ["bad.parquet"]
