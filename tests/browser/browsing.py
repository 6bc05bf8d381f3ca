"""A page of ours in real headless Chromium, with all that it complained of."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
# For a machine that is busy with other things.
PATIENCE_MS = 60_000
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]


def found_browser() -> str | None:
    """Where Chromium is on this machine."""
    return next((path for path in map(shutil.which, BROWSERS) if path), None)


@contextmanager
def opened(browser: Browser, file: Path, at: str = "", **settings: Any) -> Iterator[Page]:
    """The page of `file`; at the end nothing may have been complained of, nor anything else been loaded."""
    context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}, **settings})
    page = context.new_page()
    page.set_default_timeout(PATIENCE_MS)
    complaints: list[str] = []
    loaded: set[str] = set()
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda request: loaded.add(request.url.partition("#")[0]))
    page.goto(file.as_uri() + at)
    yield page
    assert complaints == []
    assert {url for url in loaded if not url.startswith("data:image/")} == {file.as_uri()}
    context.close()


def edit_lines(path: Path, change: Any) -> None:
    """Puts `change` of each row in the place of the row."""
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    path.write_text("".join(json.dumps(change(row)) + "\n" for row in rows), encoding="utf-8")
