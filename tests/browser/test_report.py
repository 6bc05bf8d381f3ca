"""The report in a browser: it opens quietly, filters filter, plots have their points, strange text stays text."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path
from typing import Any

import pytest
from browsing import edit_lines, opened
from fake_run import make_run
from playwright.sync_api import Browser, Page, expect

import metis_rise
from metis_rise.report import write_report

TOKENIZER = Path(metis_rise.__file__).parent / "assets" / "tiny_base" / "tokenizer.json"
MARK = "pwned"
_DO = f"document.documentElement.setAttribute('{MARK}',1)"
ATTACKS = (
    f"<script>{_DO}</script>",
    f"</script><script>{_DO}</script>",
    f'<!--<script><img src=x onerror="{_DO}">',
    f"<svg onload={_DO}>",
    f'<a href="javascript:{_DO}">x</a>',
)

CONTRAST = (Path(__file__).parent / "contrast.js").read_text(encoding="utf-8")


def answers(page: Page) -> int:
    """How many answers the page says that the filters leave."""
    return int((page.locator("#found").text_content() or "").split()[0].replace(",", ""))


def choose(page: Page, name: str, value: str) -> None:
    """Sets a filter, and waits until the page has followed: its address says so last."""
    page.locator(f"#filters [name={name}]").select_option(value)
    expect(page).to_have_url(re.compile(rf"[#&]{name}=" if value else rf"^(?!.*[#&]{name}=)"))


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 360])
def test_it_opens_without_a_complaint_and_fits(browser: Browser, report: Path, scheme: Any, width: int):
    with opened(browser, report, viewport={"width": width, "height": 800}, color_scheme=scheme) as page:
        assert page.locator("#cards article").count() == 12
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        paper, ink = (page.evaluate(f"getComputedStyle(document.body).{name}") for name in ("backgroundColor", "color"))
        light = [sum(map(int, colour[4:-1].split(","))) for colour in (paper, ink)]
        assert (light[0] > light[1]) == (scheme == "light")


def test_filters_leave_what_they_say(browser: Browser, report: Path):
    with opened(browser, report) as page:
        data = page.evaluate("JSON.parse(document.getElementById('data').textContent)")["problems"]
        everything = [(problem, answer) for problem in data for answer in problem["answers"]]
        assert answers(page) == len(everything)
        for name, value, kept in (
            ("stage", "expert", lambda p, a: a["stage"] == "expert"),
            ("source", "rise", lambda p, a: a["source"] == "rise"),
            ("family", "dial", lambda p, a: p["family"] == "dial"),
            ("bucket", "absent", lambda p, a: p["bucket"] == "absent"),
            ("mark", "wrong", lambda p, a: not a["right"]),
            ("change", "gained by SFT", lambda p, a: p["change"] == "gained by SFT"),
        ):
            choose(page, name, value)
            assert 0 < answers(page) == sum(kept(*each) for each in everything), name
            choose(page, name, "")


def test_filters_work_together_and_are_kept_when_the_page_loads_itself_again(browser: Browser, report: Path):
    with opened(browser, report) as page:
        choose(page, "family", "dial")
        choose(page, "mark", "right")
        left = answers(page)
        assert page.locator("#cards .mark.no").count() == 0 < page.locator("#cards .mark.yes").count()
        assert {text.split(" · ")[1] for text in page.locator("#cards .facts").all_text_contents()} == {"dial"}
        page.reload()
        assert answers(page) == left and page.locator("[name=family]").input_value() == "dial"


def test_a_problem_is_found_by_its_id_and_has_all_stages_side_by_side(browser: Browser, report: Path):
    with opened(browser, report, "#q=test-dial-0002") as page:
        assert page.locator("#cards article").count() == 1
        titles = page.locator("#cards .answer h3")
        assert titles.all_text_contents() == ["base, greedy", "after RL, greedy", "after RISE, greedy"]
        tops = {round(box["y"]) for one in titles.all() if (box := one.bounding_box()) is not None}
        assert len(tops) == 1
        page.get_by_role("button", name="All 6 answers").click()
        assert titles.count() == 6
        page.get_by_role("button", name="Fewer").click()
        assert titles.count() == 3
        assert page.locator("#cards img").evaluate("image => image.complete && image.naturalWidth") > 0


def test_search_finds_what_answers_say(browser: Browser, report: Path):
    with opened(browser, report) as page:
        page.locator("[name=q]").fill("no such words anywhere")
        page.get_by_text("0 answers to 0 problems.").wait_for()
        assert page.locator("#cards article").count() == 0


def test_more_problems_are_shown_until_there_are_no_more(browser: Browser, report: Path):
    with opened(browser, report) as page:
        every = page.evaluate("JSON.parse(document.getElementById('data').textContent).problems.length")
        while page.locator("#more").is_visible():
            page.locator("#more").click()
        assert page.locator("#cards article").count() == every


def test_plots_have_their_points_and_say_them_on_hover(browser: Browser, report: Path):
    rows = [json.loads(line) for line in (report.parent / "metrics.jsonl").read_text().splitlines()]
    reward = [row["values"]["reward"] for row in rows if row["stage"] == "rl"]
    with opened(browser, report) as page:
        plot = page.locator("figure").filter(has=page.get_by_role("heading", name="Reward", exact=True)).locator("svg")
        assert plot.locator("circle").count() == len(reward) == 40
        heights = plot.locator("circle").evaluate_all("all => all.map((one) => one.cy.baseVal.value)")
        assert sorted(range(40), key=lambda i: -heights[i])[0] == min(range(40), key=reward.__getitem__)
        plot.locator("circle").nth(29).hover(force=True)
        assert page.locator("#tip").text_content() == f"reward, step 30: {reward[29]:.3g}"
        flow = page.locator("figure").filter(has=page.get_by_role("heading", name="Test problems")).locator("svg")
        flow.locator("rect").first.hover()
        assert (page.locator("#tip").text_content() or "").startswith("base: ")


def test_the_arrow_keys_go_through_the_points_of_a_plot(browser: Browser, report: Path):
    with opened(browser, report) as page:
        tip = page.locator("#tip")
        plot = page.locator("figure").filter(has=page.get_by_role("heading", name="Reward", exact=True)).locator("svg")
        plot.focus()
        for key, step in (("ArrowRight", 1), ("ArrowRight", 2), ("ArrowLeft", 1), ("ArrowLeft", 1)):
            page.keyboard.press(key)
            assert (tip.text_content() or "").startswith(f"reward, step {step}: ")
        page.keyboard.press("Escape")
        assert tip.is_hidden()
        bars = page.locator("figure").filter(has=page.get_by_role("heading", name="Solve rate after RL")).locator("svg")
        bars.focus()
        page.keyboard.press("ArrowLeft")
        assert (tip.text_content() or "").startswith("c about 1.00: ")
        page.keyboard.press("Tab")
        assert tip.is_hidden()


def test_everything_can_be_done_by_the_keyboard(browser: Browser, report: Path):
    with opened(browser, report) as page:
        page.locator("[name=q]").focus()
        page.keyboard.press("Tab")
        names = []
        while (name := page.evaluate("document.activeElement.name || ''")) != "":
            names.append(name)
            page.keyboard.press("Tab")
        assert names == ["stage", "source", "family", "bucket", "mark", "change"]
        page.locator("[name=family]").focus()
        page.keyboard.press("ArrowDown")
        expect(page).to_have_url(re.compile("#family="))
        opener = page.locator("#cards button.all").first
        opener.focus()
        page.keyboard.press("Enter")
        assert opener.text_content() == "Fewer" and opener.evaluate("one => one === document.activeElement")


def test_everything_has_a_name(browser: Browser, report: Path):
    with opened(browser, report) as page:
        assert page.locator("#cards img").count() > 0 < page.locator("svg").count()
        named = "all => all.map((one) => one.alt || one.getAttribute('aria-label') || '')"
        assert all(page.locator("img, svg").evaluate_all(named))
        assert all(page.locator("#filters :is(input, select)").evaluate_all("all => all.map((one) => one.labels[0])"))
        assert page.locator("h1").count() == 1 and page.locator("html").get_attribute("lang") == "en"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_all_text_can_be_read_on_what_is_behind_it(browser: Browser, report: Path, scheme: Any):
    """WCAG 2.2, 1.4.3: a contrast of 4.5 to 1, of large text 3 to 1."""
    with opened(browser, report, "#stage=evaluation", color_scheme=scheme) as page:
        page.locator("#cards button.all").first.click()
        page.locator("details").evaluate_all("all => all.forEach((one) => { one.open = true; })")
        assert page.evaluate(CONTRAST) == []


def test_a_touch_shows_a_point_too(browser: Browser, report: Path):
    with opened(browser, report, viewport={"width": 390, "height": 800}, has_touch=True) as page:
        page.locator("figure svg").nth(4).tap()
        expect(page.locator("#tip")).to_be_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_tokens_are_shaded_by_what_they_surprise(browser: Browser, tmp_path: Path, scheme: Any):
    run = make_run(tmp_path / "run", problems=12, steps=4)
    folder = run / "1-rl" / "model"
    folder.mkdir()
    (folder / "tokenizer.json").write_bytes(TOKENIZER.read_bytes())
    tokens, text = [297, 304, 33, 347, 36, 24], "<think> Steps: hand=1"
    sure = {"text": text, "tokens": tokens, "logprobs": [-0.0, -0.01, -2.0, -6.0, -0.5, -0.1]}
    edit_lines(run / "6-evaluate" / "rl-greedy.jsonl", lambda row: row | sure)
    with opened(browser, write_report(run), "#q=test-dial-0002&shade=1", color_scheme=scheme) as page:
        pieces = page.locator("#cards .answer").nth(1).locator(".token")
        assert "".join(pieces.all_text_contents()) == text
        shades = pieces.evaluate_all("all => all.map((one) => Number(one.style.getPropertyValue('--s')))")
        assert shades == [0, 0, 34, 85, 9, 2]
        assert pieces.nth(2).get_attribute("title") == "log-probability -2.00, 13.5 %"
        assert page.evaluate(CONTRAST) == []
        page.locator("[name=shade]").uncheck()
        expect(page.locator(".token")).to_have_count(0)


def test_hostile_text_stays_text(browser: Browser, tmp_path: Path):
    run = make_run(tmp_path / "run", problems=12, steps=4)
    attack = "".join(ATTACKS)
    for file in run.glob("problems/*.jsonl"):
        edit_lines(file, lambda row: row | {"question": attack, "family": attack, "choices": [attack]})
    for file in run.glob("6-evaluate/*.jsonl"):
        verdict = {"correct": False, "well_formed": True, "extracted": attack, "rule": attack, "reason": attack}
        edit_lines(file, lambda row, verdict=verdict: row | {"text": attack, "verdict": verdict, "source": attack})
    with opened(browser, write_report(run), "#stage=evaluation") as page:
        assert page.locator("#cards .question").first.text_content() == attack
        while page.locator("#cards button.all", has_text="All").count():
            page.locator("#cards button.all", has_text="All").first.click()
        assert page.locator("#cards .completion").first.text_content() == attack
        assert attack in page.locator("[name=family] option").all_text_contents()
        assert page.locator("#cards script, #cards svg, #cards a").count() == 0
        assert page.locator("html").get_attribute(MARK) is None


def seconds_to_open(browser: Browser, report: Path) -> float:
    began = time.monotonic()
    with opened(browser, report) as page:
        page.locator("#cards article").nth(11).wait_for()
        return time.monotonic() - began


def test_a_run_of_100_000_trajectories_opens_at_once(browser: Browser, tmp_path: Path):
    run = make_run(tmp_path / "run", problems=2000, steps=2000)
    file = next((run / "1-rl").glob("*.jsonl"))
    line = json.loads(file.read_text().splitlines()[0])
    line["text"] = "<think> " + "step by step, with care, " * 40 + "</think><answer>\\boxed{1}</answer>"
    with file.open("a", encoding="utf-8") as more:
        for number in range(60_000):
            row = line | {"problem_id": f"train-{('angle', 'bars')[number % 2]}-{number % 2000:04d}", "sample": number}
            more.write(json.dumps(row) + "\n")
    count = sum(len(one.read_bytes().splitlines()) for one in run.glob("[1-6]-*/*.jsonl"))
    assert count > 100_000
    report = write_report(run)
    assert report.stat().st_size < 10_000_000
    page_of_few = write_report(make_run(tmp_path / "few", problems=60, steps=40))
    few = min(seconds_to_open(browser, page_of_few) for _ in range(2))
    assert min(seconds_to_open(browser, report) for _ in range(2)) < max(3, 6 * few)
    with opened(browser, report) as page:
        assert "A sample: " in (page.locator("#trajectories + p").text_content() or "")
        choose(page, "family", "dial")
        assert answers(page) > 0
