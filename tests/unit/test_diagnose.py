"""Adaptive rounds, what they spare, kills and resumes, and samples reused from RL."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from diagnosing import FakeBench, FakeShop, Killed, completion, make_shop

from metis_rise.run import append_jsonl, read_jsonl, write_jsonl
from metis_rise.stages import diagnose, distill
from metis_rise.stages.diagnose import SOLVE_RATES
from metis_rise.stages.journals import JOURNAL, by_problem, read_trajectories
from metis_rise.types import Trajectory, Verdict

RATES = {f"p{i:02}": rate for i, rate in enumerate([0.0] * 6 + [0.15, 0.3, 0.5, 0.7, 0.9] + [1.0] * 5)}


@pytest.fixture(autouse=True)
def no_sync(monkeypatch: pytest.MonkeyPatch) -> None:
    """No power is cut here, and a sync takes longer than all the rest."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


def journal(shop: FakeShop) -> Path:
    return shop.run.stage("diagnose").path / JOURNAL


def asked(bench: FakeBench) -> list[dict[str, int]]:
    return [{request.problem.id: request.n for request in requests} for requests in bench.asked]


def test_problems_leave_when_they_are_settled_and_absent_ones_never_do(tmp_path: Path):
    shop = make_shop(tmp_path, RATES, samples=4, max_samples=16)
    result = diagnose.run(shop)
    calls = asked(shop.fake)
    assert len(calls) == 4 and calls[0] == dict.fromkeys(RATES, 4)
    absent, mastered = list(RATES)[:6], list(RATES)[-5:]
    assert all(key in call for key in absent for call in calls)
    assert all((key in call) == (number < 2) for key in mastered for number, call in enumerate(calls))
    assert set(calls[1]) > set(calls[2]) >= set(calls[3])
    held = read_trajectories(journal(shop))
    assert {key: len(found) for key, found in held.items()}[absent[0]] == 16
    for key, trajectories in held.items():
        assert [t.sample for t in trajectories] == list(range(len(trajectories)))
        assert result["solve_rates"][key] == sum(t.strict for t in trajectories) / len(trajectories)
    assert shop.fake.closed


def test_what_was_saved_is_said_against_fixed_k(tmp_path: Path):
    shop = make_shop(tmp_path, RATES)
    result = diagnose.run(shop)
    drawn = sum(sum(call.values()) for call in asked(shop.fake))
    sampling = result["sampling"]
    assert sampling["drawn"] == drawn < sampling["fixed"] == 16 * len(RATES)
    assert result["counts"] == {"problems": len(RATES), "used": drawn, "saved": sampling["fixed"] - drawn}
    assert sum(int(k) * n for k, n in sampling["problems_by_samples"].items()) == drawn
    assert sum(result["buckets"].values()) == len(RATES)
    said = f"{drawn} samples drawn, {100 * (1 - drawn / 256):.0f} % saved against 16 for each (256): "
    assert said in (tmp_path / "log.txt").read_text()


def test_every_problem_has_its_interval(tmp_path: Path):
    shop = make_shop(tmp_path, RATES)
    result = diagnose.run(shop)
    rows = {row["problem_id"]: row for row in read_jsonl(shop.run.stage("diagnose").path / SOLVE_RATES)}
    assert list(rows) == list(RATES)
    for key, row in rows.items():
        assert row["low"] <= row["solve_rate"] == row["right"] / row["samples"] <= row["high"]
        assert row["solve_rate"] == result["solve_rates"][key]
    assert rows["p00"]["bucket"] == "absent" and rows["p00"]["low"] == 0


def test_equal_numbers_are_a_fixed_k(tmp_path: Path):
    shop = make_shop(tmp_path, RATES, samples=8, max_samples=8)
    result = diagnose.run(shop)
    assert asked(shop.fake) == [dict.fromkeys(RATES, 8)]
    assert result["counts"]["saved"] == 0


def test_where_nothing_is_sampled_every_problem_counts_as_absent(tmp_path: Path):
    shop = make_shop(tmp_path, RATES, samples=0, max_samples=0)
    result = diagnose.run(shop)
    assert asked(shop.fake) == [] and result["buckets"] == {"mastered": 0, "inconsistent": 0, "absent": len(RATES)}
    assert set(result["solve_rates"].values()) == {0.0} and read_trajectories(journal(shop)) == {}
    assert "nothing is sampled" in (tmp_path / "log.txt").read_text()


def test_the_last_round_is_cut_to_the_most(tmp_path: Path):
    shop = make_shop(tmp_path, {"p": 0.0}, samples=4, max_samples=10)
    diagnose.run(shop)
    assert [call["p"] for call in asked(shop.fake)] == [4, 4, 2]


def test_inconsistent_problems_go_on_until_enough_can_be_taught(tmp_path: Path):
    shop = make_shop(tmp_path, {f"q{i}": 0.25 for i in range(40)}, samples=4, max_samples=64)
    diagnose.run(shop)
    for trajectories in read_trajectories(journal(shop)).values():
        right = [t.strict for t in trajectories]
        before = right[:-4]
        assert sum(right) >= 2 and (sum(before) < 2 or all(before))


def test_seeds_are_of_the_problem_and_the_round(tmp_path: Path):
    shop = make_shop(tmp_path, RATES)
    diagnose.run(shop)
    seeds = [request.seed for requests in shop.fake.asked for request in requests]
    assert len(set(seeds)) == len(seeds)
    other = make_shop(tmp_path / "other", dict(reversed(RATES.items())))
    diagnose.run(other)
    ours, theirs = ({r.problem.id: r.seed for r in s.fake.asked[1] if r.problem.id in RATES} for s in (shop, other))
    assert {key: ours[key] for key in theirs if key in ours} == {key: theirs[key] for key in theirs if key in ours}


@pytest.mark.parametrize("remote", [False, True])
@pytest.mark.parametrize(
    ("groups", "torn"), [(0, 0), (1, 1), (7, 300), (16, 0), (17, 3000), (25, 1), (33, 300), (40, 3000)]
)
def test_a_killed_diagnosis_ends_as_one_that_was_not(tmp_path: Path, groups: int, torn: int, remote: bool):
    """Killed after some groups, with `torn` bytes of the journal's end lost: a torn line or half a group."""
    calm, killed = (make_shop(tmp_path / name, RATES) for name in ("calm", "killed"))
    expected = diagnose.run(calm)
    killed.fake.dies_after = groups
    with pytest.raises(Killed):
        diagnose.run(killed)
    before = sum(len(call) for call in killed.fake.asked)
    if journal(killed).exists():
        content = journal(killed).read_bytes()
        journal(killed).write_bytes(content[: max(0, len(content) - torn)])
    again = make_shop(tmp_path / "killed", RATES)
    again.fake.remote = remote
    assert diagnose.run(again) == expected
    assert journal(again).read_bytes() == journal(calm).read_bytes()
    first, second = ({k: sorted(ts, key=lambda t: t.sample) for k, ts in found.items()} for found in texts(calm, again))
    assert first == second
    drawn = sum(sum(call.values()) for call in asked(again.fake))
    # In process the round of the kill is drawn as a whole again.
    done = groups - 3 if remote else max(0, groups - len(RATES) - 3)
    assert drawn <= expected["sampling"]["drawn"] - 4 * done and before > 0, "what is done is not done again"
    # Distillation reads the very same samples, by the later copy of each.
    for shop, result in ((calm, expected), (again, expected)):
        shop.run.stage("diagnose").finish(result)
    assert distill.run(calm) == distill.run(again)


def test_a_killed_call_is_made_again_as_it_was_and_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The bits of a completion depend on its company in the call."""
    monkeypatch.setattr(diagnose, "BLOCK_BUDGETS", 1)
    # Of four completions of five problems, 100 tokens each.
    shops = (make_shop(tmp_path / name, RATES, batch_tokens=2000) for name in ("calm", "killed", "killed"))
    calm, killed, again = shops
    diagnose.run(calm)
    calls = asked(calm.fake)
    assert [len(call) for call in calls[:4]] == [5, 5, 5, 1]
    killed.fake.dies_after = 7
    with pytest.raises(Killed):
        diagnose.run(killed)
    diagnose.run(again)
    assert asked(again.fake) == calls[1:]
    assert journal(again).read_bytes() == journal(calm).read_bytes()


def texts(*shops: FakeShop) -> list[dict[str, list[Trajectory]]]:
    return [dict(by_problem(journal(shop), set(RATES))) for shop in shops]


def test_a_finished_journal_needs_no_model(tmp_path: Path):
    shop = make_shop(tmp_path, RATES)
    expected = diagnose.run(shop)
    again = make_shop(tmp_path, RATES)
    assert diagnose.run(again) == expected
    assert again.fake.asked == [] and not again.fake.closed


def test_a_group_written_twice_counts_once(tmp_path: Path):
    file = tmp_path / "t.jsonl"
    rows = [Trajectory("p", i, f"text {i}").to_json() for i in range(4)]
    append_jsonl(file, rows[:2])
    append_jsonl(file, rows)
    assert [t.sample for t in read_trajectories(file)["p"]] == [0, 1, 2, 3]


def test_by_problem_puts_scattered_rounds_together_with_their_log_probabilities(tmp_path: Path):
    file = tmp_path / "t.jsonl"
    for sample in range(3):
        append_jsonl(file, [Trajectory(k, sample, f"{k}ä{sample}", (1,), (-0.5,)).to_json() for k in ("a", "b", "c")])
    found = dict(by_problem(file, {"a", "c"}))
    assert {key: [t.text for t in ts] for key, ts in found.items()} == {
        "a": ["aä0", "aä1", "aä2"],
        "c": ["cä0", "cä1", "cä2"],
    }
    assert all(t.logprobs == (-0.5,) for ts in found.values() for t in ts)


def rollout(key: str, sample: int, version: int, right: bool) -> dict[str, Any]:
    verdict = Verdict(right, True, "0", "box")
    text = completion("0", f"{key} {sample} of {version}")
    # As RL leaves them, the first of a group has what the sampler wrote.
    said = ((7, 8), (-0.5, -1.0)) if sample == 0 else ((), ())
    return Trajectory(key, sample, text, *said, weights_version=version, source="rl", verdict=verdict).to_json()


def rl_with(shop: FakeShop, rows: list[dict[str, Any]], final: int) -> None:
    stage = shop.run.stage("rl")
    write_jsonl(stage.path / "trajectories-000005.jsonl", rows[: len(rows) // 2])
    write_jsonl(stage.path / "trajectories-000010.jsonl", rows[len(rows) // 2 :])
    stage.finish({"seconds": 1.0, "weights_version": final})


def test_fresh_rollouts_count_as_samples_and_stale_or_later_ones_do_not(tmp_path: Path):
    shop = make_shop(tmp_path, {"p": 0.0, "q": 0.0}, reuse_rl=True, reuse_staleness=2, max_samples=8)
    versions = [3, 4, 5, 6, 7]
    rows = [rollout("p", i, version, right=i == 0) for version in versions for i in range(2)]
    rl_with(shop, [*rows, rollout("gone", 0, 6, right=True)], final=6)
    result = diagnose.run(shop)
    held = read_trajectories(journal(shop))
    reused = [t for t in held["p"] if t.sample >= 8]
    assert [t.weights_version for t in reused] == [6, 6, 5, 5, 4, 4]
    assert [t.sample for t in reused] == list(range(8, 14))
    assert all(t.tokens and not t.logprobs for t in dict(by_problem(journal(shop), {"p"}))["p"] if t.sample >= 8)
    # Three right and three wrong ones settle p at once; q has none, and gets all its rounds.
    assert asked(shop.fake) == [{"q": 4}, {"q": 4}]
    assert result["solve_rates"] == {"p": 0.5, "q": 0.0}
    assert result["sampling"]["reused"] == 6 and result["sampling"]["drawn"] == 8
    assert result["counts"] == {"problems": 2, "used": 14, "saved": 8}


def test_reused_samples_take_the_place_of_the_last_rounds(tmp_path: Path):
    rates = {"p": 0.0, "q": 0.0}
    shop = make_shop(tmp_path, rates, reuse_rl=True, samples=4, max_samples=10)
    rl_with(shop, [rollout("p", i, 6, right=False) for i in range(5)], final=6)
    diagnose.run(shop)
    assert [call.get("p") for call in asked(shop.fake)] == [4, 1, None]
    assert [call.get("q") for call in asked(shop.fake)] == [4, 4, 2]


def test_without_being_asked_nothing_is_reused(tmp_path: Path):
    shop = make_shop(tmp_path, {"p": 0.0})
    rl_with(shop, [rollout("p", i, 6, right=True) for i in range(8)], final=6)
    assert diagnose.run(shop)["solve_rates"] == {"p": 0.0}


def test_reuse_survives_a_kill(tmp_path: Path):
    settings = {"reuse_rl": True, "max_samples": 8}
    calm, killed = (make_shop(tmp_path / name, RATES, **settings) for name in ("calm", "killed"))
    rows = [rollout(key, i, 6, right=i % 2 == 0) for key in list(RATES)[3:12] for i in range(3)]
    for shop in (calm, killed):
        rl_with(shop, rows, final=6)
    expected = diagnose.run(calm)
    killed.fake.dies_after = 3
    with pytest.raises(Killed):
        diagnose.run(killed)
    content = journal(killed).read_bytes()
    for left in (len(content) // 3, len(content) // 2):
        journal(killed).write_bytes(content[:left])
        assert diagnose.run(make_shop(tmp_path / "killed", RATES, **settings)) == expected
