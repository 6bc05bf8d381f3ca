from __future__ import annotations

from pathlib import Path

import pytest
from expert_shop import Shop, endpoint
from rich.console import Console
from scripted_chat import RIGHT, WRONG, ChatServer, said, text_of

from metis_rise.stages import expert
from metis_rise.stages.experts.plan import Plan
from metis_rise.stages.experts.plan_table import print_plan

PRICED = {"price_in": 10.0, "price_out": 50.0, "max_tokens": 400, "temperatures": "[null, 0.7]"}


def planned(shop: Shop) -> Plan:
    return expert.plan(shop)  # type: ignore[arg-type]


def printed(plan: Plan, capsys: pytest.CaptureFixture[str]) -> str:
    print_plan(plan, Console(width=160))
    return capsys.readouterr().out


def test_a_dry_run_says_what_would_be_asked_and_asks_nobody(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    with ChatServer(lambda call: said(RIGHT)) as server:
        experts = [endpoint(server.url, **PRICED), endpoint(server.url, "other", **PRICED | {"price_in": 0})]
        shop = Shop(tmp_path, experts, ["expert.budget.money=3"], count=8)
        plan = planned(shop)
        assert server.calls == []
    big, other = plan.lines
    assert (big.calls, big.calls_most, other.calls, other.calls_most) == (12, 16, 3, 16)
    assert big.completion == 12 * 100 and big.completion_most == 16 * 400
    assert big.prompt_most / 16 == pytest.approx(big.prompt / 12) and big.prompt_most > 16 * 100
    assert big.cost_most == pytest.approx((10 * big.prompt_most + 50 * 6400) / 1e6)
    out = printed(plan, capsys)
    assert "8 absent problems" in out and "12 / 16" in out and "15 calls expected, at most 32" in out
    assert "money 3" in out and "no call was made" in out


def test_what_is_in_the_journal_costs_nothing_and_says_what_to_expect(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    # Four problems are refused with both temperatures; their count is that of the stage that was run before.
    with ChatServer(lambda call: said(RIGHT if int(text_of(call).split("picture ")[1][0]) % 2 else WRONG)) as server:
        Shop(tmp_path, [endpoint(server.url, **PRICED)], count=8).do()
        more = Shop(tmp_path, [endpoint(server.url, **PRICED | {"temperatures": "[null, 0.7, 1.0]"})], count=8)
        (line,) = planned(more).lines
    assert (line.kept, line.measured, line.calls, line.calls_most) == (4, 12, 4, 4)
    assert line.acceptance == pytest.approx(4 / 12) and line.answer_tokens == 20
    assert "12 answered calls" in printed(planned(more), capsys)


def test_free_experts_take_their_problems_out_of_the_count(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    experts = ["{name: solution}", endpoint("http://127.0.0.1:9", price_in=1.0)]
    plan = planned(Shop(tmp_path, experts, count=5))
    assert [(line.kept, line.calls_most) for line in plan.lines] == [(5, 0), (0, 0)]
    assert "no prices" in printed(plan, capsys)


def test_without_a_diagnosis_every_training_problem_counts(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    shop = Shop(tmp_path, [endpoint("http://127.0.0.1:9")], count=5)
    (shop.run.stage("diagnose").path / "DONE").unlink()
    plan = planned(shop)
    assert plan.lines[0].calls_most == 5
    assert "5 training problems (diagnosis is not done" in printed(plan, capsys)
