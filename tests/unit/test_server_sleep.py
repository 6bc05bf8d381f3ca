from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

import pytest
import tiny
from fake_vllm import FakeVllm
from scripted_server import BROKEN, Act, Call, ScriptedServer
from test_server_engine import engine_on, requests_of

from metis_rise.engines.server.engine import ServerEngine
from metis_rise.engines.server.faults import NotSampled
from metis_rise.engines.server.wire import GENERATE
from metis_rise.errors import InputError
from metis_rise.policy.model import Policy

SLEEP, WAKE, LABEL = "/sleep?level=1", "/wake_up", "/label"


@pytest.fixture(scope="module")
def policy(tmp_path_factory: pytest.TempPathFactory) -> Policy:
    return Policy.load(tiny.write_folder(tmp_path_factory.mktemp("model")))


class Napper(FakeVllm):
    """A server that can sleep, and neither samples nor takes weights while it does."""

    def __init__(self, policy: Policy) -> None:
        super().__init__(policy)
        self.sleep_mode = True

    def answer(self, call: Call) -> Act:
        if self.asleep and call.path in (GENERATE, LABEL):
            return Act({"error": {"message": "asleep"}}, 400)
        return super().answer(call)


@contextlib.contextmanager
def napping(
    policy: Policy, *fakes: FakeVllm, warn: Callable[[str], None] = print
) -> Iterator[tuple[ServerEngine, list[ScriptedServer]]]:
    with engine_on(policy, *(fake.answer for fake in fakes), warn=warn, colocated=True) as found:
        yield found


def naps(server: ScriptedServer) -> list[str]:
    return [call.path for call in server.calls if call.path in (SLEEP, WAKE, LABEL)]


def test_servers_sleep_but_for_pushes_and_sampling(policy: Policy):
    one, two = Napper(policy), Napper(policy)
    with napping(policy, one, two) as (engine, servers):
        engine.check(100, "p", 20)
        assert one.asleep and two.asleep
        engine.push()
        assert not one.asleep
        assert len(list(engine.sample(requests_of(6)))) == 6
        assert one.asleep and two.asleep
        # A step without an update pushes nothing, and samples from the weights that are there.
        assert len(list(engine.sample(requests_of(2)))) == 2
        assert one.asleep and two.asleep
    assert naps(servers[0]) == naps(servers[1]) == [SLEEP, WAKE, LABEL, SLEEP, WAKE, SLEEP]


def test_an_engine_that_is_closed_after_a_push_leaves_servers_asleep_and_the_next_one_wakes_them(policy: Policy):
    fake = Napper(policy)
    with napping(policy, fake) as (engine, _):
        engine.push()
    assert fake.asleep
    with napping(policy, fake) as (engine, _):
        assert len(list(engine.sample(requests_of(2)))) == 2
    assert fake.asleep


def test_servers_sleep_when_sampling_ends_early(policy: Policy):
    fake = Napper(policy)
    with napping(policy, fake) as (engine, _):
        groups = engine.sample(requests_of(30))
        next(groups)
        assert not fake.asleep
        groups.close()
        assert fake.asleep
        assert len(list(engine.sample(requests_of(2)))) == 2


def test_memory_is_made_room_for_before_servers_wake(policy: Policy):
    fake, asleep_then = Napper(policy), []
    with napping(policy, fake) as (engine, _):
        engine.check(100, "p", 20)
        engine._sleeper._make_room = lambda: asleep_then.append(fake.asleep)
        list(engine.sample(requests_of(1)))
        list(engine.sample(requests_of(1)))
    assert asleep_then == [True, True]


def test_what_went_wrong_is_said_and_not_that_nobody_is_left_to_sleep(policy: Policy):
    fake = Napper(policy)

    def dies(call: Call) -> Act:
        if call.path == GENERATE:
            servers[0].kill()
        return fake.answer(call)

    gone = pytest.raises(NotSampled, match="no server is left")
    with engine_on(policy, dies, colocated=True) as (engine, servers), gone:
        list(engine.sample(requests_of(3)))


def test_a_server_that_does_not_wake_up_is_out(policy: Policy):
    said: list[str] = []
    tired, well = Napper(policy), Napper(policy)

    def stays(call: Call) -> Act:
        return BROKEN if call.path == WAKE else tired.answer(call)

    with engine_on(policy, stays, well.answer, warn=said.append, colocated=True) as (engine, servers):
        assert len(list(engine.sample(requests_of(4)))) == 4
    assert servers[0].url in said[0] and WAKE in said[0]


def test_a_server_without_sleep_mode_is_refused_where_it_would_have_to_sleep(policy: Policy):
    refused = pytest.raises(InputError, match=r"without sleep mode.*rise serve MODEL -- --enable-sleep-mode")
    with napping(policy, FakeVllm(policy)) as (engine, _), refused:
        engine.check(100, "p", 20)


def test_servers_with_gpus_of_their_own_are_never_put_to_sleep(policy: Policy):
    fake = Napper(policy)
    with engine_on(policy, fake.answer) as (engine, (server,)):
        engine.check(100, "p", 20)
        engine.push()
        list(engine.sample(requests_of(2)))
    assert naps(server) == [LABEL]
