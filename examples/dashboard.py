"""A web application that has the dashboard inside, for those whom it knows.

Start as many beats and workers as you like, and the web application:

    celery -A dashboard beat
    celery -A dashboard worker
    uvicorn dashboard:site

and look at http://127.0.0.1:8000/ops/beat/ as `ann`, with the password `correct horse`.
"""

from __future__ import annotations

import base64
import hmac
import os

from celery import Celery
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route

from celery_singleton_beat import SingletonTask
from celery_singleton_beat.operate.dashboard import dashboard_app

PASSWORDS = {"ann": os.environ.get("ANNS_PASSWORD", "correct horse")}

app = Celery("dashboard", broker=os.environ.get("REDIS_URL", "redis://127.0.0.1:6379/0"))
app.conf.update(
    beat_scheduler="celery_singleton_beat:SingletonScheduler",
    beat_schedule={"tick": {"task": "dashboard.tick", "schedule": 1.0}},
)


@app.task(base=SingletonTask, name="dashboard.tick")
def tick() -> None:
    """Do nothing: it is to be looked at."""


def who(request: Request) -> str:
    """Name who asks, as your application knows it; here by HTTP Basic."""
    kind, _, given = request.headers.get("authorization", "").partition(" ")
    if kind.lower() == "basic":
        try:
            name, _, password = base64.b64decode(given).decode().partition(":")
        except ValueError:
            name = password = ""
        known = PASSWORDS.get(name, "")
        if known and hmac.compare_digest(known.encode(), password.encode()):
            return f"{name}@shop.example"
    raise HTTPException(401, "Who are you?", {"WWW-Authenticate": 'Basic realm="shop"'})


async def shop(_request: Request) -> PlainTextResponse:
    """What the application is for."""
    return PlainTextResponse("A shop.\n")


site = Starlette(
    routes=[
        Route("/", shop),
        Mount("/ops/beat", dashboard_app(app, authorize=who, allow_changes=True)),
    ]
)
