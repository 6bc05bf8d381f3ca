"""vLLM servers on the CPU of this machine: several of them want more cores than there are."""

from __future__ import annotations

import socket
from ipaddress import ip_address
from urllib.parse import urlsplit

from metis_rise.crew import crew
from metis_rise.recipe.engine import EngineConfig

# Of a server on one OpenMP thread while it samples: its worker 0.9, its engine 0.7, its API 0.2 (top; tiny, 2 cores).
SERVER_CORES = 1.8


def crowding(engine: EngineConfig, cores: int | None = None) -> float:
    """How many times longer each server takes because those on this machine share its `cores`; 1 where they do not."""
    if engine.kind == "native" or engine.urls == "auto":
        return 1.0
    here = sum(_local(urlsplit(url).hostname or "") for url in engine.urls)
    return max(1.0, here * SERVER_CORES / (cores or crew.cores()))


def _local(host: str) -> bool:
    try:
        address = ip_address(host)
    except ValueError:
        return host in ("localhost", socket.gethostname().lower())
    return address.is_loopback or address.is_unspecified
