"""Remembers: the port, Redis behind it, and memory for one process."""
