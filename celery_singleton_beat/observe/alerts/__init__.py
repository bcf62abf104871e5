"""Alerts: what is found to be wrong is told once, and once again when it is over."""
