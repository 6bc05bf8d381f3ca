"""A run's problems through verl's own data set class, with our score as its custom reward."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from exported_run import SYSTEM, make_run

from metis_rise.exchange.verl import export_verl
from metis_rise.problems.reader import dump_problems
from metis_rise.recipe import load_recipe, resolved

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]


def installed() -> Path:
    """The folder of verl's packages."""
    subprocess.run([sys.executable, HERE / "install.py"], check=True)
    (packages,) = (ROOT / ".venv-verl" / "lib").glob("python*/site-packages")
    return packages


@pytest.mark.verl
def test_verl_reads_an_export_and_scores_with_ours(tmp_path: Path):
    run = make_run(tmp_path / "run")
    (run / "recipe.json").write_text(json.dumps(resolved(load_recipe("tiny"))))
    (run / "system.txt").write_text(SYSTEM)
    for split in ("dev", "test"):
        dump_problems([], run / "problems" / f"{split}.jsonl")
    export_verl(run, tmp_path / "out")
    answer = tmp_path / "rows.json"
    path = os.pathsep.join([str(installed()), str(ROOT / "src")])
    environment = os.environ | {"PYTHONPATH": path, "HF_HUB_OFFLINE": "1"}
    file = tmp_path / "out" / "train.parquet"
    subprocess.run([sys.executable, HERE / "rows.py", file, answer], check=True, cwd=tmp_path, env=environment)
    two, plain = json.loads(answer.read_text())
    assert two["messages"] == [[SYSTEM], ["Is ", [10, 40, 90], "darker than ", [200, 40, 90], "?"]]
    assert plain["messages"] == [[SYSTEM], ["What is 1 + 2?\nA. four\nB. three"]]
    assert two["roles"] == plain["roles"] == ["system", "user"]
    assert [row["index"] for row in (two, plain)] == [0, 1]
    assert [row["score"] for row in (two, plain)] == [1.1, 1.1]
