"""docs/verifier.md against the verifier: each row of its tables, and the figures on the fixtures."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from metis_rise.types import Reason
from metis_rise.verifier.judge import judge
from metis_rise.verify.pairs import problem_of

REPOSITORY = Path(__file__).resolve().parents[2]
TEXT = (REPOSITORY / "docs" / "verifier.md").read_text(encoding="utf-8")
CONVENTIONS = re.findall(r"^\| `(.+)` \| `(.+)` \| (right|wrong) \|$", TEXT, re.MULTILINE)
DIFFERENCES = re.findall(
    r"^\| (MathVista|MATH-Vision) \| (\d+) \| (right|wrong) \| (right|wrong) \|", TEXT, re.MULTILINE
)
FILES = {"MathVista": "mathvista_scored.jsonl", "MATH-Vision": "mathvision_scored.jsonl"}


@pytest.mark.parametrize(("gold", "answer", "verdict"), CONVENTIONS)
def test_a_convention_holds(gold: str, answer: str, verdict: str):
    found = judge(problem_of(gold, None, None, ""), rf"\boxed{{{answer}}}", strict=False)
    assert found.correct is (verdict == "right"), found


def test_all_reasons_are_told():
    assert re.findall(r"^\| `([a-z ]+)` \| [a-z]", TEXT, re.MULTILINE) == [reason.value for reason in Reason]


@pytest.mark.shared_data
@pytest.mark.parametrize("benchmark", FILES)
def test_what_differs_on_the_fixtures_is_what_the_page_says(
    shared_data: Path, monkeypatch: pytest.MonkeyPatch, benchmark: str
):
    monkeypatch.setattr(sys, "path", [str(REPOSITORY / "scripts"), *sys.path])
    from fixture_verdicts import scored

    found = list(scored(shared_data / "fixtures" / FILES[benchmark]))
    words = {True: "right", False: "wrong"}
    differ = {(one.problem.id, words[one.official], words[one.verdict.correct]) for one in found if one.differs}
    assert differ == {row[1:] for row in DIFFERENCES if row[0] == benchmark}
    assert f"{benchmark}: {len(found) - len(differ)} of {len(found)} verdicts agree" in " ".join(TEXT.split())
