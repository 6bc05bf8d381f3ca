"""vLLM as a peer: a worker process in its own environment that takes turns with this one on the same cores."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from metis_rise.bench import vllm_worker
from metis_rise.bench.cases import OURS, Arms, Case, Fresh
from metis_rise.bench.rollout import own_rollout
from metis_rise.bench.workbench import LARGEST_PIXELS, Workbench
from metis_rise.errors import InputError
from metis_rise.policy.families import read_json
from metis_rise.policy.loading import TINY, find_folder
from metis_rise.policy.prompt import Prompt

ENVIRONMENT = Path(".venv-vllm")
SETTINGS = {
    "max_model_len": 2048,
    "max_num_seqs": 32,
    "limit_mm_per_prompt": {"image": 1, "video": 0},
    "generation_config": "vllm",
}


def vllm_python(given: Path | None) -> Path:
    """The Python that has vLLM: the one given, or that of `ENVIRONMENT` in the current folder.

    Raises:
        InputError: there is none.
    """
    python = given or ENVIRONMENT / "bin" / "python"
    if not python.is_file():
        raise InputError(
            f"{python}: no Python there; --against vllm needs one with vLLM: make {ENVIRONMENT} in a checkout with "
            "python tests/vllm/install.py and call rise there, or name one by --vllm-python"
        )
    return python


def pin(threads: int) -> None:
    """Keep this process, and the worker that it will start, on as many cores as it has threads.

    Raises:
        InputError: not on Linux.
    """
    if not sys.platform.startswith("linux"):
        raise InputError("--against vllm pins both sides to the same cores, which only Linux can")
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])


class VllmWorker:
    """A running worker (vllm_worker.py) with the model loaded. `version` is vLLM's."""

    def __init__(self, python: Path, bench: Workbench, threads: int) -> None:
        """Start it on the weights of the policy of `bench`; InputError where it cannot load them."""
        self._scratch = tempfile.TemporaryDirectory(prefix="rise-bench-")
        self._log = Path(self._scratch.name) / "log.txt"
        with self._log.open("w", encoding="utf-8") as log:
            self._process = subprocess.Popen(
                [str(python), vllm_worker.__file__],
                env={**os.environ, "OMP_NUM_THREADS": str(threads)},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        model = _write_model(bench, Path(self._scratch.name) / "model")
        self.version: str = self.ask("load", model=str(model), settings=SETTINGS)["vllm"]

    def ask(self, order: str, **details: Any) -> Mapping[str, Any]:
        """Give an order and wait for its answer; InputError with the worker's last words where it died."""
        assert self._process.stdin is not None and self._process.stdout is not None
        try:
            self._process.stdin.write(json.dumps({"do": order, **details}) + "\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            said = self._log.read_text(encoding="utf-8", errors="replace").split("\n")
            last = next((words for words in reversed(said) if words.strip()), "nothing was said")
            raise InputError(f"the vLLM worker ended with exit code {self._process.wait()}: {last.strip()}")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def close(self) -> None:
        """End the worker and remove its files."""
        if self._process.stdin is not None and not self._process.stdin.closed:
            self._process.stdin.close()
        self._process.wait()
        self._scratch.cleanup()


def vllm_arms(bench: Workbench, case: Case, worker: VllmWorker, temperature: float = 1.0) -> Arms:
    """Ours and "vllm"; both return what the arms of `rollout_arms` do."""
    banned = set(bench.policy.banned_ids)
    request = {
        "n": case.group_size,
        "temperature": temperature,
        "tokens": case.completion_tokens,
        # A quicker way to ban than a bias on each banned token.
        "allowed": [token for token in range(bench.policy.model.config.text_config.vocab_size) if token not in banned],
    }

    def queue(turn: int) -> None:
        pairs = zip(bench.prompts(case, turn), bench.pictures(case, turn), strict=True)
        prompts = [
            {
                "ids": _unexpanded(prompt, bench.policy.placeholder_ids[0]),
                "size": picture.size,
                "rgb": base64.b64encode(picture.tobytes()).decode("ascii"),
            }
            for prompt, picture in pairs
        ]
        worker.ask("queue", prompts=prompts, **request)

    def run(_: None) -> Tensor:
        return torch.tensor(worker.ask("run")["tokens"])

    return {OURS: own_rollout(bench, case, temperature), "vllm": Fresh(queue, run)}


def _unexpanded(prompt: Prompt, placeholder: int) -> list[int]:
    """The prompt's ids with one placeholder per picture, as a chat template writes them: vLLM expands them itself."""
    ids: list[int] = prompt.input_ids.tolist()
    return [one for before, one in zip([-1, *ids], ids, strict=False) if not one == before == placeholder]


def _write_model(bench: Workbench, folder: Path) -> Path:
    bench.policy.save(folder)
    # The study's model has the base's picture processor, with room for larger pictures.
    for name in ("preprocessor_config.json", "video_preprocessor_config.json"):
        settings = read_json(find_folder(TINY) / name)
        settings["size"]["longest_edge"] = settings["max_pixels"] = LARGEST_PIXELS
        (folder / name).write_text(json.dumps(settings), encoding="utf-8")
    return folder
