"""The shop with django-celery-results on a SQLite file, of which it is told by its directory.

Runs in: beats and workers of these tests.
"""

from __future__ import annotations

import pathlib

import django
from django.conf import settings

DATABASE = "results.sqlite3"

settings.configure(
    DATABASES={
        "default": {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": pathlib.Path(DATABASE).absolute(),
            "OPTIONS": {"timeout": 20},
        }
    },
    INSTALLED_APPS=["django_celery_results"],
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
    USE_TZ=True,
)
django.setup()

from tests.integration.worker_app import app  # noqa: E402  # its backend is a table of Django's

__all__ = ["app"]

app.conf.result_backend = "django-db"
app.conf.result_extended = True
app.conf.result_expires = None
