"""Real vLLM servers, started as a user starts them."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import install

# On a machine that is busy otherwise; usual are 40 s.
PATIENCE_S = 900.0


class Server:
    """`rise serve` in a process of its own; what it says is in `log`."""

    def __init__(self, model: str, log: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = int(free.getsockname()[1])
        self.url = f"http://127.0.0.1:{port}"
        self.log = log
        options = ["--port", str(port), "--python", str(install.PYTHON)]
        # Blocks of which a prompt of this size fills some: only full ones are kept in the prefix cache.
        limits = ["--max-model-len", "1024", "--max-num-seqs", "16", "--", "--block-size", "32"]
        environment = os.environ | {"VLLM_CPU_KVCACHE_SPACE": "1", "OMP_NUM_THREADS": "1"}
        with log.open("wb") as file:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "metis_rise", "serve", model, *options, *limits],
                env=environment,
                stdout=file,
                stderr=subprocess.STDOUT,
            )

    def ready(self) -> Server:
        """Itself, once it answers; AssertionError with the end of its log where it does not."""
        start = time.monotonic()
        while "ready after" not in (said := self.log.read_text(errors="replace")):
            running = self._process.poll() is None
            assert running and time.monotonic() - start < PATIENCE_S, said[-5000:]
            time.sleep(0.2)
        return self

    def kill(self) -> None:
        """End the server itself, with all of its processes, as a machine that fails does."""
        me = self._process.pid
        for child in Path(f"/proc/{me}/task/{me}/children").read_text().split():
            os.killpg(int(child), signal.SIGKILL)
        self._process.wait(60)

    def interrupt(self) -> None:
        """Ask it to end, as a user does."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)

    def end(self) -> None:
        """Returns when it has ended, as it was asked to or else by force."""
        try:
            self._process.wait(60)
        except subprocess.TimeoutExpired:
            self.kill()
