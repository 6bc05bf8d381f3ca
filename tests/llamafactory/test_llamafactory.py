"""An exported SFT set through LLaMA-Factory's own loader, in its own environment."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from exported_run import COMPLETIONS, SYSTEM, make_run, picture

from metis_rise.exchange.export import export_sft

HERE = Path(__file__).resolve().parent
PYTHON = HERE.parents[1] / ".venv-llamafactory" / "bin" / "python"


@pytest.mark.llamafactory
def test_llamafactory_loads_an_export_with_its_pictures(tmp_path: Path):
    subprocess.run([sys.executable, HERE / "install.py"], check=True)
    export_sft(make_run(tmp_path / "run"), "llamafactory", tmp_path / "out")
    answer = tmp_path / "rows.json"
    # With the folder as its working directory nothing of this checkout is imported there.
    subprocess.run([PYTHON, HERE / "load.py", tmp_path / "out", answer], check=True, cwd=tmp_path)
    rows = json.loads(answer.read_text())
    assert [row["_response"][0]["content"] for row in rows] == [
        COMPLETIONS[name] for name in ("one", "two", "three", "four")
    ]
    assert [row["_prompt"][0]["content"].count("<image>") for row in rows] == [2, 2, 0, 2]
    assert all(row["_system"] == SYSTEM for row in rows)
    shown = [[Path(image).read_bytes() for image in row["_images"] or ()] for row in rows]
    assert shown == [[picture(10), picture(200)] if row["_images"] else [] for row in rows]
    assert [bool(row["_images"]) for row in rows] == [True, True, False, True]
