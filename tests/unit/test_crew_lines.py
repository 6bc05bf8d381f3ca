"""Lines and bytes over a socket, however they are cut up on their way."""

from __future__ import annotations

import socket
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metis_rise.crew.lines import Gone, Lines

MESSAGES = st.lists(st.tuples(st.binary(max_size=20).filter(lambda line: b"\n" not in line), st.binary(max_size=50)))


@given(MESSAGES, st.lists(st.integers(1, 40), max_size=30))
def test_messages_arrive_as_they_were_sent(messages: list[tuple[bytes, bytes]], cuts: list[int]) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        lines, data = Lines(ours), b"".join(line + b"\n" + body for line, body in messages)
        sent = 0
        for cut in [*cuts, len(data)]:
            theirs.sendall(data[sent : sent + cut])
            sent += cut
        for line, body in messages:
            assert lines.line(time.monotonic() + 60) == line
            assert lines.exactly(len(body), time.monotonic() + 60) == body


def test_a_line_that_does_not_come_is_waited_for_until_the_deadline() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        lines = Lines(ours)
        theirs.sendall(b"half a l")
        with pytest.raises(TimeoutError):
            lines.line(time.monotonic() + 0.05)
        with pytest.raises(TimeoutError):
            lines.line(time.monotonic() - 1)
        theirs.sendall(b"ine\n")
        assert lines.line() == b"half a line"


def test_an_end_that_is_closed_is_gone_for_reading_and_writing() -> None:
    ours, theirs = socket.socketpair()
    with ours:
        lines = Lines(ours)
        theirs.sendall(b"half")
        theirs.close()
        with pytest.raises(Gone):
            lines.line()
        with pytest.raises(Gone):
            lines.send(b"is anybody there?\n")
