from __future__ import annotations

import contextlib
import itertools
import json
import os
import random
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import tiny

from metis_rise.engines.server import launch
from metis_rise.engines.server.launch import ServeOptions, address, command, environment, find_vllm, serve
from metis_rise.engines.server.serving_folder import serving_folder
from metis_rise.errors import InputError

# Stands for vLLM's server: says what it was given, answers /health, ends with code 7 when it is interrupted.
SERVER = """
import http.server, os, signal, sys

class Health(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()

port = int(sys.argv[sys.argv.index("--port") + 1])
print(os.environ["VLLM_SERVER_DEV_MODE"], *sys.argv[1:], flush=True)
if "--fail" in sys.argv:
    sys.exit(5)
signal.signal(signal.SIGINT, lambda *_: os._exit(7))
http.server.HTTPServer(("127.0.0.1", port), Health).serve_forever()
"""

Install = Callable[..., None]
PATIENCE_S = 180


@pytest.fixture
def vllm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Puts a package `vllm` where this Python and those it starts find it."""

    def install(version: str = "0.32.0", on_cpu: bool = True) -> None:
        package = tmp_path / "packages" / "vllm"
        (package / "entrypoints" / "openai").mkdir(parents=True)
        (package / "__init__.py").write_text(f"__version__ = {version!r}\nprint('a line that vllm logs')")
        (package / "platforms.py").write_text(f"class current_platform:\n    is_cpu = staticmethod(lambda: {on_cpu})\n")
        (package / "entrypoints" / "openai" / "api_server.py").write_text(SERVER)
        monkeypatch.setenv("PYTHONPATH", str(package.parent))

    return install


@pytest.fixture
def port() -> int:
    """A free port, of those that no connection gets by itself before the server listens."""
    while True:
        number = random.randrange(10_000, 30_000)
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", number)):
            return number


def start(*arguments: str) -> subprocess.Popen[str]:
    line = [sys.executable, "-m", "metis_rise", "serve", "tiny", *arguments]
    return subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ)


def test_it_waits_for_the_server_passes_ctrl_c_on_and_ends_with_the_servers_code(vllm: Install, port: int):
    vllm()
    process = start("--port", str(port), "--max-model-len", "512", "--", "--seed", "3")
    assert process.stderr is not None and process.stdout is not None
    said = []
    for line in process.stderr:
        said.append(line)
        if "ready after" in line:
            break
    process.send_signal(signal.SIGINT)
    assert process.wait(PATIENCE_S) == 7
    given = process.stdout.read().splitlines()[-1]
    assert given.startswith("1 --model ") and "--max-model-len 512" in given and given.endswith("--seed 3")
    assert "--host 127.0.0.1 " in given
    assert any("vllm.entrypoints.openai.api_server" in line and "VLLM_SERVER_DEV_MODE=1" in line for line in said)
    process.stderr.close()
    process.stdout.close()


def test_the_server_goes_with_the_terminal_and_no_proxy_is_asked_for_it(
    vllm: Install, port: int, monkeypatch: pytest.MonkeyPatch
):
    vllm()
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    # Under nohup it would rightly stay.
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    try:
        process = start("--port", str(port))
    finally:
        signal.signal(signal.SIGHUP, before)
    assert process.stderr is not None and process.stdout is not None
    ready = (line for line in process.stderr if "ready" in line)
    # A proxy would let it never be ready, which is said every ten seconds; so is that a busy machine is slow.
    said = list(itertools.takewhile(lambda line: "ready after" not in line, itertools.islice(ready, 12)))
    process.send_signal(signal.SIGHUP)
    assert process.wait(PATIENCE_S) == 128 + signal.SIGTERM
    assert len(said) < 12
    with socket.create_server(("127.0.0.1", port)):
        process.stderr.close()
        process.stdout.close()


def test_no_server_is_left_behind_when_waiting_for_it_fails(vllm: Install, port: int, monkeypatch: pytest.MonkeyPatch):
    vllm()
    started: list[subprocess.Popen[bytes]] = []

    def fails(process: subprocess.Popen[bytes], url: str) -> None:
        started.append(process)
        raise OSError("no more sockets")

    monkeypatch.setattr(launch, "_await_health", fails)
    with pytest.raises(OSError, match="no more sockets"):
        serve(ServeOptions("tiny", port=port))
    assert started[0].wait(PATIENCE_S) == -signal.SIGTERM


def test_an_ipv6_address_is_bracketed():
    assert address("::1", 8000) == "http://[::1]:8000"
    assert address("localhost", 8000) == "http://localhost:8000"


def test_a_host_that_is_not_known_is_said():
    with pytest.raises(InputError, match=r"nowhere\.invalid port 8000: cannot listen there \((?!Unknown error)"):
        launch._check_port("nowhere.invalid", 8000)


def test_a_server_that_does_not_come_up_is_said_and_its_code_is_kept(vllm: Install, port: int):
    vllm()
    process = start("--port", str(port), "--", "--fail")
    _, said = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 5
    assert "ended with code 5 before it was ready" in said


def test_without_vllm_one_line_says_how_to_install_it():
    with pytest.raises(InputError) as caught:
        find_vllm(sys.executable)
    assert "pip install vllm" in str(caught.value) and "--python" in str(caught.value)
    assert "\n" not in str(caught.value)
    with pytest.raises(InputError, match="cannot be run"):
        find_vllm("/nowhere/python")


def test_a_vllm_that_is_too_old_is_refused(vllm: Install):
    vllm("0.9.2")
    with pytest.raises(InputError, match=r"has vLLM 0\.9\.2, at least 0\.32"):
        find_vllm(sys.executable)


@pytest.mark.parametrize("on_cpu", [True, False])
def test_where_vllm_computes_is_asked_of_vllm(vllm: Install, on_cpu: bool):
    vllm("0.33.1rc1", on_cpu)
    assert find_vllm(sys.executable) is on_cpu


def test_a_port_that_is_taken_is_said_before_anything_starts(vllm: Install):
    vllm()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        process = start("--port", str(taken.getsockname()[1]))
        out, said = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 2
    assert out == "" and "choose another --port" in said


def test_the_flags_fit_where_the_server_runs():
    def flags(on_cpu: bool, **options: str) -> list[str]:
        return command(ServeOptions("some/model", **options), Path("/models/some"), on_cpu)  # type: ignore[arg-type]

    on_gpu, on_cpu = flags(False), flags(True)
    assert on_gpu[on_gpu.index("--dtype") + 1] == "bfloat16"
    assert on_cpu[on_cpu.index("--dtype") + 1] == "float32"
    assert "--weight-transfer-config" in on_gpu and "--weight-transfer-config" not in on_cpu
    assert "--enforce-eager" in on_cpu and "--enforce-eager" not in on_gpu
    assert flags(False, dtype="float16")[on_gpu.index("--dtype") + 1] == "float16"
    assert on_gpu[on_gpu.index("--host") + 1] == "127.0.0.1"
    assert on_gpu[on_gpu.index("--logprobs-mode") + 1] == "processed_logprobs"
    assert "--enable-scale-out" in on_gpu
    assert json.loads(on_gpu[on_gpu.index("--limit-mm-per-prompt") + 1])["video"] == 0


def test_variables_that_are_set_already_are_kept_but_not_the_one_that_opens_the_endpoints(
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setenv("VLLM_CPU_KVCACHE_SPACE", "1")
    monkeypatch.setenv("VLLM_SERVER_DEV_MODE", "0")
    assert "VLLM_CPU_KVCACHE_SPACE" not in environment(True)
    assert environment(True)["VLLM_CPU_OMP_THREADS_BIND"] == "nobind"
    assert "VLLM_CPU_OMP_THREADS_BIND" not in environment(False)
    assert environment(False)["VLLM_SERVER_DEV_MODE"] == "1"


@pytest.mark.parametrize("family", ["qwen2_5_vl", "qwen3_vl"])
def test_a_folder_that_lacks_the_video_settings_is_served_through_links(tmp_path: Path, family: str):
    folder = tiny.write_folder(tmp_path / "model", family)
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    assert serving_folder(folder, scratch) == (folder, [])
    (folder / "video_preprocessor_config.json").unlink()
    served, notes = serving_folder(folder, scratch)
    assert len(notes) == 1 and "video_preprocessor_config.json" in notes[0]
    assert {path.name for path in served.iterdir()} == {path.name for path in folder.iterdir()} | {
        "video_preprocessor_config.json"
    }
    settings = json.loads((served / "video_preprocessor_config.json").read_text())
    assert (
        settings["video_processor_type"]
        == {
            "qwen2_5_vl": "Qwen2VLVideoProcessor",
            "qwen3_vl": "Qwen3VLVideoProcessor",
        }[family]
    )
    assert settings["patch_size"] == {"qwen2_5_vl": 14, "qwen3_vl": 16}[family]
    assert not (folder / "video_preprocessor_config.json").exists()
