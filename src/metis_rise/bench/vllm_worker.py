"""vLLM in a process and an environment of its own, driven over a pipe.

Run by path with that environment's Python, so nothing of this package is imported. Each line of standard input is a
JSON object and is answered by one line of JSON on standard output:

    {"do": "load", "model": folder, "settings": {...}}   {"vllm": version}
    {"do": "queue", "prompts": [{"ids", "size": [w, h], "rgb": base64}],
     "n", "temperature", "tokens", "allowed"}            {}
    {"do": "run"}                                        {"tokens": [[ids], ...]}, those of a prompt together
"""

from __future__ import annotations

import base64
import importlib
import json
import os
import sys
from collections.abc import Mapping
from typing import Any, TextIO

# vLLM's engine in this very process, on the thread and the core that it was started on; no statistics sent.
ENVIRONMENT = {
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
    "VLLM_CPU_KVCACHE_SPACE": "1",
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    "VLLM_NO_USAGE_STATS": "1",
    "HF_HUB_OFFLINE": "1",
}


class Worker:
    """A loaded model and the requests that wait for it."""

    def load(self, order: Mapping[str, Any]) -> dict[str, Any]:
        """Build the engine."""
        self.vllm = importlib.import_module("vllm")
        self.llm = self.vllm.LLM(model=order["model"], dtype="float32", **order["settings"])
        return {"vllm": self.vllm.__version__}

    def queue(self, order: Mapping[str, Any]) -> dict[str, Any]:
        """Forget every prompt and picture seen, then hand over new ones: the first half of vLLM's own `generate`.

        The prompts are prepared here; the model computes nothing yet.
        """
        self.llm.reset_prefix_cache()
        self.llm.reset_mm_cache()
        self.llm.llm_engine.reset_encoder_cache()
        prompts = [
            {"prompt_token_ids": prompt["ids"], "multi_modal_data": {"image": _picture(prompt)}}
            for prompt in order["prompts"]
        ]
        params = self.vllm.SamplingParams(
            n=order["n"],
            temperature=order["temperature"],
            max_tokens=order["tokens"],
            min_tokens=order["tokens"],
            ignore_eos=True,
            allowed_token_ids=order["allowed"],
            logprobs=0,
            detokenize=True,
        )
        self.llm.enqueue(prompts, params, use_tqdm=False)
        return {}

    def run(self, _: Mapping[str, Any]) -> dict[str, Any]:
        """Sample for what was queued, in its order: the second half of `generate`."""
        outputs = self.llm.wait_for_completion(use_tqdm=False)
        return {"tokens": [list(one.token_ids) for output in outputs for one in output.outputs]}


def _picture(prompt: Mapping[str, Any]) -> Any:
    image = importlib.import_module("PIL.Image")
    return image.frombytes("RGB", tuple(prompt["size"]), base64.b64decode(prompt["rgb"]))


def main() -> None:
    """Answer orders until standard input ends."""
    answers = _own_stdout()
    os.environ.update(ENVIRONMENT)
    worker = Worker()
    for line in sys.stdin:
        order = json.loads(line)
        print(json.dumps(getattr(worker, order["do"])(order)), file=answers, flush=True)


def _own_stdout() -> TextIO:
    """Standard output for answers alone: whatever else is printed goes to standard error."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return answers


if __name__ == "__main__":
    main()
