"""Worker processes for arithmetic that would hold up an event loop."""
