"""MathVision (MATH-Vision, MATH-V), test: competition problems with a picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from metis_rise.benchmarks import cells, mathvision_rules
from metis_rise.benchmarks.base import Benchmark, Headline, Item, Known, Row
from metis_rise.benchmarks.groups import average, label
from metis_rise.benchmarks.options import can_infer, choices, judge_choice, lettered
from metis_rise.benchmarks.questions import bare, placed
from metis_rise.problems.answers import option_letter
from metis_rise.problems.prompt import without_markers
from metis_rise.types import AnswerType, Problem, Verdict
from metis_rise.verifier.gold import infer_type
from metis_rise.verifier.judge import judge


class MathVision(Benchmark):
    """MathVision's whole test set, 3040 questions; the number is the share of right ones."""

    name = "mathvision"
    title = "MathVision"
    known = Known(
        dataset="MathVision",
        md5="93f6de14f7916e598aa1b7165589831e",
        rows=3040,
        groups=3040,
        columns=("question", "choices", "answer", "category"),
        source="https://opencompass.openxlab.space/utils/VLMEval/MathVision.tsv",
        also_called=("MATH-V", "MATH-Vision"),
        files=("test.jsonl",),
    )
    headlines = (Headline("accuracy", average, ("subject", "level")),)

    def problem(self, row: Row) -> Problem:
        """The bare question; marks for more pictures than the one that it has become words."""
        texts = choices(row)
        question, shown = bare(cells.text(row, "question"), texts)
        gold = _gold_letter(row, texts) if texts else cells.text(row, "answer")
        return Problem(
            id=row.index,
            question=placed(question, len(row.images)),
            answer=gold,
            answer_type=AnswerType.CHOICE if texts else infer_type(gold),
            images=row.images,
            choices=None if shown is None else tuple(map(without_markers, shown)),
            source=self.name,
            family=row["category"],
            level=cells.integer(row, "level") or 0,
        )

    def prompt(self, row: Row) -> str:
        """The question with hint and options, as the data file holds it."""
        return row["question"]

    def labels(self, row: Row) -> Mapping[str, tuple[str, ...]]:
        """The subject, and the level where the file has it: the authors', not VLMEvalKit's."""
        level = cells.integer(row, "level")
        return {"subject": label(row, "category"), "level": () if level is None else (str(level),)}

    def rule(self, item: Item, text: str) -> Verdict:
        """Our lenient reading; the options' texts count although the question may show them itself."""
        if texts := choices(item.row):
            return judge_choice(item.problem, text, tuple(map(without_markers, texts)))
        return judge(item.problem, text, strict=False)

    def own_extraction(self, item: Item, text: str) -> str:
        """What MATH-V evaluate.py takes out of a response: always something, if need be the whole response."""
        return mathvision_rules.extract(text)

    def official(self, item: Item, extraction: str) -> bool:
        """Whether an extraction is the gold letter or the gold option's text, by MATH-V's loose comparison."""
        gold, texts = item.problem.answer, choices(item.row)
        golds = (gold, lettered(texts)[gold]) if texts else (gold,)
        answer = mathvision_rules.tidy(extraction)
        return any(mathvision_rules.same(wanted, answer) for wanted in golds)

    def judged(self, item: Item, extraction: str) -> bool:
        """The gold letter, or for a free question the gold answer within 1e-6 (VLMEvalKit mathv post_check)."""
        if texts := choices(item.row):
            return can_infer(extraction, lettered(texts)) == item.problem.answer
        return mathvision_rules.same_exactly(item.problem.answer, extraction)

    def quick(self, item: Item, text: str) -> str | None:
        """An option's letter, or a response that is nothing but the gold answer (VLMEvalKit mathv post_check)."""
        if texts := choices(item.row):
            return can_infer(text, lettered(texts))
        return text.strip() if mathvision_rules.same_exactly(item.problem.answer, text) else None


def _gold_letter(row: Row, texts: Sequence[str]) -> str:
    gold = cells.text(row, "answer")
    letter = gold if gold in lettered(texts) else option_letter(gold, texts)
    if letter is None:
        raise cells.fault(row, "answer", f"none of the {len(texts)} options", "write the letter of one")
    return letter
