"""An exported SFT set, and chats that we read, through LLaMA-Factory's own loader, in its own environment."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from exported_run import COMPLETIONS, SYSTEM, make_run, picture

from metis_rise.exchange.export import export_sft
from metis_rise.foreign.opening import open_rows
from metis_rise.problems.images import ImageStore
from metis_rise.problems.reader import read_problems

HERE = Path(__file__).resolve().parent
PYTHON = HERE.parents[1] / ".venv-llamafactory" / "bin" / "python"


CHATS = {
    "conversations": [
        {"from": "human", "value": "<image>Darker than <image>?"},
        {"from": "gpt", "value": COMPLETIONS["one"]},
    ],
    "messages": [
        {"role": "system", "content": SYSTEM},
        {"role": "user", "content": "<image>Darker than <image>?"},
        {"role": "assistant", "content": COMPLETIONS["one"]},
    ],
}
OPENAI = {"role_tag": "role", "content_tag": "content", "user_tag": "user", "assistant_tag": "assistant"}


def loaded(folder: Path, answer: Path) -> list[dict[str, Any]]:
    """The rows that LLaMA-Factory's own loader makes of a folder."""
    subprocess.run([sys.executable, HERE / "install.py"], check=True)
    # With another folder as its working directory nothing of this checkout is imported there.
    subprocess.run([PYTHON, HERE / "load.py", folder, answer], check=True, cwd=answer.parent)
    return json.loads(answer.read_text())


@pytest.mark.llamafactory
@pytest.mark.parametrize("column", CHATS)
def test_a_chat_is_read_as_llamafactory_reads_it(tmp_path: Path, column: str):
    data = tmp_path / "data"
    data.mkdir()
    for shade in (10, 200):
        (data / f"{shade}.png").write_bytes(picture(shade))
    (data / "mine.json").write_text(json.dumps([{column: CHATS[column], "images": ["10.png", "200.png"]}]))
    tags = {"tags": OPENAI | {"system_tag": "system"}} if column == "messages" else {}
    info = {"file_name": "mine.json", "formatting": "sharegpt", "columns": {"messages": column, "images": "images"}}
    (data / "dataset_info.json").write_text(json.dumps({"rise_sft": info | tags}))
    (theirs,) = loaded(data, tmp_path / "rows.json")
    store = ImageStore(tmp_path / "images")
    (ours,) = read_problems(data / "mine.json", store, opener=open_rows)
    assert (
        ours.question.replace("<image1>", "<image>").replace("<image2>", "<image>") == theirs["_prompt"][0]["content"]
    )
    assert ours.solution == theirs["_response"][0]["content"] and ours.answer == "3"
    shown = [Path(image).read_bytes() for image in theirs["_images"]]
    assert [store.path(key).read_bytes() for key in ours.images] == shown


@pytest.mark.llamafactory
def test_llamafactory_loads_an_export_with_its_pictures(tmp_path: Path):
    export_sft(make_run(tmp_path / "run"), "llamafactory", tmp_path / "out")
    rows = loaded(tmp_path / "out", tmp_path / "rows.json")
    assert [row["_response"][0]["content"] for row in rows] == [
        COMPLETIONS[name] for name in ("one", "two", "three", "four")
    ]
    assert [row["_prompt"][0]["content"].count("<image>") for row in rows] == [2, 2, 0, 2]
    assert all(row["_system"] == SYSTEM for row in rows)
    shown = [[Path(image).read_bytes() for image in row["_images"] or ()] for row in rows]
    assert shown == [[picture(10), picture(200)] if row["_images"] else [] for row in rows]
    assert [bool(row["_images"]) for row in rows] == [True, True, False, True]
