"""The card of a model: what a hub reads, the scores with their intervals, and nothing of this machine."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from huggingface_hub import ModelCard

from metis_rise.evaluation.card import write_cards
from metis_rise.policy.card import write_card
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
    write_stages(path, "self", buckets={"mastered": 5, "inconsistent": 9, "absent": 4}, own=7, expert=3, system=system)
    arms = {arm: {"greedy": score(value)} for arm, value in (("base", 0.2), ("rl", 0.5), ("rise", 0.7))}
    (path / "summary.json").write_text(json.dumps({"recipe": recipe["name"], "arms": arms}))
    return path


def write_stages(
    path: Path, phase: str, *, buckets: dict[str, int], own: int, expert: int, system: str | None = None
) -> None:
    """The stages of one round, before evaluation, in the folder `path`."""
    for stage in ("1-rl", "5-sft"):
        model = path / stage / "model"
        model.mkdir(parents=True)
        (model / "config.json").write_text('{"architectures": ["Qwen2_5_VLForConditionalGeneration"]}')
        (model / PROMPT_FILE).write_text(json.dumps({"system": system}))
    phases = [{"name": phase, "examples": 14, "replay": 3, "steps": 2}, {"name": "expert", "examples": 0, "replay": 0}]
    done = {
        "2-diagnose": {"buckets": buckets},
        "3-distill": {"counts": {"used": own}},
        "4-expert": {"experts": {"teacher": {"kept": expert}, "world": {"kept": 0}}},
        "5-sft": {"stages": phases, "counts": {"used": 14}, "dropped": {}},
    }
    for stage, result in done.items():
        (path / stage).mkdir(exist_ok=True)
        (path / stage / "DONE").write_text(json.dumps(result))


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


@pytest.mark.parametrize(
    ("base", "name"),
    [
        ("tiny", "tiny"),
        ("/home/alice/secret-project/ckpt", "ckpt"),
        ("../secret-project/ckpt/", "ckpt"),
        ("~/ckpt", "ckpt"),
        ("secret-project/a/ckpt", "ckpt"),
        ("secret-project\\ckpt", "ckpt"),
        ("secret-project/.ckpt", ".ckpt"),
        ("/", "a folder"),
    ],
)
def test_a_base_of_this_machine_is_told_by_its_name_alone(tmp_path: Path, base: str, name: str):
    for file in write_cards(make_run(tmp_path / "run", f"model.path={base}")):
        assert ModelCard.load(file).data.base_model is None
        assert f"| base | `{name}` |" in file.read_text()
        assert not any(part in file.read_text() for part in ("alice", "secret-project"))


def test_a_relative_folder_is_no_model_on_a_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "checkpoints" / "mymodel").mkdir(parents=True)
    _, rise = write_cards(make_run(tmp_path / "run", "model.path=checkpoints/mymodel"))
    assert ModelCard.load(rise).data.base_model is None and "checkpoints" not in rise.read_text()
    assert "| base | `mymodel` |" in rise.read_text()


def test_a_card_names_no_place_and_no_host(tmp_path: Path):
    settings = [
        "problems.train=secret-project/train.jsonl",
        "problems.test=C:\\Users\\alice\\test.jsonl",
        "rl.user_reward=alice_rewards:judge",
        "judge.url=https://judge.corp.example/v1",
        "judge.model=/home/alice/judge",
        "engine.kind=server",
        "engine.urls=[http://gpu1.corp.example:8000]",
        "engine.weights_folder=/home/alice/weights",
        'expert.experts=[{name: teacher, url: "https://teacher.corp.example/v1", model: big}]',
        "evaluate.benchmarks=[mathvista]",
        "evaluate.data=/home/alice/lmudata",
        "tracking.to=[wandb]",
        "tracking.project=secret-project",
    ]
    for file in write_cards(make_run(tmp_path / "run", "model.path=Qwen/Qwen2.5-VL-7B-Instruct", *settings)):
        text = file.read_text()
        assert "`train.jsonl`, `test.jsonl`" in text
        private = ("alice", "secret-project", "corp.example", "/home", "Users", str(tmp_path))
        assert [word for word in private if word in text] == []


def test_only_the_fine_tuned_model_was_taught(tmp_path: Path):
    rl, rise = (file.read_text() for file in write_cards(make_run(tmp_path / "run")))
    sorted_ = "After RL they were 5 mastered, 9 inconsistent, 4 absent."
    assert f"{sorted_}\n" in rl and "Taught" not in rl and "then fine-tuning" not in rl
    assert f"{sorted_} Taught: 7 trajectories of the model's own, and of experts 3 from teacher." in rise
    assert "then fine-tuning" in rise


def test_each_round_is_told_in_the_card_of_the_last(tmp_path: Path):
    run = make_run(tmp_path / "run", "rounds=2")
    write_stages(run / "round-2", "second", buckets={"mastered": 8, "inconsistent": 6, "absent": 4}, own=11, expert=2)
    rl, rise = (file.read_text() for file in write_cards(run))
    assert (run / "round-2" / "5-sft" / "model" / "README.md").read_text() == rise
    assert not (run / "5-sft" / "model" / "README.md").exists()
    assert "| fine-tuning of round 1, self | 14 examples, 3 replayed, 2 steps |" in rise
    assert "| fine-tuning of round 2, second | 14 examples, 3 replayed, 2 steps |" in rise
    assert "| rounds | 2 |" in rise and "| rounds |" not in rl
    assert "After RL of round 1 they were 5 mastered, 9 inconsistent, 4 absent. Taught: 7 trajectories" in rise
    assert (
        "After RL of round 2 they were 8 mastered, 6 inconsistent, 4 absent. Taught: 11 trajectories of the model's "
        "own, and of experts 2 from teacher."
    ) in rise
    assert "After RL of round 1 they" in rl and "round 2" not in rl


def test_the_card_that_every_saved_model_has_claims_no_stage(tmp_path: Path):
    write_card(tmp_path, "Qwen2_5_VLForConditionalGeneration", None)
    text = (tmp_path / "README.md").read_text()
    assert "Metis-RISE" in text and "fine-tuning" not in text


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
