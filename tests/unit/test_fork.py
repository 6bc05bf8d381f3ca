"""A run that takes up another one's stages: which ones, what comes along, and that the other stays as it is."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from metis_rise.disk import disk_fault
from metis_rise.errors import InputError
from metis_rise.fork import fork, shared_stages
from metis_rise.opening import _check_same_length
from metis_rise.recipe import MAY_CHANGE, load_recipe, resolved
from metis_rise.run import STAGES, Run, append_jsonl, read_jsonl, write_jsonl
from metis_rise.stages.experts import answers
from metis_rise.stages.experts.answers import Answers
from metis_rise.stages.experts.files import edited_files, keep_files, kept_files

BIG = "{name: big, url: http://host/v1, model: m, concurrency: %d}"
TO_SFT = STAGES[:-1]
CURVES = ("rl", "rl-dev", "sft-self", "round-2/rl", "round-2/sft-dev")


def settings(*overrides: str) -> dict[str, Any]:
    """The resolved recipe of a run."""
    return resolved(load_recipe("tiny", ["diagnose.samples=4", *overrides]))


def paid(key: str) -> dict[str, Any]:
    names = {"expert": "big", "model": "m", "problem": key, "attempt": 0, "pictures": 1}
    return {"key": key, "answers": [["x", True]], "prompt_tokens": 9, "completion_tokens": 1, "cost": 0.5, **names}


def make_source(root: Path, *overrides: str, rounds: int = 1, done: Sequence[str] = TO_SFT) -> Path:
    """A run whose stages `done` are done in each round, with a file of each kind, in two rounds' curves."""
    run = Run.open(root, "source", settings(*overrides))
    for number in range(1, rounds + 1):
        for name in done:
            run.in_round(number).stage(name).finish({"counts": {}})
    write_jsonl(run.path / "problems" / "train.jsonl", [{"id": "p"}])
    (run.path / "images").mkdir()
    (run.path / "images" / "0.png").write_bytes(b"png")
    write_jsonl(run.stage("expert").path / answers.JOURNAL, [paid("asked"), {"ended": "money", "cap": 1.0}])
    for arm in ("base", "rl", "rise"):
        write_jsonl(run.stage("evaluate").path / f"{arm}-greedy.jsonl", [{"arm": arm}])
    for curve in CURVES:
        append_jsonl(run.path / "metrics.jsonl", [{"stage": curve, "step": 1, "time": "", "values": {}}])
    return run.path


def take(source: Path, *overrides: str, edited: Sequence[str] = ()) -> tuple[Path, tuple[str, ...]]:
    """Forks `source` with a recipe; the new run and the stages that it took over."""
    recipe = settings("name=other", *overrides)
    made = Run.open(source.parent, "made", recipe, fresh=True)
    return made.path, fork(source, made, recipe, MAY_CHANGE, edited)


@pytest.mark.parametrize(
    ("override", "first"),
    [
        ("threads=1", 5),
        ("sft.micro_tokens=8000", 5),
        ("evaluate.limit=5", 5),
        ("rounds=3", 5),
        ("sft.stages.1.replay=0", 4),
        ("expert.max_problems=5", 3),
        ("distill.pick=longest", 2),
        ("distill.max_similarity=0.5", 2),
        # Diagnosis ends the sampling of a problem when so many can be taught.
        ("distill.per_problem=4", 1),
        ("distill.check_chains=false", 1),
        ("diagnose.max_samples=10", 1),
    ],
)
def test_all_stages_before_the_first_that_reads_a_change_are_taken_over(tmp_path: Path, override: str, first: int):
    made, taken = take(make_source(tmp_path), override)
    assert taken == STAGES[:first]
    assert [name for name in STAGES if Run(made).stage(name).done] == list(taken)


def test_with_a_fixed_number_of_samples_diagnosis_does_not_read_what_distillation_takes(tmp_path: Path):
    fixed = "diagnose.samples=8"
    assert take(make_source(tmp_path, fixed), fixed, "distill.per_problem=4")[1] == STAGES[:2]


@pytest.mark.parametrize("override", ["sft.start_from=start", "expert.max_problems=5", "rl.steps=7", "threads=1"])
def test_what_would_be_taken_over_is_known_before(tmp_path: Path, override: str):
    source = make_source(tmp_path)
    there = shared_stages(source, settings("name=other", override), MAY_CHANGE)
    assert there == STAGES[: {"sft.start_from=start": 4, "expert.max_problems=5": 3, "rl.steps=7": 0}.get(override, 5)]
    if there:
        assert take(source, override)[1] == there


def test_how_an_endpoint_is_reached_is_no_change(tmp_path: Path):
    source = make_source(tmp_path, f"expert.experts=[{BIG % 3}]")
    assert take(source, f"expert.experts=[{BIG % 9}]")[1] == TO_SFT
    assert take(source, f"expert.experts=[{BIG % 9}]", edited=["expert.hints"])[1] == STAGES[:3]


@pytest.mark.parametrize("override", ["seed=1", "rl.steps=7", "prompt.system=rise", "sampling.max_tokens=81"])
def test_a_change_that_rl_reads_leaves_nothing_to_take_over(tmp_path: Path, override: str):
    key, _, value = override.partition("=")
    with pytest.raises(InputError, match=rf"differ in what RL needs: {key} \(.* there, .*{value}.* here\)"):
        take(make_source(tmp_path), override)


def test_the_stages_after_one_that_is_not_done_are_left(tmp_path: Path):
    source = make_source(tmp_path, done=("1-rl", "3-distill"))
    assert take(source)[1] == ("1-rl",)
    with pytest.raises(InputError, match="its first stage is not done"):
        take(make_source(tmp_path / "young", done=()))


def test_a_run_of_texts_alone_has_no_pictures_to_take_over(tmp_path: Path):
    source = make_source(tmp_path)
    shutil.rmtree(source / "images")
    made, taken = take(source)
    assert taken == TO_SFT and not (made / "images").exists()


def test_later_rounds_are_taken_over_unless_the_first_changes(tmp_path: Path):
    two = "rounds=2"
    source = make_source(tmp_path, two, rounds=2)
    both = (*TO_SFT, *(f"round-2/{stage}" for stage in TO_SFT))
    made, taken = take(source, "rounds=3")
    assert taken == both
    assert [row["stage"] for row in read_jsonl(made / "metrics.jsonl")] == list(CURVES)
    made, taken = take(source, two, "sft.stages.1.replay=0")
    assert taken == STAGES[:4]
    assert [row["stage"] for row in read_jsonl(made / "metrics.jsonl")] == ["rl", "rl-dev"]
    assert take(source)[1] == TO_SFT, "a run of one round has no second one"


@pytest.mark.parametrize(
    ("overrides", "arms"),
    [
        (("sft.stages.1.replay=0",), ["base", "rl"]),
        (("rounds=2",), ["base", "rl"]),
        (("evaluate.limit=5",), []),
        (("evaluate.limit=5", "sft.stages.1.replay=0"), []),
        (("judge.url=http://host/v1", "judge.model=m"), []),
    ],
)
def test_scores_of_the_base_and_of_rl_come_along_where_nothing_about_scores_changed(
    tmp_path: Path, overrides: tuple[str, ...], arms: list[str]
):
    made, _ = take(make_source(tmp_path), *overrides)
    assert [path.name for path in sorted(made.glob("6-evaluate/*"))] == [f"{arm}-greedy.jsonl" for arm in arms]


def test_what_the_new_run_writes_does_not_reach_its_source(tmp_path: Path):
    source = make_source(tmp_path, "rounds=2")
    (source / "1-rl" / "model").mkdir()
    (source / "1-rl" / "model" / "model.safetensors").write_bytes(b"weights")
    before = {path: path.read_bytes() for path in sorted(source.rglob("*")) if path.is_file()}
    made, taken = take(source, "rounds=2")
    assert taken == TO_SFT and Answers(made / "4-expert" / answers.JOURNAL).spent.calls == 1
    for journal in ("metrics.jsonl", "4-expert/answers.jsonl", "problems/train.jsonl"):
        append_jsonl(made / journal, [{"new": True}])
    Run(made).stage("rl").finish({"counts": {"new": 1}})
    after = {path: path.read_bytes() for path in sorted(source.rglob("*")) if path.is_file()}
    assert after == before
    assert not (source / "round-2").exists()
    weights = (made / "1-rl" / "model" / "model.safetensors").stat()
    assert weights.st_ino == (source / "1-rl" / "model" / "model.safetensors").stat().st_ino, "large files are shared"


def test_what_was_paid_for_and_imported_comes_along_and_counts_in_no_budget(tmp_path: Path):
    source = make_source(tmp_path)
    write_jsonl(source / "imported.jsonl", [{"problem": "p", "text": "x"}])
    write_jsonl(source / "judge.jsonl", [{"key": "k", "reply": "DIFFERENT"}])
    made, taken = take(source, "expert.max_problems=5")
    assert "4-expert" not in taken
    held = Answers(made / "4-expert" / answers.JOURNAL)
    caps = load_recipe("tiny", ["expert.budget.money=1"]).expert.budget
    assert held.get("asked") is not None and held.takes_pictures("big", "m")
    assert held.spent.calls == 0 and held.all() == [] and held.ended(caps) == set()
    for name in ("imported.jsonl", "judge.jsonl"):
        assert (made / name).read_bytes() == (source / name).read_bytes()
    # A fork of the fork still has them.
    Run(made).stage("rl").finish({"counts": {}})
    again = Run.open(tmp_path, "again", settings("name=again", "expert.max_problems=6"))
    fork(made, again, settings("name=again", "expert.max_problems=6"), MAY_CHANGE)
    assert Answers(again.path / "4-expert" / answers.JOURNAL).get("asked") is not None


def test_a_file_of_the_experts_that_was_edited_since_is_a_change(tmp_path: Path):
    hints, template, run = tmp_path / "hints.yaml", tmp_path / "mine.j2", tmp_path / "run"
    hints.write_text("bars: Count the bars.\n")
    template.write_text("{{ question }}\r\n")
    config = load_recipe("tiny", [f"expert.hints={hints}", f"expert.template={template}"]).expert
    assert edited_files(config, run) == [], "nothing was kept: that another file is named is a change of its own"
    keep_files(config, run)
    assert edited_files(config, run) == []
    hints.write_text("bars: Measure the bars.\n")
    assert edited_files(config, run) == ["expert.hints"]
    assert kept_files(config, run).hints == "bars: Count the bars.\n"
    assert edited_files(load_recipe("tiny").expert, run) == []


def test_other_free_experts_may_change_how_long_a_completion_may_be(tmp_path: Path):
    append_jsonl(tmp_path / "manifest.jsonl", [{"kind": "start", "max_tokens": 96}])
    _check_same_length(tmp_path, 96)
    with pytest.raises(InputError, match=r"sampling.max_tokens = auto comes to \(96 there, 128 here\)"):
        _check_same_length(tmp_path, 128)


def _denied(folder: Path, file: Path) -> PermissionError:
    """What the system says of `file`, where it is below `folder`."""
    assert file.is_relative_to(folder)
    return PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(file))


def test_a_file_that_may_not_be_read_is_told_as_the_sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    source = make_source(tmp_path)

    def refuse(file: Path, target: Path) -> None:
        raise _denied(source, file)

    # Whoever tests as root may read everything.
    monkeypatch.setattr(shutil, "copy2", refuse)
    with pytest.raises(PermissionError) as caught:
        take(source)
    said = disk_fault(caught.value)
    assert said is not None and said.startswith(f"{source / 'problems' / 'train.jsonl'}: ") and "write" not in said


def test_a_folder_that_may_not_be_read_is_told_as_the_sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    source, scandir = make_source(tmp_path), os.scandir

    def refuse(folder: Any = ".") -> Any:
        if Path(folder) == source / "1-rl" / "model":
            raise _denied(source, Path(folder))
        return scandir(folder)

    (source / "1-rl" / "model").mkdir()
    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(PermissionError) as caught:
        take(source)
    assert str(disk_fault(caught.value)).startswith(f"{source / '1-rl' / 'model'}: ")
