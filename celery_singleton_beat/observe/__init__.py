"""Listens: what is told of the events, and where."""
