"""Fixtures shared by all tests."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from PIL import Image

from metis_rise.problems.images import ImageStore

# What has a time limit measures it itself; elsewhere a busy machine must not fail a test.
settings.register_profile(
    "metis", deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize="CI" in os.environ
)
settings.load_profile("metis")


@pytest.fixture(autouse=True)
def _threads() -> Iterator[None]:
    """Commands compute on all cores: what one has set is not left to the tests after it, which share the cores."""
    yield
    torch, asked = sys.modules.get("torch"), os.environ.get("OMP_NUM_THREADS", "")
    if torch is not None and asked.isdecimal() and torch.get_num_threads() != int(asked):
        torch.set_num_threads(int(asked))


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real data slices: METIS_SHARED_DATA, else `shared/data` beside the repository."""
    default = Path(__file__).resolve().parents[2] / "shared" / "data"
    folder = Path(os.environ.get("METIS_SHARED_DATA", default))
    if not folder.is_dir():
        pytest.skip(f"no shared data at {folder}; set METIS_SHARED_DATA to the folder")
    return folder


@pytest.fixture
def store(tmp_path: Path) -> ImageStore:
    """An empty image store."""
    return ImageStore(tmp_path / "images")


@pytest.fixture
def png() -> bytes:
    """A small red PNG."""
    buffer = BytesIO()
    Image.new("RGB", (6, 4), (200, 30, 30)).save(buffer, "PNG")
    return buffer.getvalue()
