"""Quoting services of real platforms. Each asks the kernel for evidence and knows nothing of policies."""
