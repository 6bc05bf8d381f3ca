"""Metis-RISE: reinforcement learning first, then targeted supervised fine-tuning, for vision-language models."""

__version__ = "0.1.0"
