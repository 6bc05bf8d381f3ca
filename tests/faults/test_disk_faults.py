"""A disk that is full, fails or tears what is written: the run says so in a line, loses nothing, and goes on after."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from disk_shim import ANYWHERE, Fault, Site, compiler, sites
from striking import NAME, RUN, Trial, finish, names, strike_all, unseen, visible, warm_process
from warm import Warm

needs_compiler = pytest.mark.skipif(compiler() is None, reason="no C compiler (cc) to build the failing disk with")

# Some of each kind, in the order in which a run meets them; `make faults` does all sites.
FAULTS = (
    Fault("ENOSPC", Site("write", f".{NAME}.lock")),
    Fault("ENOSPC", Site("write", f".preparing/{NAME}/images/.*.png.*.tmp")),
    Fault("EIO", Site("fsync", f"{NAME}/manifest.jsonl")),
    Fault("torn", Site("write", f"{NAME}/1-rl/.checkpoint-*.writing/.tmp*")),
    Fault("kill", Site("write", f"{NAME}/metrics.jsonl")),
    Fault("ENOSPC", Site("rename", f"{NAME}/1-rl/DONE")),
    Fault("torn", Site("write", f"{NAME}/2-diagnose/trajectories-0000.jsonl"), nth=5),
    Fault("EIO", Site("write", f"{NAME}/5-sft/.model-self.writing/tokenizer.json")),
    Fault("ENOSPC", Site("write", f"{NAME}/.report.html.*.tmp")),
    Fault("EIO", Site("write", f"{NAME}/logs/*.txt")),
)


@pytest.fixture(scope="module")
def warm() -> Iterator[Warm]:
    with warm_process() as process:
        yield process


@pytest.fixture
def trial(warm: Warm, tmp_path: Path) -> Trial:
    return Trial(tmp_path, warm)


@pytest.fixture(scope="module")
def calm(warm: Warm, tmp_path_factory: pytest.TempPathFactory) -> Trial:
    """A run without faults, on a disk whose syncs are slow."""
    trial = Trial(tmp_path_factory.mktemp("calm"), warm)
    outcome = trial.rise(*RUN, slow_ms=20)
    assert outcome.code == 0, outcome.said
    return trial


@needs_compiler
def test_no_file_of_a_run_is_written_unseen(calm: Trial):
    calls = calm.shim.calls()
    assert unseen(calm.run, calls) == []
    assert {fault.site for fault in FAULTS} <= set(sites(calls))


@needs_compiler
def test_each_fault_is_told_and_what_is_left_comes_to_the_same_end(calm: Trial, trial: Trial):
    assert [said for _, said in strike_all(trial, FAULTS) if said] == []
    assert finish(trial, calm.run) == []


@needs_compiler
@pytest.mark.parametrize(
    ("kind", "said"), [("ENOSPC", "free space on this disk"), ("EROFS", "choose a folder that can be written to")]
)
def test_a_disk_where_nothing_can_be_written_has_its_own_message(trial: Trial, kind: str, said: str):
    outcome = trial.rise(*RUN, fault=Fault(kind, ANYWHERE))
    (line,) = outcome.errors
    assert outcome.code and said in line and "Traceback" not in outcome.said
    assert not list(trial.runs.glob("*"))


@needs_compiler
def test_a_run_folder_that_became_read_only_is_told(calm: Trial):
    outcome = calm.rise(*RUN, fault=Fault("EROFS", Site("open", f"{NAME}/*")))
    (line,) = outcome.errors
    assert outcome.code == 1 and line.startswith(f"error: runs/{NAME}/") and "make this file system writable" in line


def test_names_of_files_that_are_being_written_are_those_of_what_they_become():
    assert visible("micro/1-rl/.DONE.123.tmp") == "micro/1-rl/DONE"
    assert visible("micro/1-rl/.checkpoint-2.writing/model/config.json") == "micro/1-rl/checkpoint-2"
    line = "error: runs/micro/1-rl/checkpoint-2: No space left on device; free space"
    assert names(line, Site("write", "micro/1-rl/.checkpoint-2.writing/state.json"))
    assert names(line, Site("fsync", "micro/1-rl"))
    assert not names(line, Site("write", "micro/metrics.jsonl"))
