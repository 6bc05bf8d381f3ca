"""The documentation site: it builds without a warning, and what is generated in it is there and right."""

from __future__ import annotations

import html
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from pages import PAGES, REPOSITORY

from docs_site import source
from metis_rise.cli import app
from metis_rise.recipe import shipped_recipes
from metis_rise.recipe.faults import known_keys

METHOD = (REPOSITORY / "docs" / "method.md").read_text(encoding="utf-8")
ENVIRONMENT = os.environ | {"NO_MKDOCS_2_WARNING": "1", "PYTHONPATH": str(REPOSITORY / "src")}


def build(target: Path, *more: str) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(target), *more]
    return subprocess.run(line, cwd=REPOSITORY, env=ENVIRONMENT, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("site")
    done = build(target)
    assert done.returncode == 0, done.stdout + done.stderr
    return target


def text_of(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def test_every_page_is_there(site: Path):
    for page in PAGES[1:]:
        assert (site / f"{page.stem}.html").is_file()


def test_nothing_is_fetched_from_a_network(site: Path):
    for page in site.rglob("*.html"):
        loaded = re.findall(r"<(?:script|img|iframe)[^>]*src=\"([^\"]+)\"|<link[^>]*href=\"([^\"]+)\"", text_of(page))
        assert not [each for pair in loaded for each in pair if re.match(r"(https?:)?//", each)], page


def test_every_link_of_the_method_leads_to_the_line_that_it_names(site: Path):
    links = [link for link in source.links(METHOD) if link.symbol]
    assert len(links) > 30
    page = text_of(site / "method.html")
    for link in links:
        name = link.symbol.rpartition(".")[2]
        shown = text_of(site / f"source/{link.path}.html")
        anchors = re.findall(rf'href="source/{re.escape(link.path)}\.html#(__codelineno-0-\d+)"', page)
        lines = [shown.partition(f'id="{anchor}"')[2].partition("\n")[0] for anchor in anchors]
        assert any(re.search(rf"\b{name}\b", html.unescape(re.sub(r"<[^>]+>", "", line))) for line in lines), link


def test_formulas_are_drawn_by_the_browser(site: Path):
    page = text_of(site / "method.html")
    written = METHOD.count("```math") + len(re.findall(r"\$`[^`]+`\$", METHOD))
    assert page.count("<math") == written
    assert "$`" not in page and "```" not in page


def test_the_reference_of_recipes_has_every_key(site: Path):
    shown, section = set(), ""
    for heading, key in re.findall(
        r"<h2[^>]*><code>([\w.]+)</code>|<tr>\s*<td><code>(\w+)</code>", text_of(site / "recipes.html")
    ):
        section = f"{heading}." if heading else section
        if heading:
            shown.add(heading.removesuffix(".N").replace(".N.", ".0."))
        else:
            shown.add(f"{section}{key}".replace(".N.", ".0."))
    assert shown == set(known_keys())


def test_the_reference_of_recipes_has_types_and_defaults(site: Path):
    page = html.unescape(re.sub(r"<[^>]+>", " ", text_of(site / "recipes.html")))
    found = " ".join(page.split())
    assert "group_size whole number ≥ 2 8 Completions per problem (G)." in found
    assert 'kind world , jsonl "jsonl"' in found
    for name in shipped_recipes():
        assert f"name: {name}".replace(" ", "") in found.replace(" ", "")


def test_the_reference_of_commands_has_every_command_and_option(site: Path):
    page = html.unescape(text_of(site / "commands.html"))
    group = typer.main.get_command(app)
    for name, command in group.commands.items():
        for inner, each in getattr(command, "commands", {name: command}).items():
            path = name if inner == name else f"{name} {inner}"
            _, heading, rest = page.partition(f"<code>rise {path}</code><a ")
            assert heading, path
            listed = re.findall(r"<li>\s*<code>([^<]*)", rest.partition("<h2")[0])
            for option in each.params:
                named = any(option.opts[0] in re.split(r"[\s,/]+", found) for found in listed)
                assert named or option.param_type_name == "argument", (path, option.opts)


@pytest.mark.parametrize("link", ["../src/metis_rise/stages/beta.py#no_such_name", "../src/metis_rise/no_such_file.py"])
def test_a_link_to_what_is_gone_stops_the_build(tmp_path: Path, link: str):
    docs = tmp_path / "docs"
    docs.mkdir()
    (docs / "index.md").write_text(f"# A page\n\n[A link]({link})\n", encoding="utf-8")
    (tmp_path / "src").symlink_to(REPOSITORY / "src")
    settings = {"site_name": "x", "docs_dir": str(docs), "hooks": [str(REPOSITORY / "scripts" / "docs_hooks.py")]}
    (tmp_path / "mkdocs.yml").write_text(json.dumps(settings), encoding="utf-8")
    done = build(tmp_path / "site", "--config-file", str(tmp_path / "mkdocs.yml"))
    assert done.returncode != 0
    assert "there is no" in done.stderr


def test_links_of_the_readme_lead_somewhere():
    for target in re.findall(r"\]\(([^)#:]+)(?:#[\w-]*)?\)", text_of(REPOSITORY / "README.md")):
        assert (REPOSITORY / target).exists(), target
