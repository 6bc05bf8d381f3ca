"""`rise verify` as a user runs it: in a process of its own, where no torch is loaded."""

from __future__ import annotations

import json
from pathlib import Path

from micro import ok, rise

PAIRS = [
    {"id": "area", "gold": "12.5 cm^2", "prediction": "So it is $12.5\\,\\mathrm{cm}^2$.", "should_match": True},
    {"id": "root", "gold": "2\\sqrt{2}", "prediction": "\\boxed{\\sqrt{8}}", "should_match": True},
    {"id": "guess", "gold": "3", "prediction": "The answer is 3 or 5.", "should_match": False},
    {"id": "tower", "gold": "3", "prediction": "\\boxed{9^{9^{9^{9}}}}", "should_match": False},
    {"id": "wrong label", "gold": "3", "prediction": "\\boxed{3}", "should_match": False},
]


def test_pairs_are_judged_and_the_one_that_differs_is_named(tmp_path: Path):
    (tmp_path / "pairs.jsonl").write_text("\n".join(map(json.dumps, PAIRS)))
    found = json.loads(ok(tmp_path, "verify", "pairs.jsonl", "--json"))
    assert found == {
        "n": 5,
        "agreement": 0.8,
        "false_positives": 1,
        "false_negatives": 0,
        "differences": ["wrong label"],
    }
    shown = ok(tmp_path, "verify", "pairs.jsonl")
    assert "80.0 % agreement (4 of 5 pairs)" in shown and "wrong label  taken as right, should be wrong" in shown


def test_one_verdict_is_explained_and_a_bad_file_is_one_line(tmp_path: Path):
    shown = ok(tmp_path, "verify", "--gold", "1/2", "--prediction", "The answer is 0.5")
    assert shown.splitlines()[0].split() == ["verdict", "right"]
    (tmp_path / "pairs.jsonl").write_text('{"gold": "1"}\n')
    done = rise(tmp_path, "verify", "pairs.jsonl")
    assert done.returncode == 2 and done.stderr.startswith("error: pairs.jsonl, row 1: ")
    assert len(done.stderr.splitlines()) == 1
