"""A hub's operator: who is attached to the hub while it runs."""
