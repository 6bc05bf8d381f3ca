"""Problem files in the forms of other tools: `datasets`, verl, EasyR1, LLaMA-Factory; no torch."""
