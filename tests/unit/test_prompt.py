"""A problem becomes chat messages with every picture where the question wants it."""

from __future__ import annotations

from pathlib import Path

import pytest

from metis_rise.errors import InputError
from metis_rise.problems.prompt import arrange, build_messages, load_system
from metis_rise.types import AnswerType, Problem
from metis_rise.verifier.format import format_fault

IMAGE = {"type": "image"}


def text(content: str) -> dict[str, str]:
    return {"type": "text", "text": content}


def problem(question: str, images: int = 1, choices: tuple[str, ...] | None = None) -> Problem:
    keys = tuple(f"{number:064x}" for number in range(images))
    return Problem("p", question, "A", AnswerType.CHOICE, images=keys, choices=choices)


def user_parts(asked: Problem) -> list[dict[str, str]]:
    (message,) = build_messages(asked, None)
    assert message["role"] == "user"
    return message["content"]


def test_system_message_only_when_there_is_one() -> None:
    messages = build_messages(problem("Why?"), "Be brief.")
    assert messages[0] == {"role": "system", "content": [text("Be brief.")]}
    assert [message["role"] for message in messages] == ["system", "user"]
    assert [message["role"] for message in build_messages(problem("Why?"), None)] == ["user"]


@pytest.mark.parametrize(
    ("question", "images", "parts"),
    [
        ("How many?", 0, [text("How many?")]),
        ("How many?", 2, [IMAGE, IMAGE, text("How many?")]),
        ("See <image1> and count.", 1, [text("See "), IMAGE, text("and count.")]),
        ("Count. <image>", 1, [text("Count. "), IMAGE]),
        ("<image> or <image>?", 2, [IMAGE, text("or "), IMAGE, text("?")]),
        ("Is <image1> like <image2>? Look at <image1>.", 2, [
            text("Is "), IMAGE, text("like "), IMAGE, text("? Look at image 1."),
        ]),
        ("Compare with <image2>.", 2, [IMAGE, text("Compare with "), IMAGE, text(".")]),
    ],
)  # fmt: skip
def test_pictures_stand_at_their_markers_else_first(question: str, images: int, parts: list[dict[str, str]]) -> None:
    assert user_parts(problem(question, images)) == parts


def test_options_follow_as_lettered_lines() -> None:
    assert user_parts(problem("Which?", 1, ("red", "blue"))) == [IMAGE, text("Which?\nA. red\nB. blue")]
    assert user_parts(problem("Which? <image1>", 1, ("red", "blue"))) == [
        text("Which? "),
        IMAGE,
        text("A. red\nB. blue"),
    ]


def test_options_that_are_only_their_letters_are_drawn_in_the_picture() -> None:
    assert user_parts(problem("Which?", 1, ("A", "B", "C"))) == [IMAGE, text("Which?")]


def test_arrange_puts_pictures_in_the_order_of_their_markers() -> None:
    assert arrange("first <image2>, then <image1>", 2) == ("first <image1>, then <image2>", (1, 0))
    assert arrange("only <image1>", 2) == ("only <image2>", (1, 0))
    assert arrange("<image> and <image2>", 2) == ("<image1> and <image2>", (0, 1))


def test_pictures_out_of_order_and_missing_pictures_are_refused() -> None:
    with pytest.raises(ValueError, match="out of order"):
        build_messages(problem("<image2> <image1>", 2), None)
    for question in ("<image2>", "<image0>", "<image> <image>"):
        with pytest.raises(ValueError, match="but there are 1 pictures"):
            arrange(question, 1)


def test_the_shipped_system_prompt_asks_for_the_format_that_the_verifier_wants() -> None:
    system = load_system("rise")
    assert system is not None
    example = system.splitlines()[-1]
    assert format_fault(example) is None


def test_system_prompt_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "card.txt"
    file.write_text("  Think twice.\n")
    assert load_system(str(file)) == "Think twice."
    assert load_system(None) is None


def test_a_system_prompt_that_is_missing_or_empty_is_an_input_error(tmp_path: Path) -> None:
    (tmp_path / "empty.txt").write_text(" \n")
    (tmp_path / "binary.txt").write_bytes(b"\xff\xfe\x80")
    with pytest.raises(InputError, match=r"absent\.txt: the system prompt cannot be read .*set prompt\.system"):
        load_system(str(tmp_path / "absent.txt"))
    with pytest.raises(InputError, match=r"binary\.txt: .*not UTF-8"):
        load_system(str(tmp_path / "binary.txt"))
    with pytest.raises(InputError, match=r"empty\.txt: the system prompt is empty"):
        load_system(str(tmp_path / "empty.txt"))
