"""Builds the tiny base model that the package ships; see scripts/build_base.py."""
