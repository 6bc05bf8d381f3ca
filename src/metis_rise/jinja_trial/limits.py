"""What a trial may take, and how its process says which of it was too little."""

from __future__ import annotations

SECONDS = 2.0
"""Of processor time, for all values together; a template takes milliseconds."""

MEMORY_MB = 512
"""Beyond what the process has when it begins to render."""

LONGEST = 1_000_000
"""Characters for one value, beside a hundred times the value's own."""

OUT_OF_MEMORY, TOO_LONG = 71, 72
"""Exit codes."""
