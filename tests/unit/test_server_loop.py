"""A loop in a thread that another thread still waits for when it closes."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import CancelledError

import pytest

from metis_rise.engines.server.loop import LoopThread


def test_whoever_waits_for_a_work_gets_an_error_when_the_loop_closes() -> None:
    loop, begun, caught = LoopThread(), threading.Event(), []

    async def forever() -> None:
        begun.set()
        await asyncio.Event().wait()

    def wait() -> None:
        with pytest.raises(CancelledError) as error:
            list(loop.stream([forever()], 2))
        caught.append(error)

    waiting = threading.Thread(target=wait, daemon=True)
    waiting.start()
    assert begun.wait(30)
    loop.close()
    waiting.join(30)
    assert len(caught) == 1
