"""An asyncio loop in a thread of its own, for callers that are not asynchronous."""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Coroutine, Generator, Iterable
from concurrent.futures import Future
from typing import Any, TypeVar

T = TypeVar("T")

# Seconds that a cancelled coroutine gets to leave things in order, such as servers that it paused.
PATIENCE = 60.0


class LoopThread:
    """Runs coroutines while the calling thread waits, or does something else."""

    def __init__(self) -> None:
        """The thread starts at once; it does not keep the process alive."""
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="rise-servers", daemon=True)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """What `work` returns or raises; an interrupted wait cancels it and lets it finish what it does then."""
        ended = threading.Event()

        async def whole() -> T:
            try:
                return await work
            finally:
                ended.set()

        future = asyncio.run_coroutine_threadsafe(whole(), self._loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            ended.wait(PATIENCE)
            raise

    def stream(self, works: Iterable[Coroutine[Any, Any, T]], at_once: int) -> Generator[T, None, None]:
        """Results as they come, at most `at_once` of `works` under way.

        `works` is advanced in the calling thread, between results. What a work raises is raised here; then, and when
        the generator is closed, the works under way are cancelled.
        """
        ended: queue.SimpleQueue[Future[T]] = queue.SimpleQueue()
        under_way: set[Future[T]] = set()
        try:
            for work in works:
                future = asyncio.run_coroutine_threadsafe(work, self._loop)
                under_way.add(future)
                future.add_done_callback(ended.put)
                if len(under_way) == at_once:
                    yield _next(ended, under_way)
            while under_way:
                yield _next(ended, under_way)
        finally:
            for future in under_way:
                future.cancel()

    def close(self) -> None:
        """Stop the loop and its thread; whoever waits for works that are under way gets a CancelledError."""
        self.run(_cancel_others())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


async def _cancel_others() -> None:
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)


def _next(ended: queue.SimpleQueue[Future[T]], under_way: set[Future[T]]) -> T:
    future = ended.get()
    under_way.discard(future)
    return future.result()
