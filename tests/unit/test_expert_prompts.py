from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from expert_shop import attempt

from metis_rise.errors import InputError
from metis_rise.problems import world
from metis_rise.problems.images import ImageStore
from metis_rise.recipe import load_recipe
from metis_rise.stages.experts.files import keep_files, kept_files, read_files
from metis_rise.stages.experts.knowledge import fault_of, knowledge_of, parse_hints
from metis_rise.stages.experts.prompts import Prompter
from metis_rise.stages.experts.question import Questions
from metis_rise.types import AnswerType, Problem, StopReason, Trajectory, Verdict

ALL = "expert.knowledge=[reference_answer, reference_solution, hints, failed_attempts]"
PROBLEM = Problem(
    "p", "How long is x?", "B", AnswerType.CHOICE, choices=("3", "4"), solution="By Pythagoras.", family="geo3k"
)


def questions(
    store: ImageStore, overrides: Sequence[str] = (), attempts: dict[str, list[Trajectory]] | None = None
) -> Questions:
    config = load_recipe("tiny", [ALL, *overrides]).expert
    return Questions(config, read_files(config), attempts or {}, store)


def user_text(made: Any) -> str:
    return "".join(part.get("text", "<picture>") for part in made.messages[-1]["content"])


def test_each_kind_of_knowledge_is_told_only_where_it_is_asked_for(store: ImageStore):
    problem = replace(PROBLEM, meta={"subject": "Metric Geometry"})
    tried = {"p": [attempt("p", 0, "I guess A")]}
    says = {
        "reference_answer": "Result: B",
        "reference_solution": "By Pythagoras.",
        "hints": "the figure's own letters",
        "failed_attempts": "I guess A",
    }
    whole = user_text(questions(store, attempts=tried)(problem))
    assert all(text in whole for text in says.values())
    for kind, text in says.items():
        alone = user_text(questions(store, [f"expert.knowledge=[{kind}]"], tried)(problem))
        assert [other for other in says.values() if other in alone] == [text]
    blind = user_text(questions(store, ["expert.knowledge=[]"], tried)(problem))
    assert blind == "How long is x?\n\nA. 3\nB. 4".replace("\n\n", "\n")


def test_pictures_stand_where_the_question_has_them_and_cited_markers_are_words(store: ImageStore, png: bytes):
    keys = (store.put(png), store.put(png))
    problem = replace(
        PROBLEM, question="Compare <image1> with <image2>.", images=keys, solution="See <image2>, <image>."
    )
    made = questions(store)(problem)
    assert user_text(made).startswith("Compare <picture>with <picture>.") or user_text(made).startswith(
        "Compare <picture> with <picture>."
    )
    assert [part["type"] for part in made.messages[-1]["content"]].count("image") == 2
    assert "See image 2, image." in user_text(made)
    assert made.images == keys and made.sizes == ((6, 4), (6, 4))


def test_failed_attempts_are_few_short_different_and_say_what_was_wrong(store: ImageStore):
    tried = [
        attempt("p", 2, "third " + "x" * 90 + " 9"),
        attempt("p", 0, "first <image3> 8"),
        attempt("p", 1, "again 8"),
        attempt("p", 3, "fourth 10"),
        attempt("p", 4, "<|im_start|> 11"),
        replace(attempt("p", 5, "right B"), verdict=Verdict(True, True, "B", "answer box")),
    ]
    overrides = ["expert.failed_attempts=2", "expert.failed_characters=40"]
    text = user_text(questions(store, overrides, {"p": tried})(PROBLEM))
    assert "first image 3 8" in text and "third xxx" in text and "x" * 50 not in text
    assert not any(word in text for word in ("again", "fourth", "im_start", "right B"))
    assert "its answer 8 is wrong" in text


@pytest.mark.parametrize(
    ("verdict", "stop", "said"),
    [
        (Verdict(False, False, None, "no box", reason="no answer"), "eos", "its format is broken; it has no answer"),
        (Verdict(False, False, None, "no box", reason="no answer"), "length", "it did not come to an end; it has"),
        (
            Verdict(True, True, "7", "answer box", False, "number; chain: the picture does not show red=4"),
            "eos",
            "the picture does not show red=4",
        ),
    ],
)
def test_the_verdict_says_what_was_wrong(verdict: Verdict, stop: str, said: str):
    assert fault_of(Trajectory("p", 0, "t", stop=StopReason(stop), verdict=verdict)).startswith(said)


def test_a_system_prompt_may_be_ours_another_or_none(store: ImageStore, tmp_path: Path):
    assert "\\boxed{" in questions(store)(PROBLEM).messages[0]["content"][0]["text"]
    assert [m["role"] for m in questions(store, ["expert.system=null"])(PROBLEM).messages] == ["user"]
    (tmp_path / "s.txt").write_text("Be brief.")
    other = questions(store, [f"expert.system={tmp_path / 's.txt'}"])(PROBLEM)
    assert other.messages[0]["content"][0]["text"] == "Be brief."


def prompter(template: str) -> Prompter:
    return Prompter(template, "mine.j2", None)


@pytest.mark.parametrize(
    ("template", "said"),
    [
        ("Solve it.", "lacks the question"),
        ("{% if answer %}{{ question }}{% endif %}", "lacks the question"),
        ("{{ question }} {{ anwser }}", "'anwser' is undefined"),
        ("{{ question }} {% if %}", "no Jinja template"),
        ("{{ question }}<|im_end|>", "control token <|im_end|>"),
        ("{{ question.__class__.__mro__ }}", "unsafe"),
        ("{{ question }}{% include 'expert_hints.yaml' %}", "no loader"),
        ("{{ question }}{{ ''.join(['x' * 99999] * 9) }}", "a prompt of"),
        ("{{ question }}{{ 1 // 0 }}", "cannot be rendered"),
        ("{{ question }}{% for i in range(10 ** 9) %}x{% endfor %}", "cannot be rendered"),
    ],
)
def test_a_template_that_cannot_be_used_is_one_line_that_names_it(template: str, said: str):
    with pytest.raises(InputError) as error:
        prompter(template)
    (line,) = str(error.value).splitlines()
    assert line.startswith("mine.j2") and said in line


def test_what_is_told_cannot_run_in_the_template(store: ImageStore):
    problem = replace(PROBLEM, question="What is {{ answer }} {% if x %}?", solution="{{ 7 * 7 }}")
    text = user_text(questions(store)(problem))
    assert "What is {{ answer }} {% if x %}?" in text and "{{ 7 * 7 }}" in text


def test_a_control_token_in_a_problem_is_refused(store: ImageStore):
    with pytest.raises(InputError, match="problem p: the prompt holds the control token"):
        questions(store)(replace(PROBLEM, question="x <|vision_start|> y"))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("- a\n", "must map subjects or families"),
        ("a: {b: c}\n", "a: must be a text or a list of texts"),
        ("a: ''\n", "a: must be a text"),
        ("a: see <|im_end|>\n", "control token <|im_end|>"),
        (f"a: {'x' * 2001}\n", "2001 characters"),
        ("a: [\n", "not valid YAML"),
    ],
)
def test_hints_that_cannot_be_used_are_one_line_that_names_the_file(text: str, said: str):
    with pytest.raises(InputError) as error:
        parse_hints(text, "mine.yaml")
    assert str(error.value).startswith("mine.yaml") and said in str(error.value)


def test_hints_go_by_family_and_subject_whatever_the_case():
    hints = parse_hints("Geo3K: a\nALGEBRA: [b, c]\n", "h")
    config = load_recipe("tiny", ["expert.knowledge=[hints]"]).expert
    assert knowledge_of(replace(PROBLEM, meta={"topic": "Algebra"}), config, hints, ()).hints == ("a", "b", "c")


def test_a_run_keeps_copies_of_the_user_s_files(tmp_path: Path):
    for name, text in (("t.j2", "{{ question }} T"), ("h.yaml", "a: b"), ("s.txt", "S")):
        (tmp_path / name).write_text(text)
    given = [
        f"expert.{key}={tmp_path / name}"
        for key, name in (("template", "t.j2"), ("hints", "h.yaml"), ("system", "s.txt"))
    ]
    config, folder = load_recipe("tiny", given).expert, tmp_path / "run"
    keep_files(config, folder)
    for name in ("t.j2", "h.yaml", "s.txt"):
        (tmp_path / name).unlink()
    kept = kept_files(config, folder)
    assert (kept.template, kept.hints, kept.system) == ("{{ question }} T", "a: b", "S")
    with pytest.raises(InputError, match=r"expert.template = .*t\.j2: cannot be read \(No such file"):
        read_files(config)


@pytest.mark.parametrize(("template", "named"), [("full", "Result"), ("brief", "Answer")])
def test_the_world_s_problems_have_an_answer_a_solution_and_a_hint(store: ImageStore, template: str, named: str):
    asked = questions(store, [f"expert.template={template}"])
    for problem in world.make_problems("train", 1, 0, store):
        text = user_text(asked(problem))
        assert f"{named}: {problem.answer}" in text and problem.meta["chain"] in text
        if problem.family in world.HELD_BACK:
            hint = {"path": "The sides of the grid join.", "angle": "Angles add up to 180."}[problem.family]
            assert hint in text
