r"""The RISE format and the finding of balanced boxes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metis_rise.problems.prompt import load_system
from metis_rise.verifier.boxes import boxes
from metis_rise.verifier.format import Fault, format_fault, repeats_example

GOOD = r"<think> 3 + 4 = 7 </think><answer>\boxed{7}</answer>"


@pytest.mark.parametrize(
    "text",
    [
        GOOD,
        f"\n{GOOD}\n",
        "<think>\na\nb\n</think>\n\n<answer>\nThe answer is \\boxed{7}.\n</answer>",
        r"<think>a \boxed{3} on the way</think><answer>\boxed{\frac{1}{2}}</answer>",
        r"<think>a</think><answer>\boxed {7}</answer>",
    ],
)
def test_well_formed(text: str) -> None:
    assert format_fault(text) is None


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", Fault.TAGS),
        (r"\boxed{7}", Fault.TAGS),
        (f"So: {GOOD}", Fault.OUTSIDE),
        (f"{GOOD} Done.", Fault.OUTSIDE),
        (f"{GOOD}\u200b", Fault.OUTSIDE),
        (f"{GOOD}{GOOD}", Fault.TAGS),
        (r"<think>  </think><answer>\boxed{7}</answer>", Fault.NO_REASONING),
        ("<think>\u200b\ufeff\u2060</think><answer>\\boxed{7}</answer>", Fault.NO_REASONING),
        ("<think>\u3164</think><answer>\\boxed{7}</answer>", Fault.NO_REASONING),
        (r"<think>... _ ...</think><answer>\boxed{7}</answer>", Fault.NO_REASONING),
        (r"<think>a</think> hence <answer>\boxed{7}</answer>", Fault.OUTSIDE),
        (r"<think>a<answer>\boxed{7}</answer></think>", Fault.OUTSIDE),
        (r"<answer>\boxed{7}</answer><think>a</think>", Fault.OUTSIDE),
        (r"<think>a<think>b</think><answer>\boxed{7}</answer>", Fault.TAGS),
        (r"<think>a</think></think><answer>\boxed{7}</answer>", Fault.TAGS),
        (r"<think>a</think><answer>\boxed{7}</answer></answer>", Fault.TAGS),
        (r"<think>a</think><answer>\boxed{7}", Fault.TAGS),
        (r"<think>a</answer><answer></think>\boxed{7}</answer>", Fault.TAGS),
        (r"<think><answer>a</think>\boxed{7}</answer>", Fault.TAGS),
        (r"<think>\boxed{7}</think><answer>7</answer>", Fault.NO_BOX),
        (r"<think>a</think><answer>\boxed{7</answer>", Fault.NO_BOX),
        (r"<think>a</think><answer>\boxed{ }</answer>", Fault.NO_BOX),
        ("<think>a</think><answer>\\boxed{\u200b}</answer>", Fault.NO_BOX),
        (r"<think>a</think><answer>\phantom{\boxed{7}}</answer>", Fault.NO_BOX),
        (r"<think>a</think><answer>\boxed{7} \boxed{8}</answer>", Fault.BOXES),
        (r"<think>a</think><answer>\boxed{7} \boxed{7}</answer>", Fault.BOXES),
        (r"<Think>a</Think><answer>\boxed{7}</answer>", Fault.TAGS),
    ],
)
def test_not_well_formed(text: str, fault: Fault) -> None:
    assert format_fault(text) is fault
    assert format_fault(text) is not None


@pytest.mark.parametrize(
    ("text", "repeated"),
    [
        ("<think> your reasoning, step by step </think><answer>\\boxed{your result}</answer>", True),
        ("<think>Your reasoning,\nstep by step</think><answer>\\boxed{7}</answer>", True),
        ("<think>3 + 4 = 7</think><answer>\\boxed{ your  result }</answer>", True),
        (GOOD, False),
    ],
)
def test_the_prompt_s_example_is_told_from_an_answer(text: str, repeated: bool) -> None:
    assert format_fault(text) is None
    assert repeats_example(text) == repeated


def test_the_shipped_prompt_s_own_example_is_known() -> None:
    assert repeats_example(str(load_system("rise")).splitlines()[-1])


@given(st.integers(0, len(GOOD) - 1))
def test_no_cut_completion_is_well_formed(length: int) -> None:
    assert format_fault(GOOD[:length]) is not None


@pytest.mark.parametrize(
    ("text", "contents"),
    [
        (r"\boxed{7} and \boxed{8}", ["7", "8"]),
        (r"\boxed{\frac{1}{2}}", [r"\frac{1}{2}"]),
        (r"\boxed{\{1, 2\}}", [r"\{1, 2\}"]),
        (r"\boxed{\{}", [r"\{"]),
        (r"\boxed{a\\}", [r"a\\"]),
        (r"\boxed{\boxed{5}}", ["5"]),
        (r"\boxed{\boxed{ \boxed{5} } }", ["5"]),
        (r"\boxed{5 \boxed{6}}", [r"5 \boxed{6}"]),
        (r"\boxed{\boxed{5}\boxed{6}}", [r"\boxed{5}\boxed{6}"]),
        (r"{ \boxed{7}", ["7"]),
        (r"} \boxed{7}", ["7"]),
        (r"\boxed{7", []),
        (r"\boxed{\boxed{7}", ["7"]),
        (r"\boxed 7", []),
        (r"\phantom{\boxed{7}} \boxed{8}", ["8"]),
        (r"\hphantom{a \boxed{7} b} \cancel {\boxed{8}}", []),
        (r"\boxed{\phantom{7} 8}", [r"\phantom{7} 8"]),
        (r"\boxed{8 \phantom{\boxed{7}}}", [r"8 \phantom{\boxed{7}}"]),
        (r"\phantomx{\boxed{7}}", ["7"]),
        (r"\\boxed{7}", []),
    ],
)
def test_boxes(text: str, contents: list[str]) -> None:
    assert boxes(text) == contents


balanced = st.recursive(
    st.text("ab1 ,.", max_size=4) | st.sampled_from([r"\{", r"\}", r"\\"]),
    lambda inner: st.lists(inner, max_size=3).map(lambda parts: "{" + "".join(parts) + "}"),
    max_leaves=8,
)


@given(balanced, st.text("xyz {", max_size=8), st.text("xyz }", max_size=8))
def test_a_balanced_box_is_found_whole_whatever_stands_around(content: str, before: str, after: str) -> None:
    assert boxes(before + r"\boxed{" + content + "}" + after) == [content]


@given(st.text(r"{}\ab", max_size=60))
def test_every_box_found_in_any_text_is_in_it(text: str) -> None:
    for content in boxes(text + r"\boxed{" + text):
        assert content in text + r"\boxed{" + text


@pytest.mark.parametrize("unit", ["\\boxed{", "{", "}", "\\boxed{{", "<think>", "\\boxed {\\boxed{x}"])
def test_long_hostile_texts_are_read_to_the_end(unit: str) -> None:
    text = unit * 20_000
    assert boxes(text + r"\boxed{7}")[-1] == "7"
    assert format_fault(text) is not None
