"""The command ``python -m celery_singleton_beat``: a demonstration on this machine."""

from __future__ import annotations

import sys

from celery_singleton_beat.demo.command import main

if __name__ == "__main__":
    sys.exit(main())
