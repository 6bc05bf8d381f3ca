"""`rise bench rollout --against vllm`, its worker run with a vllm module that only takes notes."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from typer.testing import CliRunner

from metis_rise.bench import command
from metis_rise.bench.cases import Case
from metis_rise.bench.model import Sizes
from metis_rise.bench.vllm_peer import VllmWorker, vllm_arms
from metis_rise.bench.workbench import LARGEST_PIXELS, Workbench
from metis_rise.cli import app
from metis_rise.errors import InputError

CASE = Case(image_tokens=16, completion_tokens=5, group_size=3, prompts=2)
SMALL = Sizes(64, 2, 2, 1, 96, 1024, 32, 2, 2, 64)
# Completions count up from 100 x the prompt's number + 10 x the sample's.
FAKE = """
import hashlib, json, os, sys, types
print("noise on standard output")
__version__ = "9.9"
NOTES = os.environ["NOTES"]

def note(**entry):
    with open(NOTES, "a") as file:
        file.write(json.dumps(entry) + "\\n")

def SamplingParams(**settings):
    return settings

class LLM:
    def __init__(self, **settings):
        files = {name: json.load(open(os.path.join(settings["model"], name)))
                 for name in ("config.json", "preprocessor_config.json", "video_preprocessor_config.json")}
        note(call="load", settings=settings, files=files, weights=os.listdir(settings["model"]),
             environment={k: v for k, v in os.environ.items() if k.startswith(("VLLM", "OMP"))})
        self.llm_engine = self
    def reset_prefix_cache(self):
        note(call="prefix")
    def reset_mm_cache(self):
        note(call="mm")
    def reset_encoder_cache(self):
        note(call="encoder")
    def enqueue(self, prompts, params, use_tqdm):
        self.params, self.count = params, len(prompts)
        picture = lambda p: hashlib.sha256(p["multi_modal_data"]["image"].tobytes()).hexdigest()
        sent = [{"ids": p["prompt_token_ids"], "picture": picture(p)} for p in prompts]
        note(call="queue", params=params, prompts=sent)
    def wait_for_completion(self, use_tqdm):
        note(call="run")
        length = self.params["max_tokens"]
        new = lambda i, j: types.SimpleNamespace(token_ids=range(100 * i + 10 * j, 100 * i + 10 * j + length))
        return [types.SimpleNamespace(outputs=[new(i, j) for j in range(self.params["n"])]) for i in range(self.count)]
"""

Notes = Callable[[], list[dict[str, Any]]]


@pytest.fixture(scope="module")
def bench() -> Workbench:
    return Workbench.study(SMALL)


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The fake module's file, which workers that are started in the test will import."""
    (tmp_path / "vllm.py").write_text(FAKE)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("NOTES", str(tmp_path / "notes"))
    return tmp_path / "vllm.py"


@pytest.fixture
def notes(fake: Path) -> Notes:
    return lambda: [json.loads(line) for line in (fake.parent / "notes").read_text().splitlines()]


@pytest.fixture
def worker(fake: Path, bench: Workbench) -> Iterator[VllmWorker]:
    made = VllmWorker(Path(sys.executable), bench, threads=1)
    yield made
    made.close()


@pytest.fixture
def unpinned() -> Iterator[None]:
    before, threads = os.sched_getaffinity(0), torch.get_num_threads()
    yield
    os.sched_setaffinity(0, before)
    torch.set_num_threads(threads)


def test_the_model_is_loaded_as_it_should(worker: VllmWorker, bench: Workbench, notes: Notes):
    (load,) = notes()
    assert worker.version == "9.9"
    assert load["settings"]["dtype"] == "float32" and load["settings"].get("enforce_eager", False) is False
    assert (
        load["environment"]["VLLM_ENABLE_V1_MULTIPROCESSING"] == "0" and load["environment"]["OMP_NUM_THREADS"] == "1"
    )
    assert load["files"]["config.json"]["text_config"]["hidden_size"] == SMALL.hidden
    for name in ("preprocessor_config.json", "video_preprocessor_config.json"):
        assert load["files"][name]["size"]["longest_edge"] == LARGEST_PIXELS
    assert "model.safetensors" in load["weights"] and "chat_template.jinja" in load["weights"]


def test_both_arms_are_asked_for_the_same(worker: VllmWorker, bench: Workbench, notes: Notes):
    arms = vllm_arms(bench, CASE, worker, temperature=0.5)
    assert list(arms) == ["ours", "vllm"]
    assert arms["ours"]().shape == arms["vllm"]().shape == (6, 5)
    assert [row[0] for row in arms["vllm"]().tolist()] == [0, 10, 20, 100, 110, 120], "in the order of the prompts"
    _, *calls = notes()
    names = [call["call"] for call in calls]
    assert [set(names[:3]), names[3:5]] == [{"prefix", "mm", "encoder"}, ["queue", "run"]] and names[5:] == names[:5]
    queued = [call for call in calls if call["call"] == "queue"]
    params = queued[0]["params"]
    assert (params["n"], params["temperature"], params["ignore_eos"]) == (3, 0.5, True)
    assert params["max_tokens"] == params["min_tokens"] == 5
    banned = set(bench.policy.banned_ids)
    assert set(params["allowed_token_ids"]) == set(range(SMALL.vocabulary)) - banned
    assert set(bench.policy.eos_ids) <= banned


def test_pictures_and_prompts_are_those_of_ours_and_new_in_every_round(
    worker: VllmWorker, bench: Workbench, notes: Notes
):
    arm = vllm_arms(bench, CASE, worker)["vllm"]
    for _ in range(2):
        arm()
    first, second = (call["prompts"] for call in notes() if call["call"] == "queue")
    assert len({prompt["picture"] for prompt in first + second}) == 4
    image = bench.policy.placeholder_ids[0]
    for sent, prompt in zip(second, bench.prompts(CASE, 1), strict=True):
        place = sent["ids"].index(image)
        assert sent["ids"].count(image) == 1
        assert sent["ids"][:place] + [image] * 16 + sent["ids"][place + 1 :] == prompt.input_ids.tolist()


def test_a_worker_that_fails_is_quoted(fake: Path, bench: Workbench):
    fake.write_text("raise ImportError('torchvision is broken')")
    with pytest.raises(InputError, match=r"vLLM worker ended with exit code 1: ImportError: torchvision is broken"):
        VllmWorker(Path(sys.executable), bench, threads=1)


def test_the_command_compares_with_vllm_alone(notes: Notes, monkeypatch: pytest.MonkeyPatch, unpinned: None):
    real = command.measure
    monkeypatch.setattr(
        command,
        "measure",
        lambda setup, _, memory: real(replace(setup, sizes=SMALL), [CASE], memory=False, rounds=2),
    )
    line = ["bench", "rollout", "--against", "vllm", "--vllm-python", sys.executable, "--json"]
    done = CliRunner().invoke(app, line)
    assert done.exit_code == 0, done.output
    result = json.loads(done.stdout)
    assert result["environment"]["vllm"] == "9.9"
    (row,) = result["rows"]
    assert row["ratio"].keys() == row["spread"].keys() == {"vllm"} and row["seconds"].keys() == {"ours", "vllm"}
    assert [note["call"] for note in notes()].count("run") == 3, "a warm-up and two rounds"
    assert len(os.sched_getaffinity(0)) == 1, "both sides on one core"


def test_a_missing_python_is_named_with_the_way_to_make_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(app, ["bench", "rollout", "--against", "vllm"])
    assert done.exit_code == 2
    assert ".venv-vllm/bin/python: no Python there" in done.stderr and "tests/vllm/install.py" in done.stderr
    done = CliRunner().invoke(app, ["bench", "rollout", "--against", "vllm", "--vllm-python", "elsewhere"])
    assert done.exit_code == 2 and "elsewhere: no Python there" in done.stderr


@pytest.mark.parametrize(
    ("line", "said"), [("--vllm-python x", "--against vllm"), ("--against vllm --memory", "not vLLM's")]
)
def test_options_that_mean_nothing_together_are_refused(line: str, said: str):
    done = CliRunner().invoke(app, ["bench", "rollout", *line.split()])
    assert done.exit_code == 2 and said in done.stderr
