"""Benchmarks: ours against the peer named beside it. Run as `python -m tests.bench [--only PREFIX]`."""
