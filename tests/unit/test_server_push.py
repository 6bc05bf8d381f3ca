from __future__ import annotations

import asyncio
import json
import signal
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import tiny
import torch
from scripted_server import BROKEN, STALL, Act, Call, ScriptedServer
from torch import Tensor

from metis_rise.engines.base import WeightsDiffer
from metis_rise.engines.server import push
from metis_rise.engines.server.faults import RequestFailed, ServersGone
from metis_rise.engines.server.fleet import Fleet
from metis_rise.engines.server.loop import LoopThread
from metis_rise.engines.server.nccl import NcclPush
from metis_rise.engines.server.push import DiskPush
from metis_rise.engines.server.pusher import ProbeRow, Pusher
from metis_rise.engines.server.settings import ServerSettings
from metis_rise.errors import InputError
from metis_rise.policy.model import Policy

PAUSE = "/pause?mode=wait"
RENEWED = ["/reset_prefix_cache", "/reset_mm_cache", "/reset_encoder_cache", "/update_weight_version", "/resume"]
PROBE = cast(ProbeRow, None)


class FakeServer(ScriptedServer):
    """Does what vLLM's dev endpoints do, as far as a push sees it; `faults` are its answers on some paths."""

    def __init__(self, faults: Mapping[str, Act] | None = None, world_size: int = 1) -> None:
        self.version = "default"
        self.faults = dict(faults or {})
        self.world_size = world_size
        super().__init__(self.script)

    def script(self, call: Call) -> Act:
        if call.path in self.faults:
            return self.faults[call.path]
        if call.path == "/update_weight_version":
            self.version = call.body["new_version"]
        answers = {
            "/reset_prefix_cache": {"success": True},
            "/weight_info": {"weight_version": self.version},
            "/get_world_size": {"world_size": self.world_size},
        }
        return Act(answers.get(call.path))

    @property
    def paths(self) -> list[str]:
        return [call.path for call in self.calls]

    def body(self, path: str) -> Any:
        """What the last call of `path` sent."""
        return next(call.body for call in reversed(self.calls) if call.path == path)


@pytest.fixture(autouse=True)
def _no_probe(monkeypatch: pytest.MonkeyPatch) -> None:
    async def agree(*_: object) -> float:
        return 0.25

    monkeypatch.setattr(push, "compare", agree)


def pushed(
    pusher: Pusher, policy: Any, *servers: FakeServer, told: Callable[[str], None] = print, times: int = 1
) -> Mapping[str, float]:
    """The figures of the last of some pushes to servers that are started already."""

    async def work() -> Mapping[str, float]:
        fleet = Fleet(ServerSettings(tuple(server.url for server in servers), timeout_s=20.0), told)
        for _ in range(times):
            await fleet.muster()
            figures = await pusher.push(fleet, policy, PROBE)
        await fleet.close()
        return figures

    return asyncio.run(work())


@pytest.fixture(scope="module")
def policy(tmp_path_factory: pytest.TempPathFactory) -> Policy:
    found = Policy.load(tiny.write_folder(tmp_path_factory.mktemp("model")), device="cpu")
    found.version = 7
    return found


def test_a_disk_push_writes_the_weights_then_lets_every_paused_server_read_them(policy: Policy, tmp_path: Path):
    with FakeServer() as one, FakeServer() as two:
        figures = pushed(DiskPush(tmp_path), policy, one, two)
    assert figures["probe_difference"] == 0.25
    for server in (one, two):
        assert server.paths == ["/health", PAUSE, "/collective_rpc", *RENEWED, "/weight_info"]
        assert server.version == "7"
        sent = server.body("/collective_rpc")
        assert sent["method"] == "reload_weights"
        saved = Policy.load(sent["kwargs"]["weights_path"], device="cpu")
        assert all(map(torch.equal, saved.model.state_dict().values(), policy.model.state_dict().values()))


def test_a_disk_push_writes_what_servers_compute_in(policy: Policy, tmp_path: Path):
    source = tmp_path / "model"
    policy.save(source)
    mixed = Policy.load(source, device="cpu", autocast=True)
    with FakeServer() as server:
        pushed(DiskPush(tmp_path), mixed, server)
        folder = server.body("/collective_rpc")["kwargs"]["weights_path"]
    assert json.loads((Path(folder) / "config.json").read_text())["dtype"] == "bfloat16"


def test_two_folders_take_turns_so_that_none_is_rewritten_while_it_may_be_read(policy: Policy, tmp_path: Path):
    with FakeServer() as server:
        pushed(DiskPush(tmp_path), policy, server, times=3)
        read = [call.body["kwargs"]["weights_path"] for call in server.calls if call.path == "/collective_rpc"]
    assert read[0] == read[2] != read[1]
    assert all(Path(folder).is_absolute() for folder in read)


def test_a_server_that_cannot_read_the_weights_goes_on_and_is_out(policy: Policy, tmp_path: Path):
    said: list[str] = []
    with FakeServer({"/collective_rpc": BROKEN}) as broken, FakeServer() as well:
        pushed(DiskPush(tmp_path), policy, broken, well, told=said.append)
    assert broken.paths[-1] == "/resume"
    assert "/update_weight_version" not in broken.paths
    assert well.version == "7"
    assert len(said) == 1 and broken.url in said[0]


def test_when_no_server_takes_the_weights_all_go_on_and_the_push_fails(policy: Policy, tmp_path: Path):
    with FakeServer({"/collective_rpc": BROKEN}) as one, FakeServer({"/collective_rpc": BROKEN}) as two:
        with pytest.raises(ServersGone, match="/collective_rpc"):
            pushed(DiskPush(tmp_path), policy, one, two)
        assert one.paths[-1] == two.paths[-1] == "/resume"


def test_a_server_that_does_not_go_on_is_out(policy: Policy, tmp_path: Path):
    said: list[str] = []
    with FakeServer({"/resume": BROKEN}) as stuck, FakeServer() as well:
        pushed(DiskPush(tmp_path), policy, stuck, well, told=said.append)
    assert len(said) == 1 and stuck.url in said[0] and "paused" in said[0]


@pytest.mark.parametrize(
    ("path", "answer", "named"),
    [
        ("/weight_info", {"weight_version": "6"}, "version 6 after a push of 7"),
        ("/reset_prefix_cache", {"success": False}, "prefix cache"),
    ],
)
def test_a_server_that_keeps_old_things_stops_the_run(
    policy: Policy, tmp_path: Path, path: str, answer: Any, named: str
):
    with FakeServer({path: Act(answer)}) as server:
        with pytest.raises(WeightsDiffer, match=named):
            pushed(DiskPush(tmp_path), policy, server)
        assert "/resume" in server.paths


class Interrupting(FakeServer):
    """Somebody presses Ctrl-C while it reads the weights."""

    def script(self, call: Call) -> Act:
        if call.path != "/collective_rpc":
            return super().script(call)
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
        return STALL


def test_an_interrupted_push_lets_the_servers_go_on(policy: Policy, tmp_path: Path, request: pytest.FixtureRequest):
    # A shell starts what it puts into the background with SIGINT ignored.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    request.addfinalizer(lambda: signal.signal(signal.SIGINT, before))
    with Interrupting() as server:
        loop, fleet = LoopThread(), Fleet(ServerSettings((server.url,)))
        with pytest.raises(KeyboardInterrupt):
            loop.run(DiskPush(tmp_path).push(fleet, policy, PROBE))
        # What an engine that is closed does next.
        loop.run(fleet.close())
        loop.close()
        assert server.paths == [PAUSE, "/collective_rpc", "/resume"]


class FakeSender:
    """Notes what it is told; `join` and `send` wait for the servers as NCCL would."""

    def __init__(self) -> None:
        self.worlds: list[int] = []
        self.sent: list[Tensor] = []
        self.together = threading.Event()

    def invite(self) -> bytes:
        return b"id%d" % len(self.worlds)

    def join(self, world_size: int) -> None:
        assert self.together.wait(60), "the servers were not asked meanwhile"
        self.worlds.append(world_size)

    def send(self, tensor: Tensor) -> None:
        assert self.together.wait(60), "the servers were not asked meanwhile"
        self.sent.append(tensor)

    def wait(self) -> None: ...


class Meeting(FakeServer):
    """A server whose part in a collective call lets `sender` go on."""

    def __init__(self, sender: FakeSender, world_size: int) -> None:
        self.sender = sender
        super().__init__(world_size=world_size)

    def script(self, call: Call) -> Act:
        if call.path in ("/init_weight_transfer_engine", "/update_weights"):
            self.sender.together.set()
        return super().script(call)


WEIGHTS = {"model.a": torch.zeros(2, 3, dtype=torch.bfloat16), "lm_head.weight": torch.ones(4, dtype=torch.bfloat16)}


def on_gpu(version: int = 3) -> Any:
    model = SimpleNamespace(named_parameters=WEIGHTS.items)
    return SimpleNamespace(
        device=torch.device("cuda"), computes_in=torch.bfloat16, version=version, lora=None, model=model
    )


def test_an_nccl_push_makes_one_group_of_all_gpus_and_sends_the_weights_while_the_servers_receive():
    sender = FakeSender()
    with Meeting(sender, 2) as one, Meeting(sender, 1) as two:
        pushed(NcclPush(sender), on_gpu(), one, two)
    assert sender.worlds == [4]
    assert len(sender.sent) == 2 and all(map(torch.equal, sender.sent, WEIGHTS.values()))
    offsets = []
    for server in (one, two):
        start = ["/health", "/get_world_size", "/init_weight_transfer_engine", PAUSE]
        middle = ["/start_weight_update", "/update_weights", "/finish_weight_update"]
        assert server.paths == [*start, *middle, *RENEWED, "/weight_info"]
        assert server.version == "3"
        info = server.body("/init_weight_transfer_engine")["init_info"]
        assert (info["world_size"], info["packed"], info["nccl_unique_id_b64"]) == (4, False, "aWQw")
        offsets.append(info["rank_offset"])
        assert server.body("/update_weights") == {
            "update_info": {
                "names": ["model.a", "lm_head.weight"],
                "dtype_names": ["bfloat16", "bfloat16"],
                "shapes": [[2, 3], [4]],
            }
        }
    assert offsets == [1, 3]


def test_the_group_is_kept_while_the_same_servers_take_part():
    sender = FakeSender()
    with Meeting(sender, 1) as server:
        pushed(NcclPush(sender), on_gpu(), server, times=2)
    assert sender.worlds == [2]
    assert server.paths.count("/update_weights") == 2


def test_a_new_group_is_made_when_a_server_has_gone():
    sender = FakeSender()
    pusher = NcclPush(sender)
    with Meeting(sender, 1) as one:
        with Meeting(sender, 1) as two:
            pushed(pusher, on_gpu(), one, two)
        pushed(pusher, on_gpu(), one)
    assert sender.worlds == [3, 2]
    assert one.paths.count("/shutdown_weight_transfer_engine") == 1


def test_nothing_is_broadcast_to_a_group_that_lacks_a_member():
    sender = FakeSender()
    with Meeting(sender, 1) as one, Meeting(sender, 1) as two:
        two.faults["/start_weight_update"] = BROKEN
        with pytest.raises(RequestFailed, match=two.url):
            pushed(NcclPush(sender), on_gpu(), one, two)
        assert sender.sent == []
        assert one.paths[-1] == two.paths[-1] == "/resume"


def test_nccl_needs_the_policy_on_a_gpu(policy: Policy):
    with FakeServer() as server, pytest.raises(InputError, match=r"engine\.push"):
        pushed(NcclPush(FakeSender()), policy, server)
