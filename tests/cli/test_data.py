"""From a problem file to a recipe, as a user goes: `rise init`, `rise data check`, `rise data preview`, `rise plan`."""

from __future__ import annotations

import json
from pathlib import Path

from micro import ok, rise

ROWS = [{"question": f"What is {n} plus {n}?", "answer": str(2 * n), "answer_type": "number"} for n in range(20)]


def test_a_new_recipe_is_checked_and_planned(tmp_path: Path):
    (tmp_path / "train.jsonl").write_text("\n".join(map(json.dumps, ROWS)))
    (tmp_path / "test.jsonl").write_text("\n".join(map(json.dumps, [*ROWS, ROWS[0]])))
    said = ok(tmp_path, "init", "mine.yaml", "--model", "tiny", "--train", "train.jsonl", "--test", "test.jsonl")
    assert said.splitlines()[1:] == [
        "next:",
        "  rise data check train.jsonl --recipe mine.yaml",
        "  rise plan mine.yaml",
        "  rise run mine.yaml",
    ]
    assert "20 of 20 rows are problems" in ok(tmp_path, "data", "check", "train.jsonl", "--recipe", "mine.yaml")
    done = rise(tmp_path, "data", "check", "test.jsonl", "--json")
    assert done.returncode == 2 and json.loads(done.stdout)["bad"]["reasons"] == {"id used before": 1}
    ok(tmp_path, "data", "preview", "train.jsonl")
    assert "What is 19 plus 19?" in (tmp_path / "train-preview.html").read_text(encoding="utf-8")
    again = rise(tmp_path, "init", "mine.yaml", "--model", "tiny", "--train", "x.jsonl", "--test", "y.jsonl")
    assert again.returncode == 2 and again.stderr.startswith("error: mine.yaml: exists")
