"""One browser for all tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from browsing import FLAGS, PATIENCE_MS, found_browser
from fake_run import make_run
from playwright.sync_api import Browser, expect, sync_playwright

from metis_rise.report import write_report


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    path = found_browser()
    if path is None:
        pytest.skip("no Chromium is installed; tests/unit/test_report_html.py reads the page without")
    expect.set_options(timeout=PATIENCE_MS)
    with sync_playwright() as driver:
        found = driver.chromium.launch(executable_path=path, args=FLAGS)
        yield found
        found.close()


@pytest.fixture(scope="session")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of a finished run."""
    return write_report(make_run(tmp_path_factory.mktemp("runs") / "tiny", problems=60, steps=40))
