"""Helper processes of one process, for work that Python does one at a time: pictures are decoded, stored, cut up."""
