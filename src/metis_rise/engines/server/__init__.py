"""Sampling from vLLM servers over HTTP, and the client that the endpoint of an expert is asked with too."""
