"""Starting several processes of this command on this machine, by torch's elastic launch, as torchrun does."""

from __future__ import annotations

import logging
import os
import signal
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType

from torch.distributed.elastic.multiprocessing.api import SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

from metis_rise.stages.team import STORE
from metis_rise.stopping import TOGETHER_S
from metis_rise.terminal import say

# Those that would end all processes at once; SIGINT and SIGTERM are passed on instead.
_ENDING = "SIGHUP,SIGQUIT"


def launch(arguments: Sequence[str], processes: int) -> int:
    """Runs `rise ARGUMENTS` in so many processes; the exit code is that of the one that failed first, else 0.

    A process that a signal ended counts as 128 and the signal's number, as in a shell.

    Raises:
        KeyboardInterrupt: a second SIGINT or SIGTERM, and all are ended.
    """
    with tempfile.TemporaryDirectory(prefix="rise-ranks-") as scratch:
        return _launched(arguments, _config(processes, Path(scratch)))


def _config(processes: int, scratch: Path) -> LaunchConfig:
    """Processes that meet by files in `scratch`: torch's own stores listen on every address of the machine."""
    os.environ[STORE] = str(scratch / "ranks")
    os.environ["TORCH_DISABLE_SHARE_RDZV_TCP_STORE"] = "1"
    if sys.platform == "linux":
        os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    return LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=processes,
        run_id=uuid.uuid4().hex,
        rdzv_backend="c10d",
        rdzv_endpoint=str(scratch / "launcher"),
        rdzv_configs={"store_type": "file"},
        max_restarts=0,
        monitor_interval=0.1,
        signals_to_handle=_ENDING,
    )


def _launched(arguments: Sequence[str], config: LaunchConfig) -> int:
    # It says in fifty lines what the process that failed has said in one.
    logging.getLogger("torch.distributed.elastic").setLevel(logging.CRITICAL)
    try:
        with _signals_passed_on():
            elastic_launch(config, sys.executable)("-m", "metis_rise", *arguments)
    except ChildFailedError as error:
        rank, failure = error.get_first_failure()
        if failure.exitcode < 0:
            say(
                f"error: rank {rank} was ended by {failure.signal_name()}, and the others with it; what was done is "
                "kept, the same command goes on",
                aside=True,
            )
            return 128 - failure.exitcode
        return int(failure.exitcode)
    except SignalException as error:
        if error.sigval == signal.SIGTERM:
            raise KeyboardInterrupt from error
        return 128 + error.sigval
    return 0


@contextmanager
def _signals_passed_on() -> Iterator[None]:
    """The first SIGINT or SIGTERM goes to all processes as SIGINT, which the leader heeds: it may finish a step first.

    A later one ends them, also where they wait for each other without an end.
    """
    first: float | None = None

    def heard(number: int, frame: FrameType | None) -> None:
        nonlocal first
        now, children = time.monotonic(), _children()
        if first is not None and now - first < TOGETHER_S:
            return
        if first is not None or not children:
            raise SignalException("interrupted", signal.SIGTERM)
        first = now
        for child in children:
            with suppress(ProcessLookupError):
                os.kill(child, signal.SIGINT)

    before = {number: signal.signal(number, heard) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _children() -> list[int]:
    """Process ids of what the main thread has started."""
    file = Path(f"/proc/self/task/{threading.main_thread().native_id}/children")
    return [int(child) for child in file.read_text(encoding="ascii").split()]
