"""The parts of `gpu_update.py` and `gpu_rl_step.py`."""
