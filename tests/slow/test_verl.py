"""A run's problems through verl's own data set class, with our score as its custom reward."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from exported_run import SYSTEM, make_run

from metis_rise.exchange.verl import export_verl
from metis_rise.problems.reader import dump_problems
from metis_rise.recipe import load_recipe, resolved

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
FOLDER = ROOT / ".venv-verl"
# Only what its data set class imports; torch, transformers and datasets are those of this environment.
PACKAGES = (
    "verl==0.9.1",
    "ray==2.60.0",
    "tensordict==0.15.3",
    "omegaconf==2.4.0",
    "antlr4-python3-runtime==4.9.3",
    "codetiming==1.4.0",
    "hydra-core==1.3.8",
    "protobuf==7.36.2",
    "msgpack==1.2.4",
    "jsonschema==4.26.0",
    "jsonschema-specifications==2025.9.1",
    "referencing==0.37.0",
    "rpds-py==2026.9.1",
    "attrs==26.1.0",
    "cloudpickle==3.1.3",
    "pyvers==0.2.3",
    "orjson==3.13.0",
    "importlib_metadata==10.2.0",
    "zipp==4.1.2",
)


def install() -> None:
    """Puts verl's packages into a folder of their own, once: it pins other transformers than ours."""
    stamp, wanted = FOLDER / "installed", "\n".join(PACKAGES)
    if stamp.is_file() and stamp.read_text() == wanted:
        return
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "-q", "install", "--no-deps", "--upgrade"]
    subprocess.run([*pip, "--target", FOLDER, *PACKAGES], check=True)
    stamp.write_text(wanted)


def test_verl_reads_an_export_and_scores_with_ours(tmp_path: Path):
    install()
    run = make_run(tmp_path / "run")
    (run / "recipe.json").write_text(json.dumps(resolved(load_recipe("tiny"))))
    (run / "system.txt").write_text(SYSTEM)
    for split in ("dev", "test"):
        dump_problems([], run / "problems" / f"{split}.jsonl")
    export_verl(run, tmp_path / "out")
    answer = tmp_path / "rows.json"
    # They come first: omegaconf needs an older antlr than math-verify.
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(FOLDER), str(ROOT / "src")]), "HF_HUB_OFFLINE": "1"}
    file = tmp_path / "out" / "train.parquet"
    subprocess.run([sys.executable, HERE / "verl_rows.py", file, answer], check=True, cwd=tmp_path, env=environment)
    two, plain = json.loads(answer.read_text())
    assert two["messages"] == [[SYSTEM], ["Is ", [10, 40, 90], "darker than ", [200, 40, 90], "?"]]
    assert plain["messages"] == [[SYSTEM], ["What is 1 + 2?\nA. four\nB. three"]]
    assert two["roles"] == plain["roles"] == ["system", "user"]
    assert [row["index"] for row in (two, plain)] == [0, 1]
    assert [row["score"] for row in (two, plain)] == [1.1, 1.1]
