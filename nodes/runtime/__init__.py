"""The one loop that every role runs in: what machines are, and how their events come in and their effects go out."""
