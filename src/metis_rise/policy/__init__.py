"""The model that is trained: loading, prompts, forward passes, objectives, optimizer, checkpoints."""
