from __future__ import annotations

import json
import threading
import time
from collections import Counter
from pathlib import Path
from random import Random
from typing import Any

import pytest
from expert_shop import Shop, endpoint, picture
from scripted_chat import LEAKED, RIGHT, WRONG, ChatServer, bodies, pictures_of, refused, said, text_of, too_many
from scripted_server import BROKEN, DROP, FAULTS, Act, Call

from metis_rise.engines.server import fleet
from metis_rise.engines.server.faults import NotSampled
from metis_rise.engines.server.settings import ServerSettings
from metis_rise.errors import InputError
from metis_rise.recipe.expert import ExpertEntry
from metis_rise.run import read_jsonl, write_jsonl
from metis_rise.stages.experts import endpoint as endpoint_module
from metis_rise.types import Trajectory

KEY = "sk-very-secret-0123"


@pytest.fixture(autouse=True)
def _hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """The endpoint's settings, with a short patience."""
    patient = endpoint_module.settings_of

    def hasty(entry: ExpertEntry) -> ServerSettings:
        found = patient(entry)
        quick: dict[str, Any] = {"timeout_s": 60.0, "backoff_s": 0.002, "longest_pause_s": 0.01, "retries": 2}
        return ServerSettings(found.urls, found.concurrency, api_key_env=found.api_key_env, **quick)

    monkeypatch.setattr(endpoint_module, "settings_of", hasty)


def right(call: Call) -> Act:
    return said(RIGHT)


def by_picture(replies: dict[int, Act]) -> Any:
    """A script that answers by the picture's number in the question."""
    return lambda call: next(act for index, act in replies.items() if f"picture {index}?" in text_of(call))


def test_a_picture_that_was_changed_is_not_shown(tmp_path: Path):
    with ChatServer(right) as server:
        shop = Shop(tmp_path, [endpoint(server.url)], count=1)
        (file,) = shop.store.folder.iterdir()
        file.write_bytes(picture(7))
        with pytest.raises(InputError, match=f"{file.name}: the picture was changed or damaged"):
            shop.do()
        assert server.asked == []


def test_each_problem_is_asked_once_with_its_own_pictures_byte_for_byte(tmp_path: Path):
    with ChatServer(right) as server:
        shop = Shop(tmp_path, [endpoint(server.url)], count=5)
        found = shop.do()
        assert sorted(pictures_of(call)[0] for call in server.asked) == sorted(picture(i) for i in range(5))
        for call in server.asked:
            (number,) = [i for i in range(5) if f"picture {i}?" in text_of(call)]
            assert pictures_of(call) == [picture(number)]
            assert [part["type"] for part in call.body["messages"][-1]["content"]] == ["image_url", "text"]
            assert "\\boxed{}" in call.body["messages"][0]["content"][0]["text"], "the format is asked for"
        assert {(b["model"], b["n"], b["max_tokens"], "temperature" in b) for b in bodies(server.asked)} == {
            ("big", 1, 4096, False)
        }
        assert len(server.probes) == 1
    assert found["counts"] == {"problems": 5, "asked": 5, "kept": 5, "used": 5}
    assert found["experts"]["big"] | {"cost": 0} == {
        "kept": 5,
        "refused": {},
        "calls": 6,
        "prompt_tokens": 600,
        "completion_tokens": 120,
        "cost": 0,
    }
    assert [row["problem_id"] for row in shop.rows("trajectories-0000.jsonl")] == [f"p{i}" for i in range(5)]


def test_every_reply_that_is_not_good_is_refused_with_its_reason(tmp_path: Path):
    replies = {
        0: said(WRONG, RIGHT),
        1: said(WRONG, WRONG),
        2: said("seven"),
        3: said(None),
        4: said(f"<think> {'on and on ' * 99}</think><answer>\\boxed{{7}}</answer>"),
        5: said(LEAKED),
        6: said("<think> So the answer is 9. </think><answer>\\boxed{7}</answer>"),
        7: said("<think> There are 7", finish="length"),
    }
    with ChatServer(by_picture(replies)) as server:
        shop = Shop(tmp_path, [endpoint(server.url, samples=2)], count=8)
        found = shop.do()
        assert {body["n"] for body in bodies(server.asked)} == {2}
    assert found["counts"] == {"problems": 8, "asked": 8, "kept": 1, "used": 1}
    reasons = (
        "wrong answer",
        "bad format",
        "no solution",
        "over sampling.max_tokens",
        "betrays the hint",
        "reasoning announces another answer",
        "cut off by max_tokens",
    )
    assert found["dropped"] == dict.fromkeys(reasons, 1)
    assert found["experts"]["big"]["refused"] == {reason: 1 for reason in reasons if reason != "no solution"} | {
        "wrong answer": 3
    }
    (row,) = shop.rows("trajectories-0000.jsonl")
    assert (row["text"], row["problem_id"], row["source"]) == (RIGHT, "p0", "expert")
    outcomes = shop.rows("outcomes.jsonl")
    assert [row["problem"] for row in outcomes] == [f"p{i}" for i in range(8)]
    assert outcomes[5]["reason"] == "betrays the hint" and not outcomes[5]["kept"]


def test_refused_problems_go_on_with_other_temperatures_and_then_to_the_next_expert(tmp_path: Path):
    def first(call: Call) -> Act:
        index = int(text_of(call).split("picture ")[1].split("?")[0])
        temperature = call.body.get("temperature")
        return said(RIGHT if (index, temperature) in {(0, None), (1, 0.7)} else WRONG)

    with ChatServer(first, ("a",)) as a, ChatServer(right, ("b",)) as b:
        ways = {"temperatures": "[null, 0.7, 1.0]"}
        shop = Shop(tmp_path, [endpoint(a.url, "a", **ways), endpoint(b.url, "b", **ways)], count=3)
        found = shop.do()
        tried = {i: [c.body.get("temperature") for c in a.asked if f"picture {i}?" in text_of(c)] for i in range(3)}
        assert tried == {0: [None], 1: [None, 0.7], 2: [None, 0.7, 1.0]}
        assert ["picture 2?" in text_of(call) for call in b.asked] == [True]
    assert [(row["expert"], row["attempt"]) for row in shop.rows("outcomes.jsonl")] == [("a", 0), ("a", 1), ("b", 0)]
    assert (found["experts"]["a"]["kept"], found["experts"]["b"]["kept"]) == (2, 1)
    assert found["experts"]["a"]["refused"] == {"wrong answer": 4}


def test_free_experts_stand_in_the_same_order_and_cost_nothing(tmp_path: Path):
    with ChatServer(lambda call: said(WRONG)) as server:
        shop = Shop(tmp_path / "a", [endpoint(server.url), "{name: solution}"], count=3)
        found = shop.do()
        assert len(server.asked) == 3 and found["experts"]["solution"] == {"kept": 3, "refused": {}}
        assert {row["expert"] for row in shop.rows("outcomes.jsonl")} == {"solution"}
    with ChatServer(right) as server:
        shop = Shop(tmp_path / "b", ["{name: world}", "{name: solution}", endpoint(server.url)], count=3)
        assert shop.do()["counts"]["kept"] == 3
        assert server.asked == []


def test_calls_of_several_experts_overlap(tmp_path: Path):
    """Each expert answers its second call only while the other one is being asked."""
    busy = {"a": threading.Event(), "b": threading.Event()}

    def script(own: str, other: str, text: str) -> Any:
        def answer(call: Call) -> Act:
            busy[own].set()
            if own == "b" or "picture 9?" in text_of(call):
                assert busy[other].wait(60)
            return said(text)

        return answer

    with ChatServer(script("a", "b", WRONG), ("a",)) as a, ChatServer(script("b", "a", RIGHT), ("b",)) as b:
        shop = Shop(tmp_path, [endpoint(x.url, n, concurrency=1) for x, n in ((a, "a"), (b, "b"))], count=10)
        assert shop.do()["counts"]["kept"] == 10
        assert a.most_at_once == b.most_at_once == 1


def test_concurrency_is_bounded(tmp_path: Path):
    with ChatServer(right) as server:
        Shop(tmp_path, [endpoint(server.url, concurrency=3)], count=20).do()
        assert 1 <= server.most_at_once <= 3


def test_faults_and_rate_limits_are_survived_and_each_answer_is_paid_once(tmp_path: Path):
    draw, faults = Random(5), Counter[str]()

    def script(call: Call) -> Act:
        # Of one problem not more than are survived, in whatever order the calls come.
        if draw.random() < 0.3 and faults[text_of(call)] < 2:
            faults[text_of(call)] += 1
            return draw.choice([*(f for f in FAULTS if not f.stall), too_many("0"), too_many("1"), DROP])
        return said(RIGHT)

    with ChatServer(script) as server:
        shop = Shop(tmp_path, [endpoint(server.url), endpoint(server.url, "spare", model="big")], count=30)
        found = shop.do()
    assert found["counts"]["kept"] == 30
    answers = [row for row in shop.rows("answers.jsonl") if row["problem"]]
    assert len({row["key"] for row in answers}) == len(answers) == 30


def test_retry_after_holds_all_calls_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(
        endpoint_module,
        "settings_of",
        lambda entry: ServerSettings((entry.url,), entry.concurrency, backoff_s=0.01, longest_pause_s=2.0),
    )
    times: list[float] = []
    known, pause_before = threading.Event(), fleet.pause_before

    def heard(attempt: int, settings: ServerSettings, asked: float | None) -> float:
        known.set()
        return pause_before(attempt, settings, asked)

    def script(call: Call) -> Act:
        """The first call is refused; the others are answered when its caller knows that."""
        times.append(time.monotonic())
        if call is server.asked[0]:
            return too_many("1")
        assert known.wait(60)
        return said(RIGHT)

    monkeypatch.setattr(fleet, "pause_before", heard)
    with ChatServer(script) as server:
        Shop(tmp_path, [endpoint(server.url, concurrency=3)], count=9).do()
    assert sum(at - times[0] < 0.9 for at in times) <= 3, "only calls that were under way already"
    assert len(times) == 10


def test_nothing_is_asked_twice_when_it_is_run_again(tmp_path: Path):
    with ChatServer(lambda call: said(WRONG) if "picture 2?" in text_of(call) else said(RIGHT)) as server:
        experts = [endpoint(server.url, temperatures="[null, 0.5]")]
        first = Shop(tmp_path, experts).do()
        assert len(server.asked) == 5
        with (tmp_path / "run" / "4-expert" / "answers.jsonl").open("a") as file:
            file.write('{"key": "torn')
        assert Shop(tmp_path, experts).do() == first
        assert (len(server.asked), len(server.probes)) == (5, 1)
        changed = [endpoint(server.url, temperatures="[null, 0.6]")]
        Shop(tmp_path, changed).do()
        assert len(server.asked) == 6, "only the attempt that is another one is asked"
        Shop(tmp_path, changed, ["expert.knowledge=[]"]).do()
        assert len(server.asked) == 11, "another prompt is another call"


def test_two_problems_that_ask_the_same_pay_once(tmp_path: Path):
    with ChatServer(right) as server:
        shop = Shop(tmp_path, [endpoint(server.url)], count=1)
        twin = shop.problem(0)
        shop.sets.train.append(type(twin)(**{name: getattr(twin, name) for name in twin.__slots__} | {"id": "twin"}))
        shop.run.stage("diagnose").finish({"solve_rates": {"p0": 0.0, "twin": 0.0}})
        assert shop.do()["counts"]["kept"] == 2
        assert len(server.asked) == 1


def test_failures_are_said_and_the_rest_goes_on(tmp_path: Path):
    with ChatServer(lambda call: BROKEN if "picture 2?" in text_of(call) else said(RIGHT)) as server:
        shop = Shop(tmp_path, [endpoint(server.url)])
        found = shop.do()
    assert (found["counts"]["kept"], found["dropped"]) == (3, {"call failed": 1})
    assert "expert: 1 of 4 requests failed, the first for problem 'p2'" in shop.log and "status 500" in shop.log


def test_when_everything_fails_the_stage_is_not_done(tmp_path: Path):
    with ChatServer(lambda call: refused(400, "no such thing")) as server:
        shop = Shop(tmp_path, [endpoint(server.url)])
        with pytest.raises(NotSampled, match=r"4 of 4 requests failed.*no such thing"):
            shop.do()


def test_an_endpoint_that_dies_ends_the_stage_and_what_was_answered_is_kept(tmp_path: Path):
    def dies(call: Call) -> Act:
        if len(server.asked) > 4:
            server.kill()
        return said(RIGHT)

    with ChatServer(dies) as server:
        shop = Shop(tmp_path, [endpoint(server.url, concurrency=2)], count=10)
        with pytest.raises(NotSampled, match="no server is left"):
            shop.do()
    held = [row for row in shop.rows("answers.jsonl") if row["problem"]]
    assert 1 <= len(held) < 10
    with ChatServer(right) as second:
        again = Shop(tmp_path, [endpoint(second.url)], count=10)
        assert again.do()["counts"]["kept"] == 10
        assert len(second.asked) == 10 - len(held)


def test_the_next_expert_takes_over_from_one_that_is_not_there(tmp_path: Path):
    with ChatServer(right) as gone:
        url = gone.url
    with ChatServer(right, ("b",)) as server:
        shop = Shop(tmp_path, [endpoint(url, "a"), endpoint(server.url, "b")], count=3)
        assert shop.do()["counts"]["kept"] == 3
    assert "is taken out" in shop.log


def test_the_key_is_written_nowhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setenv("RISE_TEST_KEY", KEY)

    def script(call: Call) -> Act:
        assert call.headers["Authorization"] == f"Bearer {KEY}"
        return refused(403, f"{KEY} is spent") if "picture 1?" in text_of(call) else said(RIGHT)

    with ChatServer(script) as server:
        Shop(tmp_path, [endpoint(server.url, api_key_env="RISE_TEST_KEY")]).do()
    output = capsys.readouterr()
    written = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert KEY.encode() not in written and KEY not in output.out + output.err
    assert b"*** is spent" in written


def bad(shop: Shop) -> str:
    """The one line that a stage ends with."""
    with pytest.raises(InputError) as error:
        shop.do()
    (line,) = str(error.value).splitlines()
    return line


def test_a_key_that_is_not_set_is_named_before_anything_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("RISE_TEST_KEY", raising=False)
    with ChatServer(right) as server:
        line = bad(Shop(tmp_path, [endpoint(server.url, api_key_env="RISE_TEST_KEY")]))
        assert line.startswith("expert 'big': the environment variable RISE_TEST_KEY is not set")
        assert server.calls == []


def test_a_model_that_the_endpoint_does_not_list_is_named_before_anything_is_paid_for(tmp_path: Path):
    with ChatServer(right, models=("small", "medium")) as server:
        line = bad(Shop(tmp_path, [endpoint(server.url)]))
        assert "has no model 'big'; it has: small, medium" in line
        assert [call.method for call in server.calls] == ["GET"]


def test_a_model_that_is_refused_where_there_is_no_list_costs_one_call(tmp_path: Path):
    with ChatServer(right, models=None, probe=refused(404, "The model does not exist")) as server:
        line = bad(Shop(tmp_path, [endpoint(server.url)]))
        assert "has no model 'big'" in line and "The model does not exist" in line
        assert len(server.probes) == 1 and server.asked == []


def test_a_key_that_is_refused_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("RISE_TEST_KEY", KEY)
    with ChatServer(right, models=None, probe=refused(401, "bad key")) as server:
        line = bad(Shop(tmp_path, [endpoint(server.url, api_key_env="RISE_TEST_KEY")]))
        assert "refuses the key in RISE_TEST_KEY" in line and server.asked == []


def test_an_endpoint_that_refuses_pictures_is_found_out_by_one_call(tmp_path: Path):
    with ChatServer(right, probe=refused(400, "image input is not supported")) as server:
        line = bad(Shop(tmp_path, [endpoint(server.url)], count=50))
        assert "model 'big' refuses pictures" in line and "image input is not supported" in line
        assert len(server.probes) == 1 and server.asked == []


def test_problems_without_pictures_are_not_probed_for(tmp_path: Path):
    with ChatServer(right, probe=refused(400, "image input is not supported")) as server:
        shop = Shop(tmp_path, [endpoint(server.url)], count=2)
        shop.sets.train[:] = [type(p)(p.id, p.question, p.answer, p.answer_type) for p in shop.sets.train]
        assert shop.do()["counts"]["kept"] == 2 and server.probes == []


PRICED = {"price_in": 10.0, "price_out": 50.0, "max_tokens": 100, "concurrency": 4}
# A call's usage of 100 and 20 tokens costs 0.002.


def test_a_spent_budget_ends_the_stage_with_what_is_there_and_says_so(tmp_path: Path):
    with ChatServer(right) as server:
        experts = [endpoint(server.url, **PRICED)]
        shop = Shop(tmp_path, experts, ["expert.budget.calls=7"], count=20)
        found = shop.do()
        assert len(server.asked) + len(server.probes) == 7
        assert found["counts"]["kept"] == 6 and found["dropped"] == {"budget spent": 14}
        assert "THE BUDGET IS SPENT (calls 7 of 7): 14 of 20" in shop.log
        # Killed before it was done, it ends there again, asks nothing and raises no error.
        assert Shop(tmp_path, experts, ["expert.budget.calls=7"], count=20).do() == found
        assert len(server.asked) == 6
        more = Shop(tmp_path, experts, ["expert.budget.calls=12"], count=20).do()
        assert more["counts"]["kept"] == 11 and len(server.asked) == 11


@pytest.mark.parametrize("cap", ["money=0.02", "tokens=1500"])
def test_money_and_tokens_are_never_overspent_whatever_is_in_flight(tmp_path: Path, cap: str):
    with ChatServer(lambda call: said(RIGHT, usage=(100, 100))) as server:
        shop = Shop(
            tmp_path, [endpoint(server.url, **PRICED)], [f"expert.budget.{cap}", "expert.system=null"], count=40
        )
        found = shop.do()
    spent = found["experts"]["big"]
    assert found["dropped"]["budget spent"] > 20
    tokens = spent["prompt_tokens"] + spent["completion_tokens"]
    assert spent["cost"] == pytest.approx(0.006 * (spent["calls"] - 1) + 0.002)
    if cap.startswith("money"):
        assert 0.01 <= spent["cost"] <= 0.02
    else:
        assert 900 <= tokens <= 1500


def test_a_budget_that_was_spent_before_is_one_line_before_any_call(tmp_path: Path):
    with ChatServer(right) as server:
        experts = [endpoint(server.url, **PRICED)]
        Shop(tmp_path, experts, count=4).do()
        before = len(server.calls)
        shop = Shop(tmp_path, experts, ["expert.budget.money=0.005"], count=8)
        line = bad(shop)
        assert line.startswith("expert.budget.money = 0.005: 0.01 spent already, and the next call may need")
        assert [call.method for call in server.calls[before:]] == ["GET"]


def test_a_budget_too_small_for_one_call_is_one_line_before_any_call(tmp_path: Path):
    with ChatServer(right) as server:
        line = bad(Shop(tmp_path, [endpoint(server.url, **PRICED)], ["expert.budget.tokens=30"]))
        assert line.startswith("expert.budget.tokens = 30: 0 spent already, and the next call may need")
        assert server.probes == server.asked == []


def second_round(tmp_path: Path, experts: list[str], budget: str, count: int) -> Shop:
    """The stage in a second round, whose diagnosis and distillation are those of the first."""
    shop = Shop(tmp_path, experts, [budget], count=count)
    first, shop.run = shop.run, shop.run.in_round(2)
    shop.run.stage("diagnose").finish(first.stage("diagnose").result())
    for name in ("trajectories-0000.jsonl", "replay-0000.jsonl"):
        write_jsonl(shop.run.stage("distill").path / name, [])
    return shop


def test_a_later_round_ends_where_the_budget_does_and_pays_for_nothing_twice(tmp_path: Path):
    with ChatServer(right) as server:
        experts, budget = [endpoint(server.url, **PRICED)], "expert.budget.calls=5"
        first = Shop(tmp_path, experts, [budget], count=4).do()
        assert first["counts"]["kept"] == 4 and "BUDGET" not in (tmp_path / "run" / "log.txt").read_text()
        shop = second_round(tmp_path, experts, budget, count=6)
        found = shop.do()
        assert len(server.asked) == 4
    assert found["counts"]["kept"] == 4 and found["dropped"] == {"budget spent": 2}
    assert "warning: round-2: expert: THE BUDGET IS SPENT (calls 5 of 5): 2 of 6" in shop.log
    assert [row["problem_id"] for row in shop.rows("trajectories-0000.jsonl")] == ["p0", "p1", "p2", "p3"]


def test_answers_that_were_taken_over_are_not_paid_for_again_nor_counted(tmp_path: Path):
    with ChatServer(right) as server:
        experts = [endpoint(server.url, **PRICED)]
        Shop(tmp_path / "a", experts, count=4).do()
        source, target = (tmp_path / name / "run" / "4-expert" for name in "ab")
        shop = Shop(tmp_path / "b", experts, ["expert.budget.calls=2"], count=6)
        write_jsonl(target / "answers-taken.jsonl", read_jsonl(source / "answers.jsonl"))
        found = shop.do()
        assert (len(server.asked), len(server.probes)) == (6, 1)
    assert found["counts"]["kept"] == 6 and found["experts"]["big"]["calls"] == 2


def test_a_curriculum_stage_that_nothing_can_come_to_is_said_before_anybody_is_asked(tmp_path: Path):
    stages = "{name: own, data: [self]}, {name: far, data: [expert], levels: [7]}, {name: taught, data: [expert]}"
    said_first: list[str] = []

    def script(call: Call) -> Act:
        said_first.append((tmp_path / "run" / "log.txt").read_text())
        return said(RIGHT)

    with ChatServer(script) as server:
        shop = Shop(tmp_path, [endpoint(server.url)], [f"sft.stages=[{stages}]"])
        assert shop.do()["counts"]["kept"] == 4
    for name, data in (("own", "self"), ("far", "expert")):
        line = f"warning: sft: curriculum stage {name} will have no example, whatever the experts answer"
        assert line in said_first[0] and f"fits its data ({data}) and selection; it will be skipped" in said_first[0]
    assert "stage taught" not in shop.log


def test_a_curriculum_stage_of_own_trajectories_needs_some_that_were_kept(tmp_path: Path):
    stages = "{name: own, data: [self]}, {name: taught, data: [expert]}"
    with ChatServer(right) as server:
        shop = Shop(tmp_path, [endpoint(server.url)], [f"sft.stages=[{stages}]", "expert.max_problems=2"], count=5)
        shop.run.stage("diagnose").finish({"solve_rates": {f"p{i}": 0.5 if i == 1 else 0.0 for i in range(5)}})
        shop.do()
        assert "stage own will have no example" in shop.log, "what is solved sometimes may all be refused"
        write_jsonl(shop.run.stage("distill").path / "trajectories-0000.jsonl", [Trajectory("p1", 0, "x").to_json()])
        before = shop.log
        shop.do()
        assert shop.log == before


def test_usage_that_an_endpoint_does_not_report_is_estimated(tmp_path: Path):
    with ChatServer(lambda call: said(RIGHT, usage=None), probe=said("red", usage=None)) as server:
        spent = Shop(tmp_path, [endpoint(server.url, **PRICED)], count=2).do()["experts"]["big"]
    assert spent["prompt_tokens"] > 200 and spent["completion_tokens"] > 30 and spent["cost"] > 0


def test_an_answer_with_broken_characters_is_kept_and_judged(tmp_path: Path):
    broken = json.loads('"<think> There are 7 \\ud800 dots. </think><answer>\\\\boxed{7}</answer>"')
    with ChatServer(lambda call: said(broken)) as server:
        shop = Shop(tmp_path, [endpoint(server.url)], count=2)
        assert shop.do()["counts"]["kept"] == 2
        assert Shop(tmp_path, [endpoint(server.url)], count=2).do()["counts"]["kept"] == 2


@pytest.mark.parametrize("token", ["<|im_end|>", "<|image_pad|>"])
def test_a_reply_with_a_chat_token_cannot_be_taught(tmp_path: Path, token: str):
    with ChatServer(lambda call: said(RIGHT.replace("There", f"There {token}"))) as server:
        found = Shop(tmp_path, [endpoint(server.url)], count=2).do()
    assert found["counts"]["kept"] == 0 and found["dropped"] == {"holds a chat token": 2}


def test_only_so_many_problems_are_asked(tmp_path: Path):
    with ChatServer(right) as server:
        shop = Shop(tmp_path, [endpoint(server.url)], ["expert.max_problems=3"], count=9)
        found = shop.do()
        assert len(server.asked) == 3 and found["counts"] == {"problems": 9, "asked": 3, "kept": 3, "used": 3}
    reasons = Counter(row["reason"] for row in shop.rows("outcomes.jsonl"))
    assert reasons == {"": 3, "not asked: over expert.max_problems": 6}


def test_nobody_is_asked_where_no_problem_may_be(tmp_path: Path):
    with ChatServer(right) as server:
        found = Shop(tmp_path, [endpoint(server.url)], ["expert.max_problems=0"], count=4).do()
        assert server.asked == [] and found["counts"] == {"problems": 4, "asked": 0, "kept": 0, "used": 0}


def test_prompts_hold_what_the_recipe_tells(tmp_path: Path):
    with ChatServer(right) as server:
        shop = Shop(
            tmp_path, [endpoint(server.url)], ["expert.knowledge=[failed_attempts, reference_solution]"], count=1
        )
        shop.fail(0, "There are 9", "There are 5", "I see 9")
        shop.do()
        text = text_of(server.asked[0])
    assert "There are 9" in text and "There are 5" in text and "I see 9" not in text
    assert "its answer 9 is wrong" in text and "Count 0." in text and "Result:" not in text
