from __future__ import annotations

import asyncio
import contextlib
import email.utils
import socket
import threading
import time
from collections.abc import Callable, Iterator
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scripted_server import BROKEN, CUT, DROP, FAULTS, GARBAGE, STALL, TOO_MANY, Act, Call, Script, ScriptedServer

from metis_rise.engines.server.faults import BadReply, RequestFailed, ServersGone
from metis_rise.engines.server.fleet import Fleet
from metis_rise.engines.server.pauses import pause_before, retry_after
from metis_rise.engines.server.settings import ServerSettings
from metis_rise.errors import InputError

PATH = "/work"
KEY = "sk-very-secret-0123"


def hasty(*urls: str, **changes: Any) -> ServerSettings:
    quick = {"timeout_s": 20.0, "connect_s": 20.0, "backoff_s": 0.002, "longest_pause_s": 0.01, "rest_s": 60.0}
    return ServerSettings(tuple(urls), **(quick | changes))


def echo(call: Call) -> Act:
    return Act({"number": call.body["number"]} if call.body else {})


def number_of(url: str, reply: Any) -> int:
    if not isinstance(reply, dict) or "number" not in reply:
        raise BadReply("no number")
    return int(reply["number"])


def use(settings: ServerSettings, work: Callable[[Fleet], Any], warn: Callable[[str], None] = print) -> Any:
    async def within() -> Any:
        fleet = Fleet(settings, warn)
        try:
            return await work(fleet)
        finally:
            await fleet.close()

    return asyncio.run(within())


def post_all(settings: ServerSettings, count: int, warn: Callable[[str], None] = print) -> list[int | RequestFailed]:
    """Each call's own number, or how it failed."""

    async def one(fleet: Fleet, number: int) -> int | RequestFailed:
        try:
            return await fleet.post(PATH, {"number": number}, number_of)
        except RequestFailed as fault:
            return fault

    async def work(fleet: Fleet) -> list[int | RequestFailed]:
        return await asyncio.gather(*(one(fleet, number) for number in range(count)))

    result = use(settings, work, warn)
    assert isinstance(result, list)
    return result


def post_one(script: Script, warn: Callable[[str], None] = print, **changes: Any) -> tuple[Any, ScriptedServer]:
    with ScriptedServer(script) as server:
        return post_all(hasty(server.url, **changes), 1, warn)[0], server


def at_first(act: Act, times: int = 1) -> Script:
    return lambda call: act if call.number < times else echo(call)


@contextlib.contextmanager
def closed_port() -> Iterator[str]:
    """The address of a port that nobody listens at, nor can until the end of the block."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{held.getsockname()[1]}"


@pytest.mark.parametrize("fault", FAULTS, ids=["garbage", "429", "500", "stall", "drop", "cut"])
def test_what_may_be_better_next_time_is_asked_again(fault: Act):
    got, server = post_one(at_first(fault, 2), timeout_s=1.0 if fault is STALL else 20)
    assert got == 0
    # A busy machine may be late with the good reply too.
    assert len(server.calls) == 3 or (fault is STALL and len(server.calls) > 3)


def test_json_that_the_reader_refuses_is_asked_again():
    got, server = post_one(at_first(Act({"other": 1})))
    assert (got, len(server.calls)) == (0, 2)


@pytest.mark.parametrize("status", [400, 401, 404, 422])
def test_a_refusal_is_not_repeated_and_says_what_the_server_said(status: int):
    got, server = post_one(lambda call: Act({"error": {"message": "image\n too large"}}, status))
    assert len(server.calls) == 1
    assert str(got) == f"{server.url}{PATH}: refused with status {status}: image too large"


def test_a_call_that_never_succeeds_ends_after_its_attempts():
    got, server = post_one(lambda call: BROKEN, retries=3)
    assert len(server.calls) == 4
    assert isinstance(got, RequestFailed)
    assert "4 attempts" in str(got) and "status 500" in str(got)


def test_retry_after_is_waited_for():
    waits: list[float] = []

    def script(call: Call) -> Act:
        waits.append(time.monotonic())
        return Act(status=429, headers={"Retry-After": "1"}) if call.number == 0 else echo(call)

    assert post_one(script, longest_pause_s=5.0)[0] == 0
    assert waits[1] - waits[0] >= 1.0


def test_pauses_double_are_jittered_and_bounded():
    settings = hasty("http://a", backoff_s=1.0, longest_pause_s=10.0)
    for attempt, most in ((1, 1), (2, 2), (3, 4), (4, 8), (5, 10), (50, 10)):
        drawn = {pause_before(attempt, settings, None) for _ in range(50)}
        assert len(drawn) > 1
        assert most / 2 <= min(drawn) and max(drawn) <= most
    assert 3 < pause_before(1, settings, 3.0) <= 4
    assert pause_before(1, settings, 1e9) == 10


def test_retry_after_is_read_as_seconds_or_date():
    assert retry_after("7") == 7
    assert retry_after(email.utils.formatdate(time.time() + 1000)) == pytest.approx(1000, abs=60)
    assert retry_after("soon") is None
    assert retry_after(None) is None


def test_thirty_percent_of_faults_lose_nothing_and_count_nothing_twice():
    draw = Random(1)

    def script(call: Call) -> Act:
        return draw.choice(FAULTS) if draw.random() < 0.3 else echo(call)

    with ScriptedServer(script) as one, ScriptedServer(script) as two:
        got = post_all(hasty(one.url, two.url, timeout_s=0.5, concurrency=8), 120)
        assert got == list(range(120))
        assert len(one.calls) + len(two.calls) > 140


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.lists(
        st.lists(st.sampled_from([None, GARBAGE, TOO_MANY, BROKEN, DROP, CUT, Act(status=400)]), max_size=12),
        min_size=1,
        max_size=3,
    ),
    st.integers(1, 8),
)
def test_every_call_ends_once_whatever_the_faults(plans: list[list[Act | None]], count: int):
    """`plans` are the first replies of each server, None being a good one; after them all replies are good."""

    def follow(plan: list[Act | None]) -> Script:
        def script(call: Call) -> Act:
            act = plan[call.number] if call.number < len(plan) else None
            return echo(call) if act is None else act

        return script

    servers = [ScriptedServer(follow(plan)) for plan in plans]
    for server in servers:
        server.__enter__()
    try:
        got = post_all(hasty(*(server.url for server in servers), retries=2, concurrency=2), count)
    finally:
        for server in servers:
            server.kill()
    assert len(got) == count
    refused = sum(
        act is not None and act.status == 400
        for server, plan in zip(servers, plans, strict=True)
        for act in plan[: len(server.calls)]
    )
    assert sum(isinstance(end, RequestFailed) and "status 400" in str(end) for end in got) == refused
    for number, end in enumerate(got):
        assert end == number or isinstance(end, RequestFailed)
        tries = [call for server in servers for call in server.calls if call.body["number"] == number]
        assert 1 <= len(tries) <= 3
        # One good reply and no call after it: nothing was asked for twice that had been answered.
        if end == number:
            good = [
                call
                for server, plan in zip(servers, plans, strict=True)
                for call in server.calls
                if call.body["number"] == number and (call.number >= len(plan) or plan[call.number] is None)
            ]
            assert len(good) == 1


def test_calls_in_flight_are_bounded_per_server_and_spread():
    together = threading.Barrier(6)

    def held(call: Call) -> Act:
        """Six calls are answered at once: as many as there is room for."""
        together.wait(60)
        return echo(call)

    with ScriptedServer(held) as one, ScriptedServer(held) as two:
        assert post_all(hasty(one.url, two.url, concurrency=3, timeout_s=60), 42) == list(range(42))
        assert one.most_at_once == two.most_at_once == 3
        assert len(one.calls) == len(two.calls) == 21


def test_the_least_loaded_server_is_asked():
    together = threading.Barrier(6)

    def held(call: Call) -> Act:
        together.wait(60)
        return echo(call)

    with ScriptedServer(held) as one, ScriptedServer(held) as two:
        assert post_all(hasty(one.url, two.url, concurrency=6, timeout_s=60), 6) == list(range(6))
        assert (len(one.calls), len(two.calls)) == (3, 3)


def test_a_full_server_does_not_hold_up_calls_that_another_has_room_for():
    busy = threading.Event()

    def first(call: Call) -> Act:
        busy.wait(60)
        return echo(call)

    def last(call: Call) -> Act:
        if call.number == 8:
            busy.set()
        return echo(call)

    with ScriptedServer(first) as slow, ScriptedServer(last) as quick:
        assert post_all(hasty(slow.url, quick.url, concurrency=1, timeout_s=60), 10) == list(range(10))
        assert (len(slow.calls), len(quick.calls)) == (1, 9)


def test_a_server_that_only_fails_fast_does_not_draw_the_calls_to_itself():
    with ScriptedServer(lambda call: BROKEN) as bad, ScriptedServer(echo) as good:
        assert post_all(hasty(bad.url, good.url, retries=1, concurrency=2), 50) == list(range(50))


def test_a_server_killed_in_mid_batch_loses_nothing_when_another_stands():
    said: list[str] = []
    started = threading.Barrier(4)

    def dies(call: Call) -> Act:
        # A call too many waits for three that do not come.
        with contextlib.suppress(threading.BrokenBarrierError):
            started.wait(60)
        if call.number == 3:
            doomed.kill()
        return echo(call)

    with ScriptedServer(dies) as doomed, ScriptedServer(echo) as stands:
        fleet = hasty(doomed.url, stands.url, concurrency=4, strikes=3, timeout_s=60)
        assert post_all(fleet, 60, said.append) == list(range(60))
    assert len(said) <= 1
    assert all("taken out, 1 server(s) left" in line and doomed.url in line for line in said)


def test_an_unreachable_server_is_taken_out_once_and_a_fleet_without_servers_ends_at_once():
    said: list[str] = []
    with closed_port() as url:
        got = post_all(hasty(url, strikes=3), 20, said.append)
    assert all(isinstance(end, ServersGone) for end in got)
    assert url in str(got[0]) and "cannot connect" in str(got[0])
    assert len(said) == 1


def test_calls_that_fail_together_count_as_one_failure_of_their_server():
    said: list[str] = []
    with closed_port() as url, ScriptedServer(echo) as stands:

        async def work(fleet: Fleet) -> tuple[str, ...]:
            await asyncio.gather(*(fleet.post(PATH, {"number": number}, number_of) for number in range(20)))
            return fleet.live

        patient = hasty(url, stands.url, strikes=2, backoff_s=600, longest_pause_s=600)
        assert use(patient, work, said.append) == (url, stands.url)
    assert said == []


def test_a_server_that_was_out_is_tried_again_and_is_back():
    said: list[str] = []
    with contextlib.ExitStack() as servers:
        closed = contextlib.ExitStack()
        url = closed.enter_context(closed_port())
        stands = servers.enter_context(ScriptedServer(echo))

        async def work(fleet: Fleet) -> None:
            while url in fleet.live:
                await fleet.post(PATH, {"number": 1}, number_of)
            closed.close()
            servers.enter_context(ScriptedServer(echo, int(url.rpartition(":")[2])))
            while url not in fleet.live:
                await fleet.post(PATH, {"number": 2}, number_of)

        use(hasty(url, stands.url, strikes=2, rest_s=0.05), work, said.append)
    assert ["taken out" in said[0], said[1]] == [True, f"{url} is back"]


def test_after_a_muster_a_server_that_went_out_stays_out_until_the_next():
    with ScriptedServer(echo) as one, ScriptedServer(echo) as two:

        async def work(fleet: Fleet) -> None:
            await fleet.muster()
            assert fleet.live == (one.url, two.url)
            fleet.drop(one.url, "other weights")
            await asyncio.sleep(0.02)
            before = len(one.calls)
            for number in range(5):
                await fleet.post(PATH, {"number": number}, number_of)
            assert len(one.calls) == before
            assert list(await fleet.post_each("/resume")) == [two.url]
            await fleet.muster()
            assert fleet.live == (one.url, two.url)

        use(hasty(one.url, two.url, rest_s=0.001), work)


def test_a_muster_goes_on_without_servers_that_cannot_be_reached():
    said: list[str] = []
    with closed_port() as url, ScriptedServer(echo) as stands:

        async def work(fleet: Fleet) -> None:
            await fleet.muster()
            assert fleet.live == (stands.url,)

        use(hasty(url, stands.url), work, said.append)
        with pytest.raises(ServersGone, match="cannot connect"):
            use(hasty(url), lambda fleet: fleet.muster())
    assert len(said) == 1 and "at the next push" in said[0]


def test_each_call_goes_to_every_live_server_and_one_that_fails_it_is_out():
    said: list[str] = []
    with ScriptedServer(echo) as good, ScriptedServer(lambda call: BROKEN) as bad:

        async def work(fleet: Fleet) -> None:
            assert await fleet.post_each("/pause", {"number": 4}) == {good.url: {"number": 4}}
            assert await fleet.get_each("/info") == {good.url: {}}

        use(hasty(good.url, bad.url), work, said.append)
        assert [call.method for call in good.calls] == ["POST", "GET"]
        assert len(bad.calls) == 1
    assert len(said) == 1 and "status 500" in said[0]


def test_a_reply_to_all_that_is_no_json_is_a_failure():
    with ScriptedServer(lambda call: GARBAGE) as server, pytest.raises(ServersGone, match="not JSON"):
        use(hasty(server.url), lambda fleet: fleet.post_each("/pause"))


def test_an_empty_reply_is_none():
    with ScriptedServer(lambda call: Act()) as server:
        assert use(hasty(server.url), lambda fleet: fleet.post_each("/pause")) == {server.url: None}


def test_the_key_is_sent_and_never_shown(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    monkeypatch.setenv("RISE_TEST_KEY", KEY)
    said: list[str] = []

    def parrot(call: Call) -> Act:
        sent = call.headers["Authorization"]
        return Act({"error": {"message": f"bad key {sent}"}}, (500, 401)[call.number % 2], {"X": sent})

    got, server = post_one(parrot, said.append, api_key_env="RISE_TEST_KEY")
    assert server.calls[0].headers["Authorization"] == f"Bearer {KEY}"
    assert "bad key Bearer ***" in str(got)

    async def dropped(fleet: Fleet) -> str:
        with pytest.raises(ServersGone) as gone:
            await fleet.post_each("/pause")
        return f"{gone.value!r} {gone.value.__cause__!r} {fleet!r} {fleet._client!r} {fleet.settings!r}"

    with ScriptedServer(parrot) as server:
        shown = use(hasty(server.url, api_key_env="RISE_TEST_KEY"), dropped, said.append)
    captured = capsys.readouterr()
    assert KEY not in f"{got!r}{shown}{said}{captured}"


def test_a_key_with_the_end_of_its_line_is_sent_without_and_one_that_cannot_be_sent_is_not_shown(
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setenv("RISE_TEST_KEY", f"{KEY}\r\n")
    got, server = post_one(echo, api_key_env="RISE_TEST_KEY")
    assert got == 0 and server.calls[0].headers["Authorization"] == f"Bearer {KEY}"
    for odd in (f"{KEY}\n{KEY}", f"{KEY}é"):
        monkeypatch.setenv("RISE_TEST_KEY", odd)
        with pytest.raises(InputError, match="RISE_TEST_KEY") as error:
            Fleet(hasty("http://a", api_key_env="RISE_TEST_KEY"))
        assert KEY not in str(error.value)


def test_a_key_that_is_not_there_is_an_error_that_names_the_variable(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("RISE_TEST_KEY", raising=False)
    with pytest.raises(InputError, match="RISE_TEST_KEY"):
        Fleet(hasty("http://a", api_key_env="RISE_TEST_KEY"))


@pytest.mark.parametrize(
    "changes", [{"urls": ()}, {"urls": ("http://a", "http://a")}, {"concurrency": 0}, {"retries": -1}]
)
def test_settings_that_reach_nothing_are_refused(changes: dict[str, Any]):
    with pytest.raises(ValueError):
        ServerSettings(**({"urls": ("http://a",)} | changes))
