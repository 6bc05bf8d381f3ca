"""Agreement with labelled pairs from public test suites, which stay outside the repository."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from metis_rise.verifier.equivalence import equivalent
from metis_rise.verifier.extract import extract
from metis_rise.verifier.gold import infer_type


def verdict(row: dict[str, Any]) -> bool:
    gold, choices = row["gold"], row.get("choices")
    answer = extract(row["prediction"], strict=False, gold=gold, choices=choices).answer
    return answer is not None and equivalent(gold, answer, infer_type(gold, choices), choices)[0]


@pytest.mark.parametrize(
    ("gold", "prediction", "expected"),
    [
        ("5 km", "The distance is 5 meters.", False),
        ("5 km", "So the distance is $5$ meters", False),
        ("5 km", "The distance is 5000 meters.", True),
        ("5", "The population is 5 million.", False),
        ("5", "The length is 5 cm in all.", True),
        ("12 cm^2", "The area is 12 square cm.", True),
        ("12 cm^2", "The area is 12 cm.", False),
        ("36 km/h", "Its speed is 10 m/s today.", True),
        (r"$[0, 1)$", r"Hence $0 \leq x < 1$.", True),
        ("$3, 5$", r"$\boxed{3}$ and $\boxed{5}$", True),
        ("3", r"$\boxed{3}$ or $\boxed{5}$", False),
    ],
)
def test_a_value_keeps_what_belongs_to_it_on_its_way_out_of_the_text(
    gold: str, prediction: str, expected: bool
) -> None:
    assert verdict({"gold": gold, "prediction": prediction}) is expected


@pytest.mark.shared_data
def test_at_least_98_percent_agree_and_nothing_wrong_is_called_right(shared_data: Path) -> None:
    rows = [json.loads(line) for line in (shared_data / "answer_pairs.jsonl").read_text(encoding="utf-8").splitlines()]
    verdicts = {row["id"]: verdict(row) for row in rows}
    assert [row["id"] for row in rows if verdicts[row["id"]] and not row["should_match"]] == []
    assert sum(verdicts[row["id"]] == row["should_match"] for row in rows) >= 0.98 * len(rows)
