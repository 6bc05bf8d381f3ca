"""Processes tell each other what they are before they become a team."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from torch.distributed import HashStore

from metis_rise.errors import InputError
from metis_rise.recipe import load_recipe
from metis_rise.stages.team import joining
from metis_rise.stages.team.joining import facts_of, fall, shake_hands

FACTS = {"host": "a", "torch": "2.13.0", "model.dtype": '"bfloat16"'}


def met(*facts: dict[str, str]) -> list[BaseException | None]:
    """How the meeting of processes with these facts ends for each of them."""
    store = HashStore()
    store.set_timeout(timedelta(seconds=60))
    with ThreadPoolExecutor(len(facts)) as pool:
        ends = [pool.submit(shake_hands, store, rank, len(facts), own) for rank, own in enumerate(facts)]
        return [end.exception() for end in ends]


def test_processes_on_other_hosts_are_welcome() -> None:
    assert met(FACTS, FACTS | {"host": "b"}, FACTS | {"host": "c"}) == [None, None, None]


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"torch": "2.14.0"}, "rank 2 on b has torch = 2.14.0, rank 0 on a has 2.13.0"),
        ({"model.dtype": '"float32"'}, 'rank 2 on b has model.dtype = "float32", rank 0 on a has "bfloat16"'),
        ({"rl.new": "1"}, "rank 2 on b has rl.new = 1, rank 0 on a has None"),
    ],
)
def test_the_leader_names_who_differs_and_the_others_just_end(changed: dict[str, str], said: str) -> None:
    leader, second, third = met(FACTS, FACTS, FACTS | {"host": "b"} | changed)
    assert isinstance(leader, InputError) and str(leader).startswith(said)
    assert isinstance(second, SystemExit) and isinstance(third, SystemExit)


@pytest.mark.parametrize("rank", [0, 1], ids=["leader", "other"])
def test_of_processes_that_fail_at_once_one_may_speak(
    rank: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """That of the leader, or the one that was there first."""
    for name in ("_GRACE_S", "_OTHERS_S", "_LEADER_S"):
        monkeypatch.setattr(joining, name, 0.0)
    store = HashStore()
    fall(store, rank, InputError("this one cannot"))
    with pytest.raises(SystemExit):
        fall(store, 2, InputError("nor can this one"))
    assert capsys.readouterr().err.count("rank ") == rank


def test_who_lost_another_one_says_so_where_nobody_else_speaks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(joining, "_LOST_S", 0.0)
    lost = RuntimeError("[../third_party/gloo/gloo/transport/tcp/pair.cc:534] Connection closed by peer")
    with pytest.raises(RuntimeError, match="another process of the run has ended, or cannot be reached"):
        fall(HashStore(), 1, lost)


def test_packages_device_and_every_setting_are_facts() -> None:
    facts = facts_of(load_recipe("tiny", ["model.device=cpu", "rl.steps=7"]))
    assert {"python", "metis-rise", "torch", "transformers", "host"} <= facts.keys()
    assert (facts["device"], facts["rl.steps"], facts["sft.stages"][:2]) == ("cpu", "7", "[{")
