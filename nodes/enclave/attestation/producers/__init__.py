"""Quoting services. Each makes evidence of one platform and knows nothing of policies."""
