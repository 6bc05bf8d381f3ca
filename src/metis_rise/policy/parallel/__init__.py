"""A policy that several processes share (FSDP2): each keeps a part of every weight and does a part of every update.

Everything here is collective: all processes call it, in the same order. `Policy.load(..., parallel=...)` is the way in.
"""
