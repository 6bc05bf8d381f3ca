"""Picture files stored by helper processes and by this one: the same results."""

from __future__ import annotations

import zlib
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image

from metis_rise.problems import storing
from metis_rise.problems.images import ImageStore
from metis_rise.problems.storing import store_files


def without_rows(png: bytes) -> bytes:
    """A PNG file whose checksums are right and whose data is no picture."""
    body = b"IDAT" + b"no rows"
    return png[:33] + (len(body) - 4).to_bytes(4, "big") + body + zlib.crc32(body).to_bytes(4, "big") + png[-12:]


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


@pytest.mark.parametrize("helpers", [1, 2])
def test_of_very_many_files_those_that_sum_up_are_not_decoded(
    tmp_path: Path, files: list[Path], monkeypatch: pytest.MonkeyPatch, helpers: int
) -> None:
    wrong = tmp_path / "wrong.png"
    wrong.write_bytes(without_rows(files[0].read_bytes()))
    expected = list(store_files(ImageStore(tmp_path / "decoded"), [*files, wrong]))
    assert "cannot be decoded" in expected[-1].broken
    monkeypatch.setattr(storing, "ALONE", 1)
    monkeypatch.setattr(storing, "MANY", 50)
    monkeypatch.setattr(storing, "cores", lambda: helpers)
    found = list(store_files(ImageStore(tmp_path / "many"), [*files, wrong]))
    assert found[:-1] == expected[:-1]
    assert found[-1].key and not found[-1].broken
