"""How servers are reached: addresses, bounds and patience."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """Where the servers are and how patiently they are asked.

    urls: base addresses such as http://host:8000, without /v1.
    concurrency: requests in flight per server; more wait for room.
    timeout_s: seconds until a call that has no whole reply is given up (and asked again).
    connect_s: seconds until a connection that is not made counts as failed.
    retries: further attempts after a reply that may be better next time (429, 5xx, cut or garbled bodies, timeouts).
    backoff_s: the first pause before another attempt; it doubles each time up to `longest_pause_s`.
    longest_pause_s: bound of a pause, a server's Retry-After included.
    strikes: failed connections one after another until a server is taken out.
    rest_s: seconds until a server that was taken out is tried again.
    api_key_env: name of the environment variable that holds the servers' key; "" for servers without one.
    colocated: they share the trainer's GPUs, and sleep while it works.
    """

    urls: tuple[str, ...]
    concurrency: int = 32
    timeout_s: float = 1800.0
    connect_s: float = 10.0
    retries: int = 8
    backoff_s: float = 0.5
    longest_pause_s: float = 60.0
    strikes: int = 5
    rest_s: float = 60.0
    api_key_env: str = ""
    colocated: bool = False

    def __post_init__(self) -> None:
        """ValueError for settings that could reach no server."""
        if not self.urls or len(set(self.urls)) < len(self.urls):
            raise ValueError(f"server addresses must be given and differ: {self.urls}")
        if self.concurrency < 1 or self.retries < 0 or self.strikes < 1 or self.timeout_s <= 0:
            raise ValueError(f"server settings out of range: {self}")
