"""Which cells are done, in which order, from whose stages, and when it ends; what a run does is made up here."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from ablation_rows import row, write

from metis_rise.ablation import doing
from metis_rise.ablation.arms import load_arms
from metis_rise.ablation.cells import Base, Cell, cells, identity
from metis_rise.ablation.doing import Experiment, do_all
from metis_rise.ablation.results import read_rows
from metis_rise.errors import InputError
from metis_rise.lock import locked
from metis_rise.recipe import resolved
from metis_rise.run import Run

ARMS = load_arms(["base", "rl"])


def planned(seeds: Sequence[int] = (0, 1)) -> list[Cell]:
    return list(cells(ARMS, [Base.of("tiny")], seeds))


def experiment(folder: Path, **changes: Any) -> Experiment:
    given = {"results": folder / "r.jsonl", "settings": (), "on": "test", "samples": 1, "minutes": None} | changes
    return Experiment(folder / "runs", **given)


@pytest.fixture
def done(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str, int]]:
    """The cells that were done, in order; nothing is computed."""
    found: list[tuple[str, str, int]] = []

    def do(cell: Cell, _: Experiment) -> dict[str, Any]:
        found.append(cell.key)
        return row(cell.arm.name, [1, 0], seed=cell.seed, identity=identity(cell.arm)) | {"wall_seconds": 1.0}

    monkeypatch.setattr(doing, "_do", do)
    monkeypatch.setattr(doing, "_weights", lambda base: "unknown")
    return found


def test_each_finished_cell_is_a_line_and_is_not_done_again(tmp_path: Path, done: list[tuple[str, str, int]]):
    assert do_all(planned((0,)), experiment(tmp_path)) == 0
    assert done == [("base", "tiny", 0), ("rl", "tiny", 0)]
    assert do_all(planned(), experiment(tmp_path)) == 0
    assert done[2:] == [("base", "tiny", 1), ("rl", "tiny", 1)]
    assert [(each.arm, each.seed) for each in read_rows(tmp_path / "r.jsonl")] == [
        ("base", 0),
        ("rl", 0),
        ("base", 1),
        ("rl", 1),
    ]


def test_nothing_is_begun_after_the_minutes(tmp_path: Path, done: list[tuple[str, str, int]]):
    assert do_all(planned(), experiment(tmp_path, minutes=0.0)) == 4
    assert done == [] and not (tmp_path / "r.jsonl").exists()


def test_other_settings_are_other_cells(tmp_path: Path, done: list[tuple[str, str, int]]):
    do_all(planned((0,)), experiment(tmp_path))
    do_all(planned((0,)), experiment(tmp_path, settings=("rl.steps=9",)))
    assert len(done) == 4


def test_results_with_other_settings_are_of_other_arms(tmp_path: Path, done: list[tuple[str, str, int]]):
    write(tmp_path / "r.jsonl", row("rl", [1], identity="else", settings=["rl.steps=9"]))
    do_all(planned((0,)), experiment(tmp_path))
    assert len(done) == 2


def test_a_result_of_an_arm_that_did_something_else_ends_it(tmp_path: Path, done: list[tuple[str, str, int]]):
    write(tmp_path / "r.jsonl", row("rl", [1], identity="else"))
    with pytest.raises(InputError, match=r"arm rl, base tiny, seed 0 is there, and did something else \(else there"):
        do_all(planned(), experiment(tmp_path))
    assert done == []


def test_another_base_of_the_same_name_ends_it(
    tmp_path: Path, done: list[tuple[str, str, int]], monkeypatch: pytest.MonkeyPatch
):
    do_all(planned((0,)), experiment(tmp_path))
    monkeypatch.setattr(doing, "_weights", lambda base: "new")
    with pytest.raises(InputError, match=r"base tiny had other weights \(unknown there, new here\)"):
        do_all(planned(), experiment(tmp_path))
    assert len(done) == 2


@pytest.mark.parametrize("seed", [0, 7])
def test_a_result_of_any_seed_must_be_of_the_same_arm_problems_and_samples(
    tmp_path: Path, done: list[tuple[str, str, int]], seed: int
):
    """Else cells of two different arms would be one arm's mean."""
    file = write(tmp_path / "r.jsonl", row("rl", [1], seed=seed, identity="else"))
    with pytest.raises(
        InputError, match=rf"arm rl, base tiny, seed {seed} is there, and did something else \(else there"
    ):
        do_all(planned(), experiment(tmp_path))
    file.unlink()
    write(file, row("cold", [1], seed=seed))
    with pytest.raises(InputError, match="holds scores on test; give other --results with --on"):
        do_all(planned(), experiment(tmp_path, on="dev"))
    with pytest.raises(InputError, match=rf"arm cold, base tiny, seed {seed} has 1 sampled answers per problem, not 4"):
        do_all(planned(), experiment(tmp_path, samples=4))
    assert done == []


def test_a_cell_that_another_process_has_done_meanwhile_is_not_done_again(
    tmp_path: Path, done: list[tuple[str, str, int]], monkeypatch: pytest.MonkeyPatch
):
    made = doing._do

    def do(cell: Cell, given: Experiment) -> dict[str, Any]:
        write(given.results, row("rl", [1, 1], identity=identity(ARMS[1])))
        return made(cell, given)

    monkeypatch.setattr(doing, "_do", do)
    assert do_all(planned((0,)), experiment(tmp_path)) == 0
    assert done == [("base", "tiny", 0)] and len(read_rows(tmp_path / "r.jsonl")) == 2


def test_a_cell_that_another_process_is_at_is_refused(tmp_path: Path, done: list[tuple[str, str, int]]):
    first = planned((0,))[0]
    with (
        locked(tmp_path / "runs" / first.name, "wait"),
        pytest.raises(InputError, match="give the processes different --seeds, --bases or --only"),
    ):
        do_all(planned((0,)), experiment(tmp_path))
    assert done == []


def test_a_cell_is_trimmed_before_its_result_is_there(
    tmp_path: Path, done: list[tuple[str, str, int]], monkeypatch: pytest.MonkeyPatch
):
    """A kill between the two then has the cell looked at again; the other way round its checkpoints would stay."""

    def killed(cell: Cell, root: Path) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(doing, "_trim", killed)
        do_all(planned((0,)), experiment(tmp_path))
    assert not (tmp_path / "r.jsonl").exists()
    do_all(planned((0,)), experiment(tmp_path))
    assert len(read_rows(tmp_path / "r.jsonl")) == 2


def test_settings_are_the_same_in_any_order(tmp_path: Path, done: list[tuple[str, str, int]]):
    write(tmp_path / "r.jsonl", row("rl", [1], settings=["b=2", "a=1"], identity=identity(ARMS[1])))
    do_all(planned((0,)), experiment(tmp_path, settings=("a=1", "b=2")))
    assert done == [("base", "tiny", 0)]


def test_runs_of_another_base_of_the_same_name_are_not_taken_up(
    tmp_path: Path, done: list[tuple[str, str, int]], monkeypatch: pytest.MonkeyPatch
):
    do_all(planned((0,)), experiment(tmp_path))
    monkeypatch.setattr(doing, "_weights", lambda base: "new")
    again = experiment(tmp_path, results=tmp_path / "other.jsonl")
    with pytest.raises(InputError, match=r"runs: base tiny had other weights \(unknown there, new here\)"):
        do_all(planned((0,)), again)
    assert len(done) == 2


def test_the_commit_is_empty_without_git(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert doing._commit() == ""


def test_results_on_test_do_not_become_results_on_dev(tmp_path: Path, done: list[tuple[str, str, int]]):
    do_all(planned((0,)), experiment(tmp_path))
    with pytest.raises(InputError, match="holds scores on test; give other --results with --on"):
        do_all(planned((0,)), experiment(tmp_path, on="dev"))


def first_run(cell: Cell, root: Path) -> Path:
    return root / cell.legs(root)[0].recipe.name


def finished(root: Path, cell: Cell, *stages: str) -> None:
    """The run of a cell's first leg, with these stages done."""
    recipe = cell.legs(root)[0].recipe
    run = Run.open(root, recipe.name, resolved(recipe))
    for stage in stages:
        run.stage(stage).finish({"counts": {}})


def test_a_leg_takes_over_from_the_run_that_shares_most(tmp_path: Path):
    rise, noself, own = (Cell(load_arms([name])[-1], Base.of("tiny"), 0) for name in ("rise", "no_self", "own_first"))
    rl = Cell(load_arms(["rl"])[0], Base.of("tiny"), 0)
    leg = rise.legs(tmp_path)[0]
    assert doing._source(rise, leg, tmp_path) is None
    finished(tmp_path, rl, "rl")
    assert doing._source(rise, leg, tmp_path) == first_run(rl, tmp_path)
    other = Cell(rise.arm, Base.of("tiny"), 1)
    assert doing._source(other, other.legs(tmp_path)[0], tmp_path) is None, "another seed's"
    finished(tmp_path, noself, "rl", "diagnose", "distill")
    assert doing._source(rise, leg, tmp_path) == first_run(noself, tmp_path)
    finished(tmp_path, rise, "rl", "diagnose", "distill", "expert", "sft")
    assert doing._source(rise, leg, tmp_path) is None, "it is there, and goes on by itself"
    first, second = own.legs(tmp_path)
    assert doing._source(own, first, tmp_path) == first_run(rise, tmp_path)
    assert doing._source(own, second, tmp_path) is None, "it begins with another model"


def test_checkpoints_of_a_finished_rl_are_deleted_and_no_model(tmp_path: Path):
    cell = Cell(load_arms(["rise"])[0], Base.of("tiny"), 0)
    run = first_run(cell, tmp_path)
    folders = [run / folder for folder in ("1-rl/checkpoint-5", "1-rl/model", "5-sft/model-self", "5-sft/model")]
    for folder in folders:
        folder.mkdir(parents=True)
    doing._trim(cell, tmp_path)
    assert all(folder.exists() for folder in folders), "RL is not done"
    shutil.rmtree(run)
    finished(tmp_path, cell, "rl")
    for folder in folders:
        folder.mkdir(parents=True)
    doing._trim(cell, tmp_path)
    assert [folder.exists() for folder in folders] == [False, True, True, True]
