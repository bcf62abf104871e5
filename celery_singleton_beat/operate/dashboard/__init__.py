"""The dashboard: pages about a deployment, served by themselves or inside an application.

It needs the extra ``dashboard``: ``pip install celery-singleton-beat[dashboard]``.
"""

from __future__ import annotations

from celery_singleton_beat.operate.dashboard.site import dashboard_app

__all__ = ["dashboard_app"]
