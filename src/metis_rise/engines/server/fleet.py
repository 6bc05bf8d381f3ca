"""A fleet of servers: each call goes to the least loaded one, is repeated where that may help, and is lost nowhere."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any, TypeVar

import httpx2

from metis_rise.engines.server.faults import BadReply, RequestFailed, ServersGone, Unreachable
from metis_rise.engines.server.pauses import pause_before, retry_after
from metis_rise.engines.server.settings import ServerSettings
from metis_rise.engines.server.words import content_of, message_of, read_key
from metis_rise.redaction import redacted

T = TypeVar("T")
logger = logging.getLogger(__name__)

# Statuses that are worth another attempt, as is every 5xx: a call that took too long, one call too many.
AGAIN = (408, 429)
# So much of a server's own words is shown in an error.
SHOWN_CHARACTERS = 300


class _Server:
    """What is known of one server: calls in flight, failed connections in a row, and whether and when it may be asked.

    `rests_until` is in seconds of `time.monotonic`.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.load = 0
        self.strikes = 0
        self.rests_until = 0.0
        self.out = False


class Fleet:
    """One or many servers behind one `post`.

    A server whose connections fail rests a little longer each time, its calls going elsewhere; after
    `settings.strikes` failures in a row it is out (`warn` is told once) and tried again every `settings.rest_s`
    seconds. With every server out, calls fail at once.

    A server that is started anew has lost the weights that were pushed to it. So once `muster` was called, a server
    that went out stays out until the next `muster`.

    Belongs to one asyncio loop.
    """

    def __init__(self, settings: ServerSettings, warn: Callable[[str], None] = logger.warning) -> None:
        """No connection is made yet.

        Raises:
            InputError: `settings.api_key_env` names a variable that is not set, or holds what cannot be sent.
        """
        self.settings = settings
        self._warn = warn
        self._servers = {url: _Server(url) for url in settings.urls}
        self._room = asyncio.Condition()
        self._mustered = False
        self._last_reason = ""
        key = read_key(settings.api_key_env) if settings.api_key_env else ""
        self._client = httpx2.AsyncClient(
            headers={"Authorization": f"Bearer {key}"} if key else None,
            timeout=httpx2.Timeout(None, connect=settings.connect_s),
            # Shorter than vLLM's own five seconds: a call must not be sent into a connection that is being closed.
            limits=httpx2.Limits(max_connections=None, keepalive_expiry=2.0),
        )

    @property
    def live(self) -> tuple[str, ...]:
        """Addresses of the servers that are not out."""
        return tuple(url for url, server in self._servers.items() if not server.out)

    async def post(
        self,
        path: str,
        body: Mapping[str, Any],
        read: Callable[[str, Any], T],
        admit: Callable[[], Awaitable[None]] | None = None,
    ) -> T:
        """Post `body` as JSON to one server; what `read` makes of the server's address and JSON reply.

        `read` raises `BadReply` for a reply that should be asked for again. One reply is taken, however often the
        call was repeated. `admit` is awaited before every attempt. A server that asks for a pause (Retry-After) gets
        it from all calls.

        Raises:
            RequestFailed: refused by a server (4xx), or no usable reply in all attempts.
            ServersGone: every server is out.
        """
        content = content_of(body)
        failed: Counter[str] = Counter()
        while True:
            if admit is not None:
                await admit()
            async with self._seat(failed) as server:
                try:
                    return read(server.url, await self._call(server, "POST", path, content))
                except Unreachable as fault:
                    # It rests now or is out, and the call goes elsewhere: no attempt of the call's own is used up.
                    self._strike(server, str(fault))
                    continue
                except BadReply as fault:
                    last = fault
                    if fault.retry_after is not None:
                        server.rests_until = time.monotonic() + pause_before(1, self.settings, fault.retry_after)
            failed[server.url] += 1
            if failed.total() > self.settings.retries:
                raise RequestFailed(
                    f"{server.url}{path}: no usable reply in {failed.total()} attempts, the last: {last}"
                )
            await asyncio.sleep(pause_before(failed.total(), self.settings, last.retry_after))

    async def ask(self, url: str, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """One call to one server, not repeated; its JSON reply, None where the reply is empty.

        Raises:
            RequestFailed: it could not be reached, refused, or did not answer with JSON.
        """
        try:
            return await self._call(self._servers[url], method, path, content_of(body))
        except (Unreachable, BadReply) as fault:
            raise RequestFailed(f"{url}{path}: {fault}") from fault

    async def post_each(self, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Post `body` once to every live server, all at the same time; their JSON replies by address.

        A server that fails is out, since it has not done what the others did.

        Raises:
            ServersGone: all failed; the message names the first reason.
        """
        return await self._each("POST", path, body)

    async def get_each(self, path: str) -> dict[str, Any]:
        """Get `path` from every live server: see `post_each`."""
        return await self._each("GET", path, None)

    async def muster(self) -> None:
        """Settle who takes part in a push: every server that is reached now, no other until the next muster.

        Raises:
            ServersGone: none is reached.
        """
        self._mustered = True
        for server in self._servers.values():
            server.out, server.strikes, server.rests_until = False, 0, 0.0
        await self._each("GET", "/health", None)
        async with self._room:
            self._room.notify_all()

    def drop(self, url: str, reason: str) -> None:
        """Take a server out that cannot be relied on any more; `warn` is told the reason, once."""
        server = self._servers[url]
        server.rests_until = time.monotonic() + self.settings.rest_s
        self._last_reason = reason
        if not server.out:
            server.out = True
            back = "at the next push" if self._mustered else f"every {self.settings.rest_s:g} s"
            left = len(self.live)
            self._warn(f"{url} is taken out, {left} server(s) left; it is tried again {back}: {reason}")

    async def close(self) -> None:
        """Close all connections."""
        await self._client.aclose()

    async def _each(self, method: str, path: str, body: Mapping[str, Any] | None) -> dict[str, Any]:
        urls = self.live
        replies = await asyncio.gather(*(self.ask(url, method, path, body) for url in urls), return_exceptions=True)
        failed = [reply for reply in replies if isinstance(reply, BaseException)]
        for fault in failed:
            if not isinstance(fault, RequestFailed):
                raise fault
        for url, reply in zip(urls, replies, strict=True):
            if isinstance(reply, RequestFailed):
                self.drop(url, str(reply))
        if not self.live:
            raise self._gone()
        return {url: reply for url, reply in zip(urls, replies, strict=True) if not isinstance(reply, BaseException)}

    @contextlib.asynccontextmanager
    async def _seat(self, failed: Mapping[str, int]) -> AsyncIterator[_Server]:
        """A place at the least loaded of the servers where this call `failed` least often, once there is one."""
        async with self._room:
            while (free := self._free(failed)) == []:
                await self._wait_for_room()
            server = min(free, key=lambda server: server.load)
            server.load += 1
        try:
            yield server
        finally:
            server.load -= 1
            async with self._room:
                self._room.notify_all()

    def _free(self, failed: Mapping[str, int]) -> list[_Server]:
        """Servers with room for a call that `failed` so often at each.

        It waits for one where it failed less often: a broken server that fails faster than the others answer must not
        use up its attempts. Of servers that are out, one call at a time finds out how they are.
        """
        if not self.live:
            raise self._gone()
        now = time.monotonic()
        able = [s for s in self._hopeful() if s.rests_until <= now and not (s.out and s.load)]
        least = min((failed.get(server.url, 0) for server in able), default=0)
        return [s for s in able if failed.get(s.url, 0) == least and s.load < self.settings.concurrency]

    def _hopeful(self) -> list[_Server]:
        return [server for server in self._servers.values() if not (server.out and self._mustered)]

    async def _wait_for_room(self) -> None:
        """Until a call ends or a server's rest does."""
        now = time.monotonic()
        rests = [server.rests_until - now for server in self._hopeful() if server.rests_until > now]
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(min(rests, default=None)):
                await self._room.wait()

    def _strike(self, server: _Server, reason: str) -> None:
        """Count a failed connection; those that were tried before the server's rest began count as one."""
        now = time.monotonic()
        if now < server.rests_until:
            return
        server.strikes += 1
        server.rests_until = now + pause_before(server.strikes, self.settings, None)
        if server.strikes >= self.settings.strikes:
            self.drop(server.url, reason)

    def _gone(self) -> ServersGone:
        urls = ", ".join(self._servers)
        return ServersGone(f"no server is left of {urls}; the last to go: {self._last_reason}")

    async def _call(self, server: _Server, method: str, path: str, content: bytes | None) -> Any:
        """One call; its JSON reply, None where the reply is empty.

        Raises:
            Unreachable: no connection.
            BadReply: something that may be better next time.
            RequestFailed: refused.
        """
        limit = self.settings.timeout_s
        headers = {} if content is None else {"Content-Type": "application/json"}
        try:
            async with asyncio.timeout(limit):
                response = await self._client.request(method, server.url + path, content=content, headers=headers)
        except (httpx2.ConnectError, httpx2.ConnectTimeout) as fault:
            raise Unreachable(f"cannot connect ({self._shown(str(fault))})") from None
        except TimeoutError:
            raise BadReply(f"no whole reply within {limit:g} s") from None
        except httpx2.RequestError as fault:
            raise BadReply(f"connection lost ({self._shown(str(fault) or type(fault).__name__)})") from None
        self._welcome(server)
        if response.status_code >= 500 or response.status_code in AGAIN:
            said = f"status {response.status_code}: {self._shown(message_of(response))}"
            raise BadReply(said, retry_after(response.headers.get("Retry-After")))
        if not response.is_success:
            said = self._shown(message_of(response))
            status = response.status_code
            raise RequestFailed(f"{server.url}{path}: refused with status {status}: {said}", status)
        if not response.content:
            return None
        try:
            return json.loads(response.content)
        except ValueError:
            raise BadReply(f"not JSON: {self._shown(response.text)}") from None

    def _welcome(self, server: _Server) -> None:
        """Note that a server answers; one that was out and is tried again is back."""
        server.strikes = 0
        if server.out and not self._mustered:
            server.out, server.rests_until = False, 0.0
            self._warn(f"{server.url} is back")

    def _shown(self, text: str) -> str:
        """A server's words on one short line, without our key should it repeat it."""
        line = " ".join(redacted(text).split())
        return line if len(line) <= SHOWN_CHARACTERS else line[:SHOWN_CHARACTERS] + "..."
