"""`rise init`: a recipe of one's own, from a shipped one; no torch."""
