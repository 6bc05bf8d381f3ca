"""As much of a vLLM server as the engine talks to: completions that are a function of the request, in vLLM's form."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from io import BytesIO
from random import Random
from typing import Any

from PIL import Image
from scripted_server import Act, Call

from metis_rise.engines.server.fleet import Fleet
from metis_rise.engines.server.pusher import ProbeRow
from metis_rise.policy.model import Policy


class FakeVllm:
    """Its `answer` is a script for a `ScriptedServer`; `version` is the label of its weights."""

    def __init__(self, policy: Policy, version: str = "default", max_model_len: int = 4096) -> None:
        self.version = version
        self._max_model_len = max_model_len
        self._policy = policy
        self.logprobs_mode = "processed_logprobs"
        self.sleep_mode = False
        self.asleep = False

    def answer(self, call: Call) -> Act:
        """The reply of a server that is well."""
        if call.path == "/v1/models":
            return Act({"data": [{"id": "policy", "root": "policy", "max_model_len": self._max_model_len}]})
        if call.path.startswith("/server_info"):
            config = {"logprobs_mode": self.logprobs_mode, "enable_sleep_mode": self.sleep_mode}
            return Act({"vllm_config": {"model_config": config}})
        if call.path == "/tokenize":
            return Act({"tokens": self._policy.tokenizer.encode(call.body["prompt"], add_special_tokens=False)})
        if call.path.startswith(("/sleep", "/wake_up")):
            self.asleep = call.path.startswith("/sleep")
        if call.path == "/label":
            self.version = call.body["label"]
        if call.path == "/inference/v1/generate":
            return Act(self.reply(call.body))
        return Act({})

    def reply(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """n completions of 1 to 5 tokens that end by an end token."""
        draw = Random(hashlib.sha256(repr(sorted(body["sampling_params"].items())).encode()).hexdigest())
        tokens = [
            [draw.randrange(20, 200) for _ in range(draw.randrange(5))] for _ in range(body["sampling_params"]["n"])
        ]
        choices = [self.choice(i, [*some, self._policy.eos_ids[0]]) for i, some in enumerate(tokens)]
        return {"prompt_token_ids": self.expand(body["token_ids"], body["content_parts"]), "choices": choices}

    def choice(self, index: int, tokens: Sequence[int], **changes: Any) -> dict[str, Any]:
        """One completion; the log-probability of each token is its id / -1000."""
        content = [{"token_id": token, "logprob": token / -1000, "rank": 1, "top_logprobs": []} for token in tokens]
        whole = {
            "index": index,
            "finish_reason": "stop",
            "stop_reason": None,
            "token_ids": list(tokens),
            "logprobs": {"content": content},
            "weight_versions": [{"version": self.version, "start": 0, "end": len(tokens)}],
        }
        return whole | changes

    def expand(self, ids: Sequence[int], parts: Sequence[Mapping[str, str]]) -> list[int]:
        """The prompt as vLLM reads it: each single placeholder repeated as the picture at its place needs."""
        images = self._policy.processor.image_processor
        sizes = []
        for part in parts:
            head, _, data = part["url"].partition(",")
            assert (part["type"], head) == ("image_url", "data:image/png;base64")
            picture = Image.open(BytesIO(base64.b64decode(data)))
            sizes.append(images.get_number_of_image_patches(picture.height, picture.width) // 4)
        left = iter(sizes)
        image = self._policy.placeholder_ids[0]
        expanded = [one for token in ids for one in [token] * (next(left) if token == image else 1)]
        assert next(left, None) is None
        return expanded


class Labeller:
    """A pusher that pushes nothing but the label."""

    def __init__(self) -> None:
        self.probes: list[ProbeRow] = []

    async def push(self, fleet: Fleet, policy: Policy, probe: ProbeRow) -> Mapping[str, float]:
        self.probes.append(probe)
        await fleet.post_each("/label", {"label": str(policy.version)})
        return {"seconds": 0.5}
