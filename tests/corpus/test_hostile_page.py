"""The report of a run whose every text is an attack, opened in a real browser: nothing of it is executed."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from fake_run import make_run

from metis_rise.report import write_report

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
MARK = "pwned"
# The keys under which a run keeps texts that were not written by us; those that others are found by stay.
TEXTS = (
    *("text", "question", "answer", "choices", "extracted", "rule", "reason", "solution", "source", "name"),
    *("device", "machine", "python", "torch", "system"),
)
_DO = f"document.documentElement.setAttribute('{MARK}',1)"
ATTACKS = (
    f"<script>{_DO}</script>",
    f"</script><script>{_DO}</script>",
    f"</style></title></textarea></pre><script>{_DO}</script>",
    f"--><script>{_DO}</script><!--",
    f"]]><script>{_DO}</script>",
    f'<img src=x onerror="{_DO}">',
    f"'\"><img src=x onerror={_DO}>",
    f'" onload="{_DO}" onerror="{_DO}" onfocus="{_DO}" autofocus="',
    f"<svg onload={_DO}><animate onbegin={_DO} attributeName=x dur=1s>",
    f"<details open ontoggle={_DO}>",
    f"<input autofocus onfocus={_DO}>",
    f'<iframe srcdoc="<script>parent.{_DO}</script>"></iframe>',
    f'<iframe src="javascript:parent.{_DO}"></iframe>',
    f'<meta http-equiv=refresh content="0;url=javascript:{_DO}">',
    f'<style>@keyframes x{{}}</style><b style="animation:x" onanimationstart={_DO}>',
    f"<think><script>{_DO}</script></think><answer><img src=x onerror={_DO}></answer>",
    "{{ 7 * 7 }}{% for x in ().__class__.__base__.__subclasses__() %}{{ x }}{% endfor %}",
    "\ud800 half a character \udfff \x00 \x1b[31m \u202e backwards",
    f"<script>{_DO}</script>" + "x" * 1_000_000,
)


@pytest.fixture(scope="module")
def browser() -> str:
    found = next((path for path in map(shutil.which, BROWSERS) if path), None)
    if found is None:
        pytest.skip(
            f"none of {', '.join(BROWSERS)} is installed; tests/unit/test_report_html.py reads the page without"
        )
    return found


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of a run in which every text that a model, a data set or a recipe gave is an attack."""
    run = make_run(tmp_path_factory.mktemp("runs") / "hostile", problems=24, steps=4)
    count = 0

    def attacked(value: Any, key: str = "") -> Any:
        nonlocal count
        if isinstance(value, dict):
            return {name: attacked(each, name) for name, each in value.items()}
        if isinstance(value, list):
            return [attacked(each, key) for each in value]
        if isinstance(value, str) and key in TEXTS:
            count += 1
            return ATTACKS[count % len(ATTACKS)]
        return value

    for file in (*run.rglob("*.jsonl"), *run.rglob("DONE"), run / "recipe.json", run / "summary.json"):
        lines = file.read_text().splitlines() if file.suffix == ".jsonl" else [file.read_text()]
        file.write_text("".join(json.dumps(attacked(json.loads(line))) + "\n" for line in lines))
    assert count > 500
    return write_report(run)


def opened(browser: str, page: Path, profile: Path) -> str:
    """The page as it stands after its scripts have run, as HTML."""
    command = [browser, "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"]
    command += [f"--user-data-dir={profile}", "--virtual-time-budget=3000", "--dump-dom", page.as_uri()]
    return subprocess.run(command, capture_output=True, check=True).stdout.decode("utf-8", "replace")


def executed(shown: str) -> bool:
    opening = re.search(r"<html[^>]*>", shown)
    assert opening is not None, shown[:300]
    return MARK in opening[0]


def without_policy(text: str) -> str:
    without, found = re.subn(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", text)
    assert found == 1
    return without


def test_nothing_of_it_is_executed(browser: str, page: Path, tmp_path: Path) -> None:
    shown = opened(browser, page, tmp_path / "profile")
    assert not executed(shown)
    assert "&lt;script&gt;" in shown and "half a character" in shown


def test_escaping_alone_is_enough(browser: str, page: Path, tmp_path: Path) -> None:
    """The policy forbids all scripts but the page's own: it would hide that something was not escaped."""
    bare = tmp_path / "bare.html"
    text = page.read_text(encoding="utf-8")
    bare.write_text(without_policy(text), encoding="utf-8")
    assert not executed(opened(browser, bare, tmp_path / "profile"))


@pytest.mark.parametrize("policy", [True, False])
def test_the_policy_alone_is_enough(browser: str, page: Path, tmp_path: Path, policy: bool) -> None:
    """What stands in the page unescaped is executed without the policy, so such things are seen, and not with it."""
    torn = page.read_text(encoding="utf-8").replace("</main>", f"{''.join(ATTACKS[:8])}</main>")
    file = tmp_path / "torn.html"
    file.write_text(torn if policy else without_policy(torn), encoding="utf-8")
    assert executed(opened(browser, file, tmp_path / "profile")) is not policy
