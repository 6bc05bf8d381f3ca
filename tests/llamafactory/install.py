"""Makes `.venv-llamafactory/`, an environment with LLaMA-Factory's data loader, or finds it made.

Run from anywhere: python tests/llamafactory/install.py. Needs 2 GB. It is an environment of its own because
LLaMA-Factory pins other transformers, datasets and TRL than ours. With --resolve it takes the versions that there are
today, and writes them into constraints.txt.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from separate import Environment

LLAMAFACTORY = "llamafactory==0.9.5"
# torch is there already and torchvision has no build for it; the others are for its web pages, its API or other hubs.
NOT_FROM_METADATA = {"torch", "torchaudio", "torchvision", "gradio", "fastapi", "uvicorn", "sse-starlette"}
NOT_FROM_METADATA |= {"modelscope", "hf-transfer", "matplotlib"}

# The published torchaudio is built for CUDA and cannot be imported, which the loader asks for though no audio is read.
NO_AUDIO = '"""Stands in for torchaudio, which has no build for the CPU; tests/llamafactory/install.py says why."""\n'

ENVIRONMENT = Environment(".venv-llamafactory", Path(__file__).parent)


def finish() -> None:
    """The stand-in for torchaudio."""
    (packages,) = (ENVIRONMENT.folder / "lib").glob("python*/site-packages")
    (packages / "torchaudio.py").write_text(NO_AUDIO)
    subprocess.run([ENVIRONMENT.python, "-c", "import llamafactory.data.loader"], check=True)


def main() -> None:
    """Install what is missing; ends with an error when it cannot."""
    if "--resolve" in sys.argv:
        ENVIRONMENT.resolve([LLAMAFACTORY], NOT_FROM_METADATA)
    else:
        ENVIRONMENT.make(finish, NO_AUDIO)


if __name__ == "__main__":
    main()
