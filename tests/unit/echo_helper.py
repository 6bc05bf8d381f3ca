"""A helper that says back what it is told, or dies."""

from __future__ import annotations

import os
import sys
from typing import Any

from metis_rise.crew.serving import Answer, serve


def begin(settings: dict[str, Any]) -> Answer:
    if settings.get("broken"):
        raise RuntimeError("cannot begin")

    def answer(job: dict[str, Any]) -> tuple[dict[str, Any], bytes]:
        if job.get("die"):
            print("out of luck", file=sys.stderr, flush=True)
            os._exit(3)
        return {"pid": os.getpid(), **settings, **job}, bytes(job.get("size", 0) * [7])

    return answer


if __name__ == "__main__":
    serve(begin)
