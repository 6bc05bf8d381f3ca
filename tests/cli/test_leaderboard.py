"""`rise leaderboard` as a user runs it, and that it loads no torch."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from evaluated import METIS_7B, SIX, run
from micro import ENVIRONMENT, ok, rise


def test_the_table_is_printed_and_written(tmp_path: Path):
    run(tmp_path / "mine", base=dict.fromkeys(SIX, 40.0), rise=METIS_7B)
    shown = ok(tmp_path, "leaderboard", "mine")
    assert "mine after RISE" in shown and "Metis-RISE-72B" in shown and "published" in shown
    ok(tmp_path, "leaderboard", "mine", "--out", "board.html")
    assert "+6.4 against its base" in (tmp_path / "board.html").read_text()


def test_a_folder_without_scores_is_one_line(tmp_path: Path):
    (tmp_path / "empty").mkdir()
    done = rise(tmp_path, "leaderboard", "empty")
    assert done.returncode == 2 and done.stderr.startswith("error: empty: no score.json")
    assert len(done.stderr.splitlines()) == 1


def test_it_needs_no_torch(tmp_path: Path):
    code = (
        "import sys; sys.modules['torch'] = sys.modules['transformers'] = sys.modules['sympy'] = None\n"
        "from metis_rise.cli import main; sys.argv = ['rise', 'leaderboard', '--format', 'csv']; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=ENVIRONMENT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0 and "Metis-RISE-7B" in done.stdout, done.stderr
