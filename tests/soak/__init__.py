"""Runs that are repeated often, longer than a test may take."""
