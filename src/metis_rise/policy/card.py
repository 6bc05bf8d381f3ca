"""README.md of a model's folder as it is saved, and the lines of it that every card has; no torch."""

from __future__ import annotations

from pathlib import Path

LOADING = """\
```python
# pip install transformers torch torchvision pillow
from transformers import AutoProcessor, {kind}

model = {kind}.from_pretrained("THIS_FOLDER", dtype="auto")
processor = AutoProcessor.from_pretrained("THIS_FOLDER")
```"""
"""How a model is loaded whose class is `kind`."""

_CARD = """\
---
library_name: transformers
pipeline_tag: image-text-to-text
tags: [metis-rise]
---

A vision-language model as a stage of a Metis-RISE run left it.
The licence of the model that it was trained from applies.

{loading}

The system prompt that it was trained with: {prompt}.
"""


def write_card(target: Path, kind: str, system: str | None) -> None:
    """Write README.md: what the model of class `kind` is, how it is loaded; `system` is the prompt of its training."""
    prompt = "the chat template's own" if system is None else "in `metis_rise.json`"
    text = _CARD.format(loading=LOADING.format(kind=kind), prompt=prompt)
    (target / "README.md").write_text(text, encoding="utf-8")
