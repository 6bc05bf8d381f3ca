"""A corpus of bad inputs: none ends in anything but an answer or one clear error, hangs, or writes where it may not."""

from __future__ import annotations

from pathlib import Path

import pictures
import pytest
import recipes
import rows
import runs
import tables
from case import Case, Outcome
from guard import guarded
from PIL import Image

from metis_rise.errors import InputError

CASES = [case for part in (pictures, rows, recipes, tables, runs) for case in part.cases()]
LONGEST_LINE = 1000


@pytest.mark.filterwarnings("ignore:.*:UserWarning")
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_bad_input_is_read_or_refused_in_words(case: Case, tmp_path: Path) -> None:
    data, run = tmp_path / "data", tmp_path / "run"
    for folder in (data, run, tmp_path / "outside"):
        folder.mkdir()
    Image.new("RGB", (5, 5)).save(tmp_path / "outside" / "secret.png")
    given = case.make(data)
    outcome = Outcome.READ
    with guarded(run) as strayed:
        try:
            case.read(given, run)
        except InputError as error:
            outcome, lines = Outcome.REFUSED, str(error).splitlines()
            assert lines and all(len(line) <= LONGEST_LINE for line in lines), lines
    assert strayed == []
    assert case.outcome in (outcome, Outcome.EITHER)


def test_the_corpus_is_as_large_as_it_is_said_to_be() -> None:
    assert len({case.name for case in CASES}) == len(CASES) >= 200
