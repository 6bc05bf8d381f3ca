"""`rise serve`: starts a vLLM server with the flags that sampling and weight pushes need."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx2

from metis_rise.engines.server.discovery import address
from metis_rise.engines.server.serving_folder import serving_folder
from metis_rise.errors import InputError
from metis_rise.policy.loading import find_folder

# The release whose token endpoint and weight versions are used; older ones have neither.
OLDEST = (0, 32)
LOCAL = ("127.0.0.1", "localhost", "::1")
PICTURES_PER_PROMPT = 16
NOTE_EVERY_S = 10.0

_LOOK = """
import json, vllm
from vllm.platforms import current_platform
print(json.dumps([vllm.__version__, current_platform.is_cpu()]))
"""


@dataclass(frozen=True, slots=True)
class ServeOptions:
    """What `rise serve` was asked for.

    model: a folder, a hub id or "tiny"; also the name that the server answers to.
    host, port: where it listens.
    gpus: how many GPUs the model is spread over (tensor parallel).
    max_model_len: longest prompt and completion together, in tokens; None for the model's own limit.
    max_num_seqs: completions that are computed at once.
    dtype: float32, bfloat16, float16, or auto: bfloat16 on GPUs, float32 without.
    python: an interpreter whose environment has vLLM.
    more: further arguments of vLLM's server, as they are.
    """

    model: str
    host: str = "127.0.0.1"
    port: int = 8000
    gpus: int = 1
    max_model_len: int | None = None
    max_num_seqs: int = 128
    dtype: str = "auto"
    python: str = sys.executable
    more: tuple[str, ...] = ()


def serve(options: ServeOptions) -> int:
    """Run a server until it ends; its exit code (128 + number for a signal).

    SIGINT and SIGTERM are passed on to it; the terminal's end is a SIGTERM too, unless it is ignored (nohup).

    Raises:
        InputError: no usable vLLM, no such model, or a port that is taken; nothing was started then.
    """
    on_cpu = find_vllm(options.python)
    _check_port(options.host, options.port)
    with tempfile.TemporaryDirectory(prefix="rise-serve-") as scratch:
        folder, notes = serving_folder(find_folder(options.model), Path(scratch))
        if options.host not in LOCAL:
            notes.append(
                f"--host {options.host}: whoever reaches port {options.port} can replace the weights and run methods "
                "of the server; keep it inside a network that you trust"
            )
        for note in notes:
            _say(note)
        added = environment(on_cpu)
        arguments = command(options, folder, on_cpu)
        _say(shlex.join(["env", *(f"{key}={value}" for key, value in added.items()), *arguments]))
        return _run(arguments, added, address(options.host, options.port))


def find_vllm(python: str) -> bool:
    """Whether the vLLM that `python` can import computes on the CPU.

    Raises:
        InputError: there is none, or an older one than is needed.
    """
    try:
        done = subprocess.run([python, "-c", _LOOK], capture_output=True, text=True, check=False)
    except OSError as error:
        raise InputError(f"{python}: cannot be run ({error.strerror}); give a Python with vLLM by --python") from error
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
        raise InputError(
            f"{python}: cannot import vllm ({lines[-1]}); make it an environment of its own, for it pins another "
            "transformers: python -m venv vllm && vllm/bin/pip install vllm (without a GPU: python "
            "tests/vllm/install.py in a checkout of metis-rise), then add --python vllm/bin/python"
        )
    version, on_cpu = json.loads(done.stdout.splitlines()[-1])
    if tuple(int(part) for part in version.split(".")[:2]) < OLDEST:
        raise InputError(
            f"{python}: has vLLM {version}, at least {OLDEST[0]}.{OLDEST[1]} is needed; pip install -U vllm"
        )
    return bool(on_cpu)


def command(options: ServeOptions, folder: Path, on_cpu: bool) -> list[str]:
    """The server's command line for the model in `folder`."""
    dtype = options.dtype if options.dtype != "auto" else "float32" if on_cpu else "bfloat16"
    flags = {
        "--model": str(folder),
        "--served-model-name": options.model,
        "--host": options.host,
        "--port": str(options.port),
        "--dtype": dtype,
        "--tensor-parallel-size": str(options.gpus),
        "--max-num-seqs": str(options.max_num_seqs),
        "--limit-mm-per-prompt": json.dumps({"image": PICTURES_PER_PROMPT, "video": 0}),
        # Of the distribution that is sampled from: a temperature is in it.
        "--logprobs-mode": "processed_logprobs",
        # What a request does not say is vLLM's default and not the model's: top_k 20 would be a silent one.
        "--generation-config": "vllm",
    }
    if options.max_model_len is not None:
        flags["--max-model-len"] = str(options.max_model_len)
    if not on_cpu:
        flags["--weight-transfer-config"] = json.dumps({"backend": "nccl"})
    # --enable-scale-out: the endpoint with tokens in and tokens out. Eager on a CPU: compiling takes minutes there.
    switches = ["--enable-prefix-caching", "--enable-scale-out", *(["--enforce-eager"] if on_cpu else [])]
    server = [options.python, "-m", "vllm.entrypoints.openai.api_server"]
    return [*server, *(word for flag in flags.items() for word in flag), *switches, *options.more]


def environment(on_cpu: bool) -> dict[str, str]:
    """Variables that the server needs beside the present ones, which win where they say the same."""
    wanted = {"HF_HUB_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1"}
    if on_cpu:
        # GiB for keys and values (vLLM would take most of the machine's memory); no binding of threads to cores, which
        # fails in containers; and nothing is compiled, which would hold up the first request for tens of seconds.
        wanted |= {"VLLM_CPU_KVCACHE_SPACE": "4", "VLLM_CPU_OMP_THREADS_BIND": "nobind", "TORCHDYNAMO_DISABLE": "1"}
    # Without this the server has no endpoints to push weights to.
    return {"VLLM_SERVER_DEV_MODE": "1"} | {key: value for key, value in wanted.items() if key not in os.environ}


def _run(arguments: Sequence[str], added: Mapping[str, str], url: str) -> int:
    # In a session of its own, so that Ctrl-C at a terminal reaches it once, through us.
    process = subprocess.Popen(arguments, env=os.environ | added, start_new_session=True)
    try:
        with _passing_signals_on(process):
            _await_health(process, url)
            code = process.wait()
    finally:
        # A server that nobody waits for any more would keep its port and its GPUs.
        if process.poll() is None:
            process.terminate()
    return code if code >= 0 else 128 - code


@contextlib.contextmanager
def _passing_signals_on(process: subprocess.Popen[bytes]) -> Iterator[None]:
    sent = {signal.SIGINT: signal.SIGINT, signal.SIGTERM: signal.SIGTERM}
    # The server does not hear of it, having a session of its own, and would stay.
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        sent[signal.SIGHUP] = signal.SIGTERM
    before = {got: signal.signal(got, lambda got, _: process.send_signal(sent[signal.Signals(got)])) for got in sent}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _await_health(process: subprocess.Popen[bytes], url: str) -> None:
    """Returns when the server answers, or has ended."""
    start = noted = time.monotonic()
    while process.poll() is None:
        with contextlib.suppress(httpx2.TransportError):
            # Not by way of a proxy that the environment names: the server is on this machine.
            if httpx2.get(f"{url}/health", timeout=5.0, trust_env=False).is_success:
                _say(f"ready after {time.monotonic() - start:.0f} s: {url}")
                return
        if time.monotonic() - noted >= NOTE_EVERY_S:
            noted = time.monotonic()
            _say(f"not ready yet, {noted - start:.0f} s")
        time.sleep(0.5)
    _say(f"the server ended with code {process.returncode} before it was ready; its output above says why")


def _check_port(host: str, port: int) -> None:
    try:
        with socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET):
            pass
    except OSError as error:
        # What follows repeats the address.
        why = str(error.strerror).partition(" (while")[0]
        raise InputError(f"{host} port {port}: cannot listen there ({why}); choose another --port") from error


def _say(text: str) -> None:
    print(f"rise serve: {text}", file=sys.stderr, flush=True)
