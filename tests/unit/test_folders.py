"""Folders that appear whole: what is in them may be read by whom the umask lets read."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from metis_rise.policy.folders import whole_folder


@pytest.mark.parametrize("mask", [0o022, 0o027, 0o077])
def test_tensors_may_be_read_by_those_who_may_read_other_files(mask: int, tmp_path: Path):
    old = os.umask(mask)
    try:
        with whole_folder(tmp_path / "model") as folder:
            (folder / "config.json").write_text("{}")
            (folder / "parts").mkdir()
            for place in (folder, folder / "parts"):
                save_file({"w": torch.zeros(3)}, place / "model.safetensors")
    finally:
        os.umask(old)
    files = [path for path in (tmp_path / "model").rglob("*") if path.is_file()]
    assert len(files) == 3
    assert {path.stat().st_mode & 0o777 for path in files} == {0o666 & ~mask}


def test_the_old_folder_is_there_again_when_the_new_one_cannot_take_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "old").touch()
    rename = Path.rename

    def failing(self: Path, target: Path) -> Path:
        if self.name == ".model.writing":
            raise OSError(errno.EIO, "input or output error")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", failing)
    with pytest.raises(OSError, match="model"), whole_folder(tmp_path / "model") as folder:
        (folder / "new").touch()
    assert [path.name for path in tmp_path.rglob("*")] == ["model", "old"]
