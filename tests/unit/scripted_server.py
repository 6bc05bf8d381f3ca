"""An HTTP server that does what a script says: answer, fail, cut its answers short, stall, die."""

from __future__ import annotations

import json
import socket
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any


@dataclass(frozen=True)
class Act:
    """What is done with a call: `body` is sent as JSON, or as it is where it is bytes.

    cut: half of the body is sent, then the connection ends. stall: nothing is sent until the server is closed.
    drop: the connection ends without a reply.
    """

    body: Any = None
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    cut: bool = False
    stall: bool = False
    drop: bool = False


GARBAGE = Act(b'{"choices": [{"ind')
TOO_MANY = Act({"error": {"message": "slow down"}}, 429)
BROKEN = Act(b"<html>Internal Server Error</html>", 500)
STALL = Act(stall=True)
DROP = Act(drop=True)
CUT = Act({"choices": "never whole " * 20}, cut=True)
FAULTS = (GARBAGE, TOO_MANY, BROKEN, STALL, DROP, CUT)


@dataclass(frozen=True)
class Call:
    """A request as it came in; `body` is its JSON, None without one."""

    number: int
    method: str
    path: str
    body: Any
    headers: Mapping[str, str]


Script = Callable[[Call], Act]


class _Listener(ThreadingHTTPServer):
    def handle_error(self, request: Any, client_address: Any) -> None:
        """Callers that hang up or die are part of the scripts; other faults are shown."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)

    # Of many connections at once, none is turned away.
    request_queue_size = 256
    daemon_threads = True


class ScriptedServer:
    """Serves `script` on `port` of this machine (0: a free one), for as long as the `with` lasts or until `kill`."""

    def __init__(self, script: Script, port: int = 0) -> None:
        self.calls: list[Call] = []
        self.most_at_once = 0
        self._script = script
        self._at_once = 0
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._open: set[socket.socket] = set()
        self._server = _Listener(("127.0.0.1", port), self._handler())
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)

    def __enter__(self) -> ScriptedServer:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.kill()

    def kill(self) -> None:
        """End all connections and take no more."""
        if self._over.is_set():
            return
        self._over.set()
        # From a thread of its own: a script that kills its server runs inside one of the server's own calls.
        self._server.socket.close()
        threading.Thread(target=self._server.shutdown, daemon=True).start()
        for connection in list(self._open):
            _end(connection)

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def setup(self) -> None:
                super().setup()
                outer._open.add(self.connection)

            def finish(self) -> None:
                outer._open.discard(self.connection)
                super().finish()

            def log_message(self, format: str, *args: Any) -> None: ...

            def do_GET(self) -> None:
                outer._answer(self)

            do_POST = do_GET

        return Handler

    def _answer(self, handler: BaseHTTPRequestHandler) -> None:
        length = int(handler.headers.get("Content-Length") or 0)
        raw = handler.rfile.read(length)
        if len(raw) < length:
            # The caller died while it spoke.
            handler.close_connection = True
            return
        with self._lock:
            body = json.loads(raw) if raw else None
            call = Call(len(self.calls), handler.command, handler.path, body, dict(handler.headers))
            self.calls.append(call)
            self._at_once += 1
            self.most_at_once = max(self.most_at_once, self._at_once)
        try:
            act = self._script(call)
            if act.stall:
                self._over.wait()
        finally:
            # Before the reply goes out: its caller may be back with the next call before this thread goes on.
            with self._lock:
                self._at_once -= 1
        self._do(handler, act)

    def _do(self, handler: BaseHTTPRequestHandler, act: Act) -> None:
        if act.drop or self._over.is_set():
            handler.close_connection = True
            _end(handler.connection)
            return
        data = act.body if isinstance(act.body, bytes) else b"" if act.body is None else json.dumps(act.body).encode()
        handler.send_response(act.status)
        for name, value in {"Content-Length": str(len(data)), **act.headers}.items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(data[: len(data) // 2] if act.cut else data)
        if act.cut:
            handler.close_connection = True
            _end(handler.connection)


def _end(connection: socket.socket) -> None:
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        return
