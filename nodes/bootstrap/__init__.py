"""The composition root: the one place that wires roles, stores, brokers, clocks and randomness.

A module per role, so that a process which is one role loads no other.
"""
