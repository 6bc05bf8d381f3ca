"""Groups that are collected while something else is done."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from metis_rise.stages.ahead import Batches
from metis_rise.stages.collector import Collected


class Counting:
    """A collector whose state is how often it was asked; it waits for `go` at steps that are named so."""

    def __init__(self, *slow: int) -> None:
        self.slow, self.count, self.waiting = slow, 0, 0
        self.go, self.fail = threading.Event(), False
        self.threads: list[str] = []

    def collect(self, step: int) -> Collected:
        self.threads.append(threading.current_thread().name)
        if step in self.slow:
            assert self.go.wait(30)
        if self.fail:
            raise ArithmeticError(f"step {step}")
        self.count += 1
        return Collected(carried=step)

    def state_dict(self) -> dict[str, Any]:
        return {"count": self.count}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.count = state["count"]


def make(collector: Counting, ahead: bool = True) -> Batches:
    return Batches(collector, ahead)  # type: ignore[arg-type]


def test_without_it_groups_are_collected_when_they_are_asked_for() -> None:
    collector = Counting()
    batches = make(collector, ahead=False)
    batches.begin(0)
    assert collector.threads == []
    assert batches.take(0).carried == 0
    assert collector.threads == [threading.current_thread().name]


def test_the_caller_goes_on_meanwhile_and_then_gets_them() -> None:
    collector = Counting(1)
    batches = make(collector)
    assert batches.take(0).carried == 0
    batches.begin(1)
    assert collector.count == 1
    collector.go.set()
    batches.wait()
    assert collector.count == 2
    assert batches.take(1).carried == 1 and collector.count == 2
    assert collector.threads == [threading.current_thread().name, "groups of step 1"]


def test_the_state_is_that_before_groups_which_were_not_taken() -> None:
    collector = Counting()
    batches = make(collector)
    batches.take(0)
    batches.begin(1)
    batches.wait()
    assert (collector.count, batches.state_dict()) == (2, {"count": 1})
    batches.take(1)
    assert batches.state_dict() == {"count": 2}


def test_what_goes_wrong_in_the_thread_is_raised_where_it_is_waited_for() -> None:
    collector = Counting()
    batches = make(collector)
    collector.fail = True
    batches.begin(1)
    with pytest.raises(ArithmeticError, match="step 1"):
        batches.wait()
    batches.close()


def test_groups_of_another_step_are_refused() -> None:
    batches = make(Counting())
    batches.begin(1)
    with pytest.raises(ValueError, match="groups of step 1 were collected, not of step 2"):
        batches.take(2)


def test_waiting_is_timed() -> None:
    collector = Counting(1)
    batches = make(collector)
    batches.begin(1)
    threading.Timer(0.05, collector.go.set).start()
    before = batches.waited
    batches.take(1)
    assert batches.waited > before


def test_closing_waits_for_the_thread_and_ignores_its_error() -> None:
    collector = Counting(1)
    batches = make(collector)
    batches.begin(1)
    collector.fail = True
    collector.go.set()
    batches.close()
    assert not any(thread.name == "groups of step 1" for thread in threading.enumerate())
