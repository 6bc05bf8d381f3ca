"""Errors that are the user's to mend, kept apart from faults of ours."""

from __future__ import annotations


class InputError(Exception):
    """Bad input. The message is one line that names the file, the row and the mend; the CLI exits with 2."""
