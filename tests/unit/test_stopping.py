"""The first signal lets a step end, a second one does not."""

from __future__ import annotations

import os
import signal
import threading

import pytest

from metis_rise import stopping
from metis_rise.stopping import finished_first, heeding_signals

BOTH = pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])


def send(number: int) -> None:
    os.kill(os.getpid(), number)


@BOTH
def test_a_step_ends_and_is_kept(number: signal.Signals, capfd: pytest.CaptureFixture[str]):
    did: list[str] = []
    with pytest.raises(KeyboardInterrupt), heeding_signals():
        for _ in range(3):
            with finished_first(lambda: did.append("kept")):
                send(number)
                did.append("step")
    assert did == ["step", "kept"]
    assert "interrupt again to stop at once" in capfd.readouterr().err


@BOTH
def test_what_is_no_step_ends_at_once(number: signal.Signals):
    did: list[str] = []
    with pytest.raises(KeyboardInterrupt), heeding_signals():
        with finished_first(lambda: did.append("kept")):
            did.append("step")
        send(number)
        did.append("more")
    assert did == ["step"]


def test_a_second_signal_ends_a_step_at_once(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(stopping, "TOGETHER_S", 0.0)
    did: list[str] = []
    with pytest.raises(KeyboardInterrupt), heeding_signals(), finished_first(lambda: did.append("kept")):
        send(signal.SIGINT)
        did.append("first")
        send(signal.SIGTERM)
        did.append("second")
    assert did == ["first"]


def test_one_ctrl_c_that_comes_twice_is_one(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(stopping, "TOGETHER_S", 60.0)
    did: list[str] = []
    with pytest.raises(KeyboardInterrupt), heeding_signals(), finished_first(lambda: did.append("kept")):
        send(signal.SIGINT)
        send(signal.SIGINT)
        did.append("step")
    assert did == ["step", "kept"]


def test_a_step_that_fails_is_not_kept():
    did: list[str] = []
    with pytest.raises(ValueError), heeding_signals(), finished_first(lambda: did.append("kept")):
        send(signal.SIGINT)
        raise ValueError
    assert did == []


def test_signals_are_as_before_afterwards():
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    with pytest.raises(KeyboardInterrupt), heeding_signals():
        send(signal.SIGTERM)
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before
    with finished_first(lambda: pytest.fail("nobody has asked since")):
        pass


def test_one_of_several_processes_leaves_sigterm_as_it_is(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("LOCAL_RANK", "0")
    before = signal.getsignal(signal.SIGTERM)
    with heeding_signals():
        assert signal.getsignal(signal.SIGTERM) is before
        assert signal.getsignal(signal.SIGINT) is not signal.default_int_handler


def test_a_thread_may_call_what_heeds_signals():
    faults: list[BaseException] = []

    def work() -> None:
        try:
            with heeding_signals():
                pass
        except BaseException as error:
            faults.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert faults == []
