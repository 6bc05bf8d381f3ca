"""The parts of `gpu_update.py`."""
