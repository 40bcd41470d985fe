"""Fuzzing of everything that reads foreign bytes: `python -m tests.fuzz`, or `make fuzz`."""
