"""The same through the command: exit code 2, lines that begin with "error:", no traceback, nothing left behind."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from micro import ENVIRONMENT, command
from pictures import encoded
from PIL import Image
from recipes import BOMB

KEY = "sk-hunter22"


def _recipe(folder: Path) -> list[str]:
    (folder / "bomb.yaml").write_text(BOMB + "name: *i")
    return ["run", "bomb.yaml"]


def _key_in_a_recipe(folder: Path) -> list[str]:
    return ["run", "tiny", f"judge.url=http://user:{KEY}@host/v1", "judge.model=m"]


def _key_for_its_variable(folder: Path) -> list[str]:
    return ["eval", "m", "--server", "http://127.0.0.1:9", "--key-env", KEY, "--system", "none", "--benchmark", "world"]


def _problems(folder: Path) -> list[str]:
    (folder / "bomb.png").write_bytes(encoded(Image.new("1", (9000, 9000)), "PNG"))
    good = {"question": "q", "answer": "1", "answer_type": "number"}
    images = (["bomb.png"], ["/etc/passwd"], ["http://127.0.0.1/a.png"], ["../secret.png"])
    (folder / "rows.jsonl").write_text("".join(json.dumps(good | {"images": each}) + "\n" for each in images))
    return ["run", "user_jsonl", "problems.train=rows.jsonl", "problems.test=rows.jsonl", "model.path=tiny"]


def _pairs(folder: Path) -> list[str]:
    (folder / "pairs.jsonl").write_bytes(b'{"gold": ' + b"[" * 100_000 + b"\n")
    return ["verify", "pairs.jsonl"]


def _predictions(folder: Path) -> list[str]:
    (folder / "p.json").write_text("[" * 100_000)
    return ["eval", "--score", "p.json", "--benchmark", "mathvista"]


def _report(folder: Path) -> list[str]:
    (folder / "old").mkdir()
    (folder / "old" / "recipe.json").write_text('{"name": [[[')
    return ["report", "old"]


def _picture(folder: Path) -> list[str]:
    (folder / "a.png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n")
    return ["ask", "tiny", "a.png", "How many?"]


MAKERS = (_recipe, _key_in_a_recipe, _key_for_its_variable, _problems, _pairs, _predictions, _report, _picture)


@pytest.mark.parametrize("make", MAKERS, ids=lambda make: make.__name__.strip("_"))
def test_a_bad_input_is_one_clear_error(make: Callable[[Path], list[str]], tmp_path: Path) -> None:
    arguments = make(tmp_path)
    before = _tree(tmp_path)
    environment = ENVIRONMENT | {"HOME": str(tmp_path)}
    done = subprocess.run(
        command(*arguments), cwd=tmp_path, env=environment, capture_output=True, text=True, check=False, timeout=600
    )
    lines = done.stderr.splitlines()
    assert (done.returncode, done.stdout) == (2, ""), done.stderr
    assert lines and all(line.startswith("error: ") for line in lines), done.stderr
    assert KEY not in done.stderr
    assert _tree(tmp_path) == before


def _tree(folder: Path) -> list[str]:
    """All that lies below, but for what libraries keep in their caches."""
    found = (str(path.relative_to(folder)) for path in folder.rglob("*"))
    return sorted(name for name in found if not name.startswith("."))
