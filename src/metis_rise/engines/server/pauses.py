"""How long to wait before a call is repeated."""

from __future__ import annotations

import email.utils
import random
import time

from metis_rise.engines.server.settings import ServerSettings


def pause_before(attempt: int, settings: ServerSettings, asked: float | None) -> float:
    """Seconds to wait before repetition `attempt` (from 1): doubling, jittered, not less than the server `asked` for.

    The jitter keeps calls that failed together from coming back together.
    """
    longest = settings.longest_pause_s
    drawn = random.uniform(0.5, 1.0) * min(longest, settings.backoff_s * 2.0 ** (attempt - 1))
    return drawn if asked is None else min(longest, max(asked, 0.0) + drawn)


def retry_after(header: str | None) -> float | None:
    """Seconds that a Retry-After header asks for, given as seconds or as a date; None without a readable one."""
    if header is None:
        return None
    if header.strip().isdecimal():
        return float(header)
    try:
        return email.utils.parsedate_to_datetime(header).timestamp() - time.time()
    except ValueError:
        return None
