"""What mkdocs calls while it builds the site (mkdocs.yml, `hooks`)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

from docs_site import commands, formulas, recipes, source

GENERATED: dict[str, Callable[[], str]] = {
    "<!-- generated: commands -->": commands.reference,
    "<!-- generated: recipes -->": recipes.reference,
}
"""What takes the place of a line of a page."""


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Teaches markdown to read formulas."""
    config.markdown_extensions.append(formulas.Inline())
    config.mdx_configs.setdefault("pymdownx.superfences", {})["custom_fences"] = [formulas.FENCE]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds a page for every file outside docs/ that a page links to."""
    linked = {link.path: file for file in files.documentation_pages() for link in source.links(file.content_string)}
    for path, file in linked.items():
        with _said_of(file):
            content = source.page(_repository(config), path)
        files.append(File.generated(config, source.page_of(path), content=content))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Fills in what is generated, and turns links to source files into links to their pages, at the right line."""
    del files
    for mark, generate in GENERATED.items():
        if mark in markdown:
            markdown = markdown.replace(mark, generate())
    with _said_of(page.file):
        return source.resolved(markdown, _repository(config))


def on_page_content(html: str, page: Page, config: MkDocsConfig, files: Files) -> None:
    """Tells mkdocs, which checks the anchors of links, of lines in listings: they are made where it does not look."""
    del config, files
    if page.present_anchor_ids is not None:
        page.present_anchor_ids.update(source.anchors(html))


@contextmanager
def _said_of(file: File) -> Iterator[None]:
    """A broken link ends the build with the name of the page that has it."""
    try:
        yield
    except source.BrokenLink as error:
        raise PluginError(f"{file.src_uri}: {error}") from error


def _repository(config: MkDocsConfig) -> Path:
    return Path(config.docs_dir).parent
