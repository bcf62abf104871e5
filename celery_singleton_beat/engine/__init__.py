"""Acts: knows the port of the store, never Redis, never Celery."""
