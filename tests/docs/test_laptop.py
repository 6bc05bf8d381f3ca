"""The blocks of the documentation that are marked `laptop` run as they stand, those of a page in one shell."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from pages import PAGES, REPOSITORY, scripts


def marked(page: Path) -> list[str]:
    return [script for script, laptop in scripts(page.read_text(encoding="utf-8")) if laptop]


MARKED = [page for page in PAGES if marked(page)]


@pytest.mark.slow
@pytest.mark.parametrize("page", MARKED, ids=lambda page: page.stem)
def test_the_blocks_run(page: Path, tmp_path: Path):
    (tmp_path / "bin").mkdir()
    rise = tmp_path / "bin" / "rise"
    rise.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m metis_rise "$@"\n', encoding="utf-8")
    rise.chmod(0o755)
    environment = os.environ | {
        "PATH": f"{rise.parent}:{os.environ['PATH']}",
        "PYTHONPATH": str(REPOSITORY / "src"),
        "HF_HUB_OFFLINE": "1",
    }
    line = ["bash", "-e", "-u", "-o", "pipefail", "-c", "\n".join(marked(page))]
    done = subprocess.run(line, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_some_pages_have_such_blocks():
    assert {"tutorial", "own-data", "one-node"} <= {page.stem for page in MARKED}
