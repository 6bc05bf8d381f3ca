"""When checkpoints are written, which of them stay, and which one a training goes on from."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from metis_rise.errors import InputError
from metis_rise.policy.checkpoint_folders import damaged, fault, newest, seal
from metis_rise.policy.random_state import begin, random_state, set_random_state
from metis_rise.run import Run, read_jsonl
from metis_rise.stages import keeper
from metis_rise.stages.keeper import Keeper


@dataclass
class Files:
    """A training whose checkpoints are a few bytes; `loaded` are those that were gone on from."""

    loaded: list[str] = field(default_factory=list)
    skipped: int = 0

    def step(self, lr: float, loss: float = 0.0) -> float:
        raise NotImplementedError

    def save(self, folder: Path, state: dict[str, Any]) -> None:
        (folder / "model").mkdir(parents=True)
        (folder / "model" / "weights").write_bytes(b"weights")
        (folder / "state.json").write_text(json.dumps(state))
        seal(folder)

    def load(self, folder: Path) -> dict[str, Any]:
        self.loaded.append(folder.name)
        state: dict[str, Any] = json.loads((folder / "state.json").read_text())
        return state


@dataclass
class Place:
    """A run with a stage, and a clock that stands still."""

    run: Run
    training: Files
    folder: Path
    now: float = 1000.0

    def keeper(self, every: int = 0, minutes: float = 0.0, keep: int = 2) -> Keeper:
        return Keeper(self.run, self.training, self.folder, every, minutes, keep)

    def there(self) -> list[int]:
        return sorted(int(path.name.partition("-")[2]) for path in self.folder.glob("checkpoint-*"))

    def cut(self, step: int) -> None:
        (self.folder / f"checkpoint-{step}" / "model" / "weights").write_bytes(b"weig")


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    run = Run.open(tmp_path, "r", {})
    made = Place(run, Files(), run.stage("rl").path)
    monkeypatch.setattr(keeper.time, "monotonic", lambda: made.now)
    return made


def test_a_step_is_kept_by_count_or_by_time_whichever_comes_first(place: Place) -> None:
    # Its clock is read when it is made.
    kept = Keeper(place.run, place.training, place.folder, 4, 10, 1, place.now)
    assert [step for step in range(1, 9) if kept.due(step)] == [4, 8]
    place.now += 10 * 60 - 1
    assert not kept.due(5)
    place.now += 1
    assert kept.due(5)
    kept.save(5, {})
    assert not kept.due(6) and kept.due(8)
    place.now += 10 * 60
    assert kept.due(6)


def test_nothing_is_kept_by_count_or_by_time_where_that_is_off(place: Place) -> None:
    kept = Keeper(place.run, place.training, place.folder, 0, 0, 1, place.now)
    place.now += 10**9
    assert not any(kept.due(step) for step in range(1, 100))


def test_the_newest_and_the_best_stay(place: Place) -> None:
    kept = place.keeper()
    for step in range(7):
        kept.save(step, {"step": step}, best=min(step, 2))
    assert place.there() == [2, 5, 6]
    assert kept.holds(6) and not kept.holds(5)
    assert kept.resume(1) == {"step": 6}


def test_without_a_checkpoint_the_generators_begin_at_the_seed(place: Place) -> None:
    drawn = []
    for _ in range(2):
        assert place.keeper().resume(2**40 + 3) is None
        drawn.append((random.random(), float(np.random.random()), float(torch.rand(1))))
    assert drawn[0] == drawn[1]
    assert place.keeper().resume(2**40 + 4) is None
    assert random.random() != drawn[0][0] and float(np.random.random()) != drawn[0][1]


def test_a_damaged_checkpoint_is_told_and_the_one_before_it_is_gone_on_from(place: Place) -> None:
    for step in (1, 2, 3):
        place.keeper(keep=3).save(step, {"step": step})
    place.cut(3)
    assert place.keeper().resume(1) == {"step": 2}
    (warning,) = [row["text"] for row in read_jsonl(place.run.path / "manifest.jsonl")]
    assert warning.startswith("1-rl/checkpoint-3: the checkpoint is damaged (model/weights is 4 bytes long, and was 7")
    # The next one that is written takes its place.
    place.keeper().save(4, {})
    assert place.there() == [2, 4]


def test_where_all_are_damaged_nothing_begins_anew_by_itself(place: Place) -> None:
    for step in (9, 10):
        place.keeper().save(step, {})
    for step in (9, 10):
        place.cut(step)
    with pytest.raises(InputError, match=r"checkpoint-10: the checkpoint is damaged .* no whole one; restore one"):
        place.keeper().resume(1)
    assert place.there() == [9, 10]


def test_what_a_kill_left_of_a_deletion_is_no_damage_and_goes(place: Place) -> None:
    place.keeper().save(1, {})
    (place.folder / "checkpoint-1" / "COMPLETE").unlink()
    assert place.keeper().resume(1) is None
    assert place.there() == []


def test_the_best_one_is_asked_for_by_name_when_it_is_damaged(place: Place) -> None:
    kept = place.keeper()
    for step in (1, 2, 3, 4):
        kept.save(step, {}, best=1)
    assert kept.whole(1) == place.folder / "checkpoint-1"
    place.cut(1)
    kept.save(5, {}, best=1)
    assert place.there() == [1, 4, 5]
    with pytest.raises(InputError, match=r"checkpoint-1: the checkpoint is damaged .*restore it from a copy"):
        kept.whole(1)


def test_a_checkpoint_of_a_version_without_sizes_is_whole(place: Place) -> None:
    place.keeper().save(1, {})
    (place.folder / "checkpoint-1" / "COMPLETE").write_bytes(b"")
    assert newest(place.folder) == place.folder / "checkpoint-1"


@pytest.mark.parametrize("name", ["state.json", "model/model.safetensors"])
def test_one_of_such_a_version_with_an_empty_file_is_not(place: Place, name: str) -> None:
    place.keeper().save(1, {})
    folder = place.folder / "checkpoint-1"
    (folder / "COMPLETE").write_bytes(b"")
    (folder / "model").mkdir(exist_ok=True)
    (folder / name).write_bytes(b"")
    assert damaged(place.folder) == {folder: f"{Path(name).name} is empty"}


@pytest.mark.parametrize("marker", [b'{"sizes": {"model/we', b"[]", b'{"sizes": 1}', b'{"other": {}}', b"\xff\xfe"])
def test_a_marker_that_says_no_sizes_is_damage(place: Place, marker: bytes) -> None:
    place.keeper().save(1, {})
    folder = place.folder / "checkpoint-1"
    (folder / "COMPLETE").write_bytes(marker)
    assert damaged(place.folder) == {folder: "COMPLETE is damaged"}
    assert newest(place.folder) is None


def test_the_generators_of_python_numpy_and_torch_go_on_where_they_were() -> None:
    def drawn() -> list[float]:
        # A pair of normal numbers is drawn at once: the second one is part of the state.
        return [random.gauss(0, 1), random.random(), np.random.normal(), np.random.random(), float(torch.rand(1))]

    begin(3)
    drawn()
    state = json.loads(json.dumps(random_state(cuda=False)))
    expected = drawn()
    begin(4)
    assert drawn() != expected
    set_random_state(state)
    assert drawn() == expected
    # Older checkpoints know torch's alone.
    begin(5)
    set_random_state({"cpu": state["cpu"], "cuda": []})
    assert float(torch.rand(1)) == expected[-1]


def test_a_file_that_is_missing_is_a_fault(place: Place) -> None:
    place.keeper().save(1, {})
    (place.folder / "checkpoint-1" / "state.json").unlink()
    assert fault(place.folder / "checkpoint-1") == "state.json is missing"
