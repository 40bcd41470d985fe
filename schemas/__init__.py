"""What is said: addresses, orders, contracts, jobs, events. Frozen data, limits and the codec; no I/O."""
