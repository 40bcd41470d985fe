"""Verifiers of each vendor's evidence. Each says what is signed, under a pinned root, and knows nothing of policies."""
