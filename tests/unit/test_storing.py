"""Picture files stored by helper processes and by this one: the same results."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image

from metis_rise.problems import storing
from metis_rise.problems.images import ImageStore
from metis_rise.problems.storing import store_files


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    """A hundred pictures in three formats, a broken one and one that is not there."""
    found = []
    for number in range(100):
        path = tmp_path / f"{number}.{('png', 'jpg', 'webp')[number % 3]}"
        Image.new("RGB", (9, 7), (number, 0, 0)).save(path)
        found.append(path)
    buffer = BytesIO()
    Image.effect_noise((64, 64), 80).save(buffer, "PNG")
    broken = tmp_path / "broken.png"
    broken.write_bytes(buffer.getvalue()[:300])
    return [*found[:50], broken, tmp_path / "none.png", *found[50:]]


def test_helpers_store_what_one_process_stores(
    tmp_path: Path, files: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = ImageStore(tmp_path / "alone")
    expected = list(store_files(alone, files))
    monkeypatch.setattr(storing, "ALONE", 1)
    monkeypatch.setattr(storing, "cores", lambda: 2)
    monkeypatch.setattr(storing, "store_file", None)
    helped = ImageStore(tmp_path / "helped")
    assert list(store_files(helped, files)) == expected
    assert "cannot be decoded" in expected[50].broken and "No such file" in expected[51].unreadable
    assert len({each.key for each in expected}) == 101
    stored = [{path.name: path.read_bytes() for path in store.folder.iterdir()} for store in (alone, helped)]
    assert stored[0] == stored[1] and len(stored[0]) == 100
