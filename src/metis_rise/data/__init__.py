"""`rise data`: what a problem file holds, looked at before anything is trained on it; no torch."""
