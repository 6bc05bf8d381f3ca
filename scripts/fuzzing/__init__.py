"""Fuzzing of the readers, for fuzz_readers.py."""
