"""`rise eval` on a real vLLM server: the same prompts, pictures and decoding as in process, so the same answers."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from vllm_server import Server

pytestmark = pytest.mark.vllm
ASKED = ("eval", "tiny", "--benchmark", "world", "--limit", "24", "--max-tokens", "160")


def evaluated(folder: Path, out: str, *more: str) -> tuple[dict[str, Any], dict[str, str]]:
    """What is printed, and the answers by index."""
    command = [sys.executable, "-m", "metis_rise", *ASKED, "--out", out, "--json", *more]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=900, check=False)
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in (folder / out / "world" / "answers.jsonl").read_text().splitlines()]
    return json.loads(done.stdout), {row["index"]: row["text"] for row in rows}


def test_a_served_model_answers_as_the_same_model_in_process(tmp_path: Path, base: Server) -> None:
    served, said = evaluated(tmp_path, "served", "--server", base.url, "--system", "none")
    native, wanted = evaluated(tmp_path, "native", "--dtype", "float32")
    assert said == wanted and len(said) == 24
    assert served["score"] == native["score"] > 0
    assert served["protocol"]["engine"] != native["protocol"]["engine"]
    assert served["protocol"]["truncated"] == native["protocol"]["truncated"]
