"""`rise check`: a whole run has no fault, and each way of damaging one is found in its place."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner
from whole_run import RECIPE, checkpoint, make_whole, model, said

from metis_rise.check.files import RESTORE
from metis_rise.check.findings import SHOWN, Findings
from metis_rise.check.folder import check_run
from metis_rise.check.models import header
from metis_rise.cli import app
from metis_rise.errors import InputError
from metis_rise.journal import append_jsonl, read_jsonl, write_jsonl
from metis_rise.policy.checkpoint_folders import seal
from metis_rise.run import Run, Stage
from metis_rise.types import AnswerType, Problem

Damage = Callable[[Path], object]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_whole(tmp_path_factory.mktemp("runs"))


@pytest.fixture
def run(made: Path, tmp_path: Path) -> Path:
    """A copy of a whole run, to damage."""
    return Path(shutil.copytree(made, tmp_path / "run"))


def drop(file: str, row: int) -> Damage:
    """Takes whole lines away, which no checksum tells."""
    return lambda run: write_jsonl(run / file, [r for n, r in enumerate(read_jsonl(run / file)) if n != row])


def double(file: str) -> Damage:
    return lambda run: append_jsonl(run / file, read_jsonl(run / file)[:1])


def alter(file: str, old: bytes, new: bytes) -> Damage:
    def damage(run: Path) -> None:
        content = (run / file).read_bytes()
        assert old in content
        (run / file).write_bytes(content.replace(old, new, 1))

    return damage


def cut(file: str, bytes_: int) -> Damage:
    return lambda run: (run / file).write_bytes((run / file).read_bytes()[:-bytes_])


def remove(file: str) -> Damage:
    return lambda run: (run / file).unlink() if (run / file).is_file() else shutil.rmtree(run / file)


def stranger(run: Path) -> None:
    append_jsonl(
        run / "3-distill/trajectories-0000.jsonl",
        [said(Problem("who", "?", "1", AnswerType.NUMBER), 0, True)],
    )


def first_picture(run: Path) -> Path:
    return sorted((run / "images").iterdir())[0]


def odd_trajectory(run: Path) -> None:
    file = run / "6-evaluate/rl-greedy.jsonl"
    write_jsonl(file, [{**row, "odd": 1} for row in read_jsonl(file)])


def without_checksums(run: Path) -> None:
    file = run / "4-expert/outcomes.jsonl"
    write_jsonl(file, read_jsonl(file), checked=False)


DAMAGES: list[tuple[str, Damage, str, str]] = [
    ("line", alter("2-diagnose/trajectories-0000.jsonl", b"text", b"tezt"), "2-diagnose/traj", "checksum"),
    ("metric", alter("metrics.jsonl", b"sampled", b"simpled"), "metrics.jsonl", "checksum"),
    ("paid answer", alter("4-expert/answers.jsonl", b"1.0", b"9.0"), "4-expert/answers.jsonl", "checksum"),
    ("no checksums", without_checksums, "4-expert/outcomes.jsonl", "no checksum"),
    ("lost metric", drop("metrics.jsonl", 0), "metrics.jsonl", "step 1 of rl is there 0 times"),
    ("doubled metric", double("metrics.jsonl"), "metrics.jsonl", "step 1 of rl is there 2 times"),
    ("lost rollout", drop("1-rl/trajectories-000001.jsonl", 0), "1-rl", "3 trajectories are there, 4 were"),
    ("lost rollouts", remove("1-rl/trajectories-000002.jsonl"), "1-rl", "2 trajectories are there, 4 were"),
    ("lost problem", drop("problems/train.jsonl", 2), "2-diagnose/traj", "'train-absent' is none of this"),
    ("doubled problem", double("problems/test.jsonl"), "problems/test.jsonl", "there twice, first in row 1"),
    ("no problems", remove("problems/dev.jsonl"), "problems/dev.jsonl", "missing"),
    ("lost sample", drop("2-diagnose/trajectories-0000.jsonl", 0), "2-diagnose/traj", "1 samples there, 2 counted"),
    ("lost rate", drop("2-diagnose/solve-rates.jsonl", 0), "2-diagnose/solve", "'train-mastered' is missing"),
    ("doubled rate", double("2-diagnose/solve-rates.jsonl"), "2-diagnose/solve", "is there 2 times"),
    ("lost example", drop("3-distill/trajectories-0000.jsonl", 0), "3-distill/traj", "0 there, 1 in DONE"),
    ("doubled replay", double("3-distill/replay-0000.jsonl"), "3-distill/replay", "is there twice"),
    ("stranger", stranger, "3-distill/trajectories-0000.jsonl", "'who' is none of this run's"),
    ("lost outcome", drop("4-expert/outcomes.jsonl", 0), "4-expert/outcomes", "'train-absent' is missing"),
    ("lost solution", drop("4-expert/trajectories-0000.jsonl", 0), "4-expert/traj", "'train-absent' is missing"),
    ("lost answer", drop("6-evaluate/rl-greedy.jsonl", 1), "6-evaluate/rl-greedy.jsonl", "'test-two' is missing"),
    ("doubled answer", double("6-evaluate/rl-greedy.jsonl"), "6-evaluate/rl-greedy.jsonl", "is there twice"),
    ("no arm", remove("6-evaluate/base-sampled.jsonl"), "6-evaluate/base-sampled.jsonl", "missing"),
    ("odd trajectory", odd_trajectory, "6-evaluate/rl-greedy.jsonl", "not what belongs there"),
    ("other score", alter("6-evaluate/DONE", b"0.5", b"0.7"), "6-evaluate/base-greedy.jsonl", "0.5 there, 0.7 in DONE"),
    ("marker", alter("3-distill/DONE", b"{", b"("), "3-distill/DONE", "not a JSON object"),
    ("odd marker", alter("5-sft/DONE", b"stages", b"staves"), "5-sft/DONE", "something else than this version"),
    ("recipe", alter("recipe.json", b"{", b"("), "recipe.json", "not a JSON object"),
    ("lost picture", lambda run: first_picture(run).unlink(), "images/", "missing"),
    ("picture", lambda run: first_picture(run).write_bytes(b"\x89PNG"), "images/", "changed or damaged"),
    ("no model", remove("1-rl/model"), "1-rl/model", "the model is missing"),
    ("short weights", cut("5-sft/model-self/model.safetensors", 1), "5-sft/model-self/model.safetensors", "bytes long"),
    ("no weights", remove("5-sft/model/model.safetensors"), "5-sft/model", "no safetensors"),
    ("no config", remove("5-sft/model/config.json"), "5-sft/model/config.json", "missing"),
    ("state", cut("1-rl/checkpoint-2/state.json", 3), "1-rl/checkpoint-2/state.json", "missing or damaged"),
    ("optimizer", remove("1-rl/checkpoint-2/optimizer.safetensors"), "1-rl/checkpoint-2", "optimizer's state is miss"),
    ("checkpoint", cut("1-rl/checkpoint-1/model/model.safetensors", 1), "1-rl/checkpoint-1/model/", "by its header"),
]


def test_a_whole_run_has_no_fault_and_nothing_to_do(run: Path):
    found = check_run(run)
    assert (found.settled(), found.notes, found.to_do) == ([], [], [])
    assert found.looked_at["problems"] == 6 and found.looked_at["pictures"] == 6
    assert found.looked_at["checkpoints"] == 2 and found.looked_at["stages"] == 6


@pytest.mark.parametrize(("damage", "file", "what"), [d[1:] for d in DAMAGES], ids=[d[0] for d in DAMAGES])
def test_every_damage_is_found_where_it_is(run: Path, damage: Damage, file: str, what: str):
    damage(run)
    found = [finding for finding in check_run(run).settled() if finding.file.startswith(file)]
    assert any(what in finding.what for finding in found), [str(finding) for finding in check_run(run).settled()]
    assert all(finding.mend for finding in found)


def test_checking_changes_nothing(run: Path):
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    check_run(run)
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize(
    ("undone", "said"),
    [
        ("1-rl", "1-rl: goes on from checkpoint-2, 0 of 2 steps are left"),
        ("2-diagnose", "2-diagnose: goes on with 6 samples of 3 of 3 problems in its journal"),
        ("3-distill", "3-distill: from its start"),
        ("4-expert", "4-expert: from its start; 1 answers are paid for and not asked again"),
        ("5-sft", "5-sft: 2 of 2 curriculum stages are done; left: only the taken model's folder"),
        ("6-evaluate", "6-evaluate: left: only its summary"),
    ],
)
def test_what_is_not_done_is_said_with_where_it_goes_on(run: Path, undone: str, said: str):
    stages = sorted(run.glob("[1-6]-*"))
    for stage in stages[[stage.name for stage in stages].index(undone) :]:
        (stage / "DONE").unlink()
    found = check_run(run)
    assert not found.faults
    assert found.to_do[0].startswith(said)


def test_what_is_left_of_each_stage_is_counted(run: Path):
    for stage in run.glob("[1-6]-*"):
        (stage / "DONE").unlink()
    shutil.rmtree(run / "1-rl" / "checkpoint-2")
    found = check_run(run)
    assert found.to_do == [
        "1-rl: goes on from checkpoint-1, 1 of 2 steps are left",
        "then, from their start: 2-diagnose, 3-distill, 4-expert, 5-sft, 6-evaluate",
    ]


def test_what_a_kill_may_leave_is_no_fault_but_is_said(run: Path):
    (run / "6-evaluate" / "DONE").unlink()
    (run / "1-rl" / "checkpoint-2" / "COMPLETE").unlink()
    (run / "1-rl" / ".checkpoint-3.writing").mkdir()
    with (run / "metrics.jsonl").open("ab") as file:
        file.write(b'{"stage": "rl", "st')
    append_jsonl(
        run / "2-diagnose" / "trajectories-0000.jsonl", read_jsonl(run / "2-diagnose/trajectories-0000.jsonl")[:1]
    )
    found = check_run(run)
    assert found.faults == []
    said = "\n".join(found.notes)
    assert "1-rl/checkpoint-2: not a whole checkpoint" in said
    assert "1-rl/.checkpoint-3.writing: left by a kill" in said
    assert "metrics.jsonl: row 3 is torn" in said


def test_a_run_of_an_older_version_is_checked_without_checksums(run: Path):
    (run / "format.json").unlink()
    for file in run.rglob("*.jsonl"):
        write_jsonl(file, read_jsonl(file), checked=False)
    found = check_run(run)
    assert found.faults == []
    (note,) = found.notes
    assert "older version (format 1)" in note and "lines have no checksum" in note


def test_a_later_round_is_checked_as_the_first_one_is(run: Path):
    (run / "recipe.json").write_text(json.dumps(RECIPE | {"rounds": 2}))
    for stage in list(run.glob("[1-5]-*")):
        shutil.copytree(stage, run / "round-2" / stage.name)
    for step in (1, 2):
        Run(run, 2).metric("rl", step, {"groups_sampled": 1})
    assert check_run(run).faults == []
    drop("round-2/3-distill/replay-0000.jsonl", 0)(run)
    (finding,) = check_run(run).settled()
    assert finding.file == "round-2/3-distill/replay-0000.jsonl"


def test_a_newer_folder_and_no_run_at_all_are_refused(run: Path, tmp_path: Path):
    (run / "format.json").write_text('{"format": 99, "metis-rise": "7.0"}')
    with pytest.raises(InputError, match=r"7\.0 in format 99"):
        check_run(run)
    with pytest.raises(InputError, match=r"no recipe\.json"):
        check_run(tmp_path)


def test_many_faults_of_one_kind_are_counted(tmp_path: Path):
    found = Findings(tmp_path)
    for row in range(SHOWN + 7):
        found.fault(tmp_path / "a.jsonl", "broken", RESTORE, row + 1)
    assert len(found.settled()) == SHOWN + 1
    assert found.settled()[-1].what == "7 more such faults"


def test_an_index_names_tensors_that_are_there(run: Path):
    folder = run / "5-sft" / "model"
    index = {"weight_map": {"weight": "model.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    assert check_run(run).faults == []
    index["weight_map"]["bias"] = "model-00002.safetensors"
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    (finding,) = check_run(run).settled()
    assert "names tensor bias in model-00002.safetensors" in finding.what


def test_parts_of_an_optimizer_that_are_missing_are_found(run: Path):
    folder = run / "1-rl" / "checkpoint-2"
    (folder / "optimizer").mkdir()
    for number in (1, 2):
        target = folder / "optimizer" / f"shard-{number:05d}-model-00001-of-00001.safetensors"
        shutil.copyfile(folder / "optimizer.safetensors", target)
    (folder / "optimizer.safetensors").unlink()
    assert check_run(run).faults == []
    (folder / "optimizer" / "shard-00001-model-00001-of-00001.safetensors").unlink()
    (finding,) = check_run(run).settled()
    assert finding.file == "1-rl/checkpoint-2/optimizer"


def test_a_checkpoint_with_a_file_shorter_than_it_was_is_not_gone_on_from(run: Path):
    (run / "1-rl" / "DONE").unlink()
    folder = run / "1-rl" / "checkpoint-2"
    seal(folder)
    (folder / "state.json").write_bytes((folder / "state.json").read_bytes()[:-1])
    found = check_run(run)
    (finding,) = found.settled()
    assert finding.file == "1-rl/checkpoint-2" and finding.what.startswith("not whole: state.json is ")
    assert found.to_do[0] == "1-rl: goes on from checkpoint-1, 1 of 2 steps are left"


def test_where_a_curriculum_stage_goes_on_is_said(run: Path):
    (run / "5-sft" / "DONE").unlink()
    for name in ("model-expert", "model"):
        shutil.rmtree(run / "5-sft" / name)
    for step in (9, 10):
        checkpoint(run / "5-sft" / "checkpoints-expert" / f"checkpoint-{step}")
    found = check_run(run)
    assert not found.faults
    said = "5-sft: 1 of 2 curriculum stages are done; left: expert; expert goes on from checkpoint-10"
    assert found.to_do[0] == said


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x10",
        b"\xff" * 16,
        b"\x02\0\0\0\0\0\0\0[]",
        b'\x0f\0\0\0\0\0\0\0{"a": {"x": 1}}',
        b'\x1f\0\0\0\0\0\0\0{"a": {"data_offsets": [0, 99]}}',
    ],
)
def test_a_damaged_header_is_a_fault_and_no_crash(tmp_path: Path, content: bytes):
    (tmp_path / "m.safetensors").write_bytes(content)
    with pytest.raises(ValueError, match=r"safetensors|bytes long"):
        header(tmp_path / "m.safetensors")


def test_a_header_gives_names_and_places(tmp_path: Path):
    model(tmp_path, a=[1.0], b=[2.0, 3.0])
    assert header(tmp_path / "model.safetensors").keys() == {"a", "b"}


def command(*arguments: str) -> tuple[int, str]:
    done = CliRunner().invoke(app, ["check", *arguments])
    return done.exit_code, done.stdout


def test_the_command_prints_one_json_object_and_its_exit_code_says_whether_all_is_well(run: Path):
    code, text = command(str(run), "--json")
    said: dict[str, Any] = json.loads(text)
    assert (code, said["ok"], said["findings"], said["to_do"]) == (0, True, [], [])
    remove("5-sft/model")(run)
    code, text = command(str(run), "--json")
    said = json.loads(text)
    assert (code, said["ok"]) == (2, False)
    assert {"file", "row", "what", "mend"} == said["findings"][0].keys()


def test_the_command_says_in_words_what_it_found(run: Path):
    Stage(run / "6-evaluate").finish({"arms": {}})
    code, text = command(str(run))
    assert code == 0 and "the run is whole" in text
    drop("3-distill/replay-0000.jsonl", 0)(run)
    code, text = command(str(run))
    assert code == 2
    assert "fault: 3-distill/replay-0000.jsonl: trajectories: 0 there, 1 in DONE; restore 3-distill" in text
    assert text.rstrip().endswith("1 faults")


def test_checking_needs_no_torch(run: Path):
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "from metis_rise.cli import app\n"
        f"app(['check', {str(run)!r}], standalone_mode=False)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
