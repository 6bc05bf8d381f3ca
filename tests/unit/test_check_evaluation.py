"""`rise check` of an evaluation's folder, alone and within a run."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from evaluating import Told, data
from fake_benchmark import Fake
from test_check import alter, cut, drop, remove
from typer.testing import CliRunner
from whole_run import make_whole

from metis_rise.benchmarks.predictions import sidecar
from metis_rise.check.evaluation import check_evaluation
from metis_rise.check.folder import check_run
from metis_rise.cli import app
from metis_rise.errors import InputError
from metis_rise.evaluation.board.scores import read_scores
from metis_rise.evaluation.folder import claim
from metis_rise.evaluation.runner import Evaluation, Scoring
from metis_rise.journal import append_jsonl, read_jsonl, write_jsonl
from metis_rise.run_format import FORMAT, read_format, write_format

RIGHT = {str(number): str(number) for number in range(4)}
TSV = "fake/tiny_Fake_MINI.tsv"


def make(out: Path, patience: int | None = None) -> Path:
    """An evaluation, ended after `patience` answers where that is given."""
    evaluation = Evaluation("tiny", out, Told(RIGHT, patience=patience), Scoring())
    evaluation.claim("some/folder")
    benchmark_data = data(out)
    (out / "Fake_MINI.tsv").unlink()
    if patience is None:
        evaluation.run(Fake(), benchmark_data)
    else:
        with pytest.raises(InputError, match="the engine is gone"):
            evaluation.run(Fake(), benchmark_data)
    return out


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("evals") / "tiny")


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    """A copy of a whole evaluation, to damage."""
    return Path(shutil.copytree(made, tmp_path / "tiny"))


def odd_answer(folder: Path) -> None:
    append_jsonl(folder / "fake" / "answers.jsonl", [{"index": 7}])


def a_picture(folder: Path) -> Path:
    return sorted((folder / "images").iterdir())[0]


DAMAGES: list[tuple[str, Callable[[Path], object], str, str]] = [
    ("answer", alter("fake/answers.jsonl", b"boxed", b"foxed"), "fake/answers.jsonl", "checksum"),
    ("odd answer", odd_answer, "fake/answers.jsonl", "not an answer with index"),
    ("lost answer", drop("fake/answers.jsonl", 1), "fake/answers.jsonl", "was scored, and has no answer"),
    ("no answers", remove("fake/answers.jsonl"), "fake/answers.jsonl", "missing"),
    ("lost verdict", drop("fake/verdicts.jsonl", 1), "fake/verdicts.jsonl", "3 items there, 4 in score.json"),
    ("verdict", alter("fake/verdicts.jsonl", b"true", b"fals"), "fake/verdicts.jsonl", "checksum"),
    ("score", alter("fake/score.json", b"{", b"("), "fake/score.json", "not a JSON object"),
    ("odd score", alter("fake/score.json", b'"n"', b'"m"'), "fake/score.json", "holds no n"),
    ("torn score", cut("fake/score.json", 5), "fake/score.json", "not a JSON object"),
    ("settings", alter("evaluation.json", b'"settings"', b'"sittings"'), "evaluation.json", "not the record of an"),
    ("predictions", remove(TSV), TSV, "missing"),
    ("sidecar", lambda folder: sidecar(folder / TSV).unlink(), TSV, "missing"),
    ("picture", lambda folder: a_picture(folder).write_bytes(b"\x89PNG"), "images/", "changed or damaged"),
]


def test_a_whole_evaluation_has_no_fault_and_nothing_is_changed(folder: Path) -> None:
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    found = check_evaluation(folder)
    assert (found.settled(), found.notes, found.to_do) == ([], [], [])
    assert found.looked_at["answers"] == 4 and found.looked_at["benchmarks"] == 1 and found.looked_at["pictures"] > 0
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize(("damage", "file", "what"), [d[1:] for d in DAMAGES], ids=[d[0] for d in DAMAGES])
def test_every_damage_is_found_where_it_is(
    folder: Path, damage: Callable[[Path], object], file: str, what: str
) -> None:
    damage(folder)
    found = check_evaluation(folder).settled()
    assert any(each.file.startswith(file) and what in each.what and each.mend for each in found), list(map(str, found))


def test_one_that_is_not_done_says_what_is_there(tmp_path: Path) -> None:
    found = check_evaluation(make(tmp_path / "half", patience=2))
    assert found.faults == [] and found.to_do == ["fake: goes on, 2 answers so far, no score"]


def test_the_command_takes_it_and_a_folder_of_neither_kind_is_refused(folder: Path) -> None:
    done = CliRunner().invoke(app, ["check", str(folder)])
    assert done.exit_code == 0 and "the evaluation is whole" in done.output and "next `rise eval`" in done.output
    odd_answer(folder)
    done = CliRunner().invoke(app, ["check", str(folder), "--json"])
    assert done.exit_code == 2
    assert json.loads(done.stdout)["findings"][0]["file"] == "fake/answers.jsonl"
    assert CliRunner().invoke(app, ["check", str(folder / "images")]).exit_code == 2


def test_those_of_a_run_are_checked_with_it(folder: Path, tmp_path: Path) -> None:
    run = make_whole(tmp_path / "runs")
    shutil.copytree(folder, run / "benchmarks" / "rl")
    (run / "benchmarks" / "rl" / "images").rename(run / "benchmarks" / "images")
    found = check_run(run)
    assert found.faults == [] and found.looked_at["answers"] == 4
    drop("benchmarks/rl/fake/verdicts.jsonl", 1)(run)
    a_picture(run / "benchmarks").write_bytes(b"")
    files = [finding.file for finding in check_run(run).settled()]
    assert "benchmarks/rl/fake/verdicts.jsonl" in files and any(f.startswith("benchmarks/images/") for f in files)


def test_pictures_that_evaluations_share_are_checked_with_each(folder: Path) -> None:
    shutil.move(folder / "images", folder.parent / "images")
    # Somebody's own folder may be there under that name.
    (folder.parent / "images" / "cat.png").write_bytes(b"cat")
    found = check_evaluation(folder)
    assert found.faults == [] and found.looked_at["pictures"] > 0
    picture = a_picture(folder.parent)
    picture.write_bytes(b"\x89PNG")
    (fault,) = check_evaluation(folder).settled()
    assert fault.file == f"../images/{picture.name}" and "changed or damaged" in fault.what


def test_it_has_a_format_and_one_of_a_newer_version_is_refused_by_all_that_read_it(folder: Path) -> None:
    assert read_format(folder) == FORMAT
    write_format(folder, FORMAT + 1)
    for read in (check_evaluation, read_scores, lambda folder: claim(folder, "m", {})):
        with pytest.raises(InputError, match=rf"in format {FORMAT + 1}, .*install a newer"):
            read(folder)


def test_one_of_an_older_version_is_taken_up_and_checked_without_checksums(folder: Path) -> None:
    (folder / "format.json").unlink()
    for file in folder.rglob("*.jsonl"):
        write_jsonl(file, read_jsonl(file), checked=False)
    claim(folder, "some/folder", json.loads((folder / "evaluation.json").read_text())["settings"])
    found = check_evaluation(folder)
    assert found.faults == [] and "older version (format 1)" in found.notes[0]
    assert read_format(folder) == 1


def test_a_crash_before_its_record_leaves_a_folder_that_is_taken_up(tmp_path: Path) -> None:
    write_format(tmp_path / "new")
    claim(tmp_path / "new", "m", {})
    assert (tmp_path / "new" / "evaluation.json").is_file()
