"""Touches Celery: translates, and decides nothing."""
