"""Several processes that do one run: rank 0 leads, does the stages and alone touches its folder; the others serve.

What is done with a model is done by all at once. The leader announces an operation (`operations`), every process runs
the same function on its share, and the leader adds up what comes back. Announced are JSON and tensors, never objects.
"""

STORE = "METIS_RISE_STORE"
"""Environment variable: the file by which processes of one machine meet, which `rise run --nproc` sets."""
