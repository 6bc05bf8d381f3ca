"""Fixtures of the tests with several processes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import tiny
from ranks import Ranks


@pytest.fixture(scope="session")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ranks]:
    """Two processes."""
    ranks = Ranks(2, tmp_path_factory.mktemp("pair"))
    yield ranks
    ranks.close()


@pytest.fixture(scope="session")
def trio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ranks]:
    """Three processes."""
    ranks = Ranks(3, tmp_path_factory.mktemp("trio"))
    yield ranks
    ranks.close()


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small Qwen2.5-VL."""
    return tiny.write_folder(tmp_path_factory.mktemp("qwen2_5_vl"))


@pytest.fixture(scope="session")
def folder3(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small Qwen3-VL."""
    return tiny.write_folder(tmp_path_factory.mktemp("qwen3_vl"), "qwen3_vl")
