"""What can go wrong between us and a server."""

from __future__ import annotations

from collections.abc import Sequence

from metis_rise.errors import InputError


class Unreachable(Exception):
    """No connection could be made; the server saw nothing of the call."""


class BadReply(Exception):
    """A reply that is not what was asked for, or none at all; asking again may help.

    `retry_after` are the seconds that the server asks to wait, None where it does not say.
    """

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class RequestFailed(InputError):
    """A call that a server refused, or that got no usable reply in all its attempts.

    `status` is the HTTP status of a refusal, None where there was none.
    """

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


class ServersGone(RequestFailed):
    """No server is left that could be asked."""


class NotSampled(InputError):
    """Sampling cannot go on.

    Attributes:
        failures: problem id and reason of each request that got no completion.
    """

    def __init__(self, failures: Sequence[tuple[str, str]], asked: int) -> None:
        problem, reason = failures[0]
        super().__init__(f"{len(failures)} of {asked} requests failed, the first for problem {problem!r}: {reason}")
        self.failures = tuple(failures)
