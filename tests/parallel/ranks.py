"""Processes that share a gloo group and do one thing after another, since starting them costs seconds."""

from __future__ import annotations

import multiprocessing
import os
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import Any, NoReturn

# A process that waits for one that has failed elsewhere would wait for ever.
SECONDS = 300


class Ranks:
    """`size` processes; each has torch and one thread."""

    def __init__(self, size: int, folder: Path) -> None:
        """`folder` is where they find each other."""
        self._size, self._folder = size, folder
        self._pipes: list[Connection] = []
        self._processes: list[SpawnProcess] = []
        self._started = 0

    def do(self, function: Callable[..., Any], *arguments: Any) -> list[Any]:
        """What `function(rank, *arguments)` returns in each process; AssertionError with its traceback if it fails."""
        if not self._processes:
            self._start()
        for pipe in self._pipes:
            pipe.send((function, arguments))
        found: dict[int, Any] = {}
        waiting = dict(zip(self._pipes, range(self._size), strict=True))
        while waiting:
            ready = [pipe for pipe in wait(list(waiting), timeout=SECONDS) if isinstance(pipe, Connection)]
            if not ready:
                self._fail(f"ranks {sorted(waiting.values())} did not answer in {SECONDS} s")
            for pipe in ready:
                rank = waiting.pop(pipe)
                try:
                    good, value = pipe.recv()
                except EOFError:
                    good, value = False, "the process died"
                if not good:
                    self._fail(f"rank {rank}: {value}")
                found[rank] = value
        return [found[rank] for rank in range(self._size)]

    def close(self) -> None:
        """End the processes; the next thing to do starts new ones."""
        for process in self._processes:
            process.kill()
            process.join()
        self._pipes, self._processes = [], []

    def _start(self) -> None:
        self._started += 1
        context = multiprocessing.get_context("spawn")
        group = self._folder / f"group-{self._started}"
        for rank in range(self._size):
            ours, theirs = context.Pipe()
            process = context.Process(target=_serve, args=(theirs, rank, self._size, group), daemon=True)
            process.start()
            theirs.close()
            self._pipes.append(ours)
            self._processes.append(process)

    def _fail(self, what: str) -> NoReturn:
        self.close()
        raise AssertionError(what)


def _serve(pipe: Connection, rank: int, size: int, group: Path) -> None:
    os.environ["OMP_NUM_THREADS"] = "1"
    import torch
    import torch.distributed as dist

    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{group}", rank=rank, world_size=size)
    while True:
        try:
            function, arguments = pipe.recv()
        except EOFError:
            return
        try:
            pipe.send((True, function(rank, *arguments)))
        except BaseException:
            pipe.send((False, traceback.format_exc()))
