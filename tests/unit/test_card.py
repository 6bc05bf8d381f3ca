"""The card of a model: what a hub reads, the scores with their intervals, and nothing of this machine."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from huggingface_hub import ModelCard

from metis_rise.evaluation.card import write_cards
from metis_rise.problems.prompt import PROMPT_FILE
from metis_rise.problems.reader import dump_problems
from metis_rise.recipe import load_recipe, resolved
from metis_rise.types import AnswerType, Problem

FILES = ["problems.kind=jsonl", "problems.train=/home/me/train.parquet", "problems.test=/home/me/test.parquet"]


def score(accuracy: float) -> dict[str, object]:
    span = {"low": accuracy - 0.1, "high": accuracy + 0.1}
    return {"accuracy": accuracy, "n": 50, "families": {}} | span


def make_run(path: Path, *overrides: str, system: str | None = None) -> Path:
    recipe = resolved(load_recipe("user_jsonl", [*FILES, *overrides]))
    path.mkdir()
    (path / "recipe.json").write_text(json.dumps(recipe))
    for split in ("train", "dev", "test"):
        dump_problems([Problem(split, "?", "1", AnswerType.NUMBER)], path / "problems" / f"{split}.jsonl")
    for stage in ("1-rl", "5-sft"):
        model = path / stage / "model"
        model.mkdir(parents=True)
        (model / "config.json").write_text('{"architectures": ["Qwen2_5_VLForConditionalGeneration"]}')
        (model / PROMPT_FILE).write_text(json.dumps({"system": system}))
    phases = [{"name": "self", "examples": 14, "replay": 3, "steps": 2}, {"name": "expert", "examples": 0, "replay": 0}]
    (path / "5-sft" / "DONE").write_text(json.dumps({"stages": phases, "counts": {"used": 14}, "dropped": {}}))
    arms = {arm: {"greedy": score(value)} for arm, value in (("base", 0.2), ("rl", 0.5), ("rise", 0.7))}
    (path / "summary.json").write_text(json.dumps({"recipe": recipe["name"], "arms": arms}))
    return path


def test_a_card_says_what_the_model_is_and_scores(tmp_path: Path):
    run = make_run(tmp_path / "run", "model.path=Qwen/Qwen2.5-VL-7B-Instruct", system="Think.\nThen answer.")
    rl, rise = write_cards(run)
    assert (rl, rise) == (run / "1-rl" / "model" / "README.md", run / "5-sft" / "model" / "README.md")
    data = ModelCard.load(rise).data
    assert (data.base_model, data.pipeline_tag) == ("Qwen/Qwen2.5-VL-7B-Instruct", "image-text-to-text")
    assert [(result.metric_value, result.metric_name) for result in data.eval_results] == [(0.7, "accuracy, greedy")]
    text = rise.read_text()
    assert "| after RISE | greedy | 70.0 % | 60.0 to 80.0 | 50 |" in text and "| base | greedy | 20.0 %" in text
    assert "after RISE" not in rl.read_text() and "| after RL | greedy | 50.0 %" in rl.read_text()
    assert "import AutoProcessor, Qwen2_5_VLForConditionalGeneration" in text
    assert "| fine-tuning, self | 14 examples, 3 replayed, 2 steps |" in text
    assert "| fine-tuning, expert | 0 examples, skipped |" in text and "fine-tuning, self" not in rl.read_text()
    assert "    Think.\n    Then answer." in text
    assert "`train.parquet`, `test.parquet`: 1 train, 1 dev, 1 test" in text and "/home/me" not in text


@pytest.mark.parametrize("base", ["tiny", "/models/mine", "./a/b"])
def test_a_base_of_this_machine_is_no_model_on_a_hub(tmp_path: Path, base: str):
    _, rise = write_cards(make_run(tmp_path / "run", f"model.path={base}"))
    assert ModelCard.load(rise).data.base_model is None and f"`{base}`" in rise.read_text()


def test_names_cannot_break_the_card(tmp_path: Path):
    run = make_run(tmp_path / "run", "model.path=a|`<b>`")
    recipe = json.loads((run / "recipe.json").read_text()) | {"name": "x\n---\ntags: [own]"}
    (run / "recipe.json").write_text(json.dumps(recipe))
    text = write_cards(run)[1].read_text()
    assert ModelCard(text).data.tags == ["metis-rise"]
    assert "| base | `a/'&lt;b>'` |" in text


def test_without_scores_the_short_card_stays(tmp_path: Path):
    run = make_run(tmp_path / "run")
    (run / "summary.json").unlink()
    assert write_cards(run) == [] and not (run / "5-sft" / "model" / "README.md").exists()


def test_benchmarks_are_told_with_their_intervals(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    from metis_rise.evaluation import card
    from metis_rise.evaluation.board.scores import ModelScores, Score

    found = {
        "rise": {"MathVista": Score(75.8, 73.0, 78.4)},
        "base": {"MathVista": Score(68.2), "LogicVista": Score(40.0)},
    }
    monkeypatch.setattr(card, "read_scores", lambda folder: ModelScores(None, found.get(folder.name, {})))
    text = write_cards(make_run(tmp_path / "run"))[1].read_text()
    assert "| model | MathVista | LogicVista |" in text
    assert "| after RISE | 75.8 (73.0 to 78.4) | - |" in text and "| base | 68.2 | 40.0 |" in text
