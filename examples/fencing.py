"""Fencing: a table that refuses whoever has lost its lease without noticing.

    celery -A fencing worker
    celery -A fencing worker
    celery -A fencing call fencing.count --args '["apples", 60]'
    celery -A fencing call fencing.count --args '["apples", 0]'

Freeze the worker that counts (kill -STOP, its child process too) and wait: a few
seconds later its lease is over, and the other worker counts. Then let the frozen
one go on (kill -CONT). It ends its count and writes, long after it was replaced.

No lock can prevent that: also who asks `self.lease.check()` right before it writes
can be frozen right after the answer. What can is the table. Every write brings its
fencing number, each holder's is higher than all before, and the table takes no
write with a lower one than it has seen.
"""

from __future__ import annotations

import os
import sqlite3
import time
from contextlib import closing

from celery import Celery
from celery.utils.log import get_task_logger

from celery_singleton_beat import SingletonTask

STOCK = os.environ.get("STOCK", "stock.sqlite3")

logger = get_task_logger(__name__)

app = Celery("fencing", broker=os.environ.get("REDIS_URL", "redis://127.0.0.1:6379/0"))


def write(item: str, amount: str, token: int) -> bool:
    """Write down how much there is of an item, unless a later holder has; tell whether it was."""
    with closing(sqlite3.connect(STOCK)) as stock, stock:
        stock.execute("CREATE TABLE IF NOT EXISTS stock (item PRIMARY KEY, amount, token)")
        stock.execute("INSERT OR IGNORE INTO stock VALUES (?, NULL, 0)", (item,))
        written = stock.execute(
            # Equal is allowed: one holder may write as often as it likes.
            "UPDATE stock SET amount = ?, token = ? WHERE item = ? AND token <= ?",
            (amount, token, item, token),
        )
        return written.rowcount == 1


@app.task(
    base=SingletonTask,
    bind=True,
    name="fencing.count",
    lock_key="stock:{item}",
    lock_ttl=2,
    on_locked="retry",
    lock_retry_delay=0.5,
)
def count(self: SingletonTask, item: str, seconds: float) -> None:
    """Count an item, which takes so many seconds, and write the result down."""
    if self.lease is None:
        return
    token = self.lease.token
    logger.info("counting %s, fence %s", item, token)
    time.sleep(seconds)
    if write(item, f"as counted by {self.request.hostname}", token):
        logger.info("counted %s, fence %s", item, token)
    else:
        logger.warning("refused: %s was counted by a later holder than fence %s", item, token)
