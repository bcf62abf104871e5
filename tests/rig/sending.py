"""What a beat sends, as facts; and where in that it stands still, if a test asks for it.

Runs in: beats (`watch`), and the tests that strike them (`catch`).

Celery tells of a message when it has given it to kombu, which may collect a batch of them. So a
message counts as sent after Celery's `after_task_publish` or, in a batch, after its flush. If the
flush fails nobody knows what has arrived: the fact says that it is not sure.
"""

from __future__ import annotations

import os
import pathlib
import signal
import threading
import time
from typing import TYPE_CHECKING, Any, Final

from celery import signals

from tests.rig import witness

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from tests.rig.processes import Proc
    from tests.rig.witness import Witness

CLAIMED: Final = "claimed"
SENT: Final = "sent"
MOMENTS: Final = (CLAIMED, SENT)
"""A beat has claimed something and sent nothing of it; it has sent it, and noted that nowhere."""

STANDS: Final = "stands still"

Named = dict[str, str]


def watch(name: Callable[[Mapping[str, Any], Any], Named]) -> None:
    """Have the beat of this application watched, if it becomes one.

    ``name`` tells of a message's headers and body which `entry` it is for, and more if it can.
    """

    def begin(sender: Any, **_: object) -> None:
        watched = _Watched(name)
        sender.scheduler.Producer = watched.producer(sender.scheduler.Producer)
        signals.before_task_publish.connect(watched.before, weak=False)
        signals.after_task_publish.connect(watched.after, weak=False)

    signals.beat_init.connect(begin, weak=False)


def catch(
    witness: Witness, beats: Iterable[Proc], moment: str, within_s: float
) -> tuple[Proc, set[str]]:
    """The first beat that comes to that moment, standing still there; and what it has in hand.

    Raises:
        TimeoutError: none of them came to it.
    """
    of_pid = {beat.pid: beat for beat in beats}
    known, deadline = len(witness.facts()), time.monotonic() + within_s
    asked = _asked(witness.directory, moment)
    asked.touch()
    while not (caught := _caught(witness, known)):
        if (left_s := deadline - time.monotonic()) > 0:
            witness.hear(left_s)
            continue
        try:
            asked.unlink()
        except FileNotFoundError:  # one has just come
            deadline = time.monotonic() + within_s
            continue
        raise TimeoutError(f"no beat came to the moment {moment!r} within {within_s:g} s")
    beat = of_pid[caught[0]["pid"]]
    beat.wait_still()
    return beat, set(caught[0]["entries"])


class _Watched:
    """One beat's messages, in the order in which it sends them."""

    def __init__(self, name: Callable[[Mapping[str, Any], Any], Named]) -> None:
        self._name = name
        self._batch: list[Named] | None = None

    def before(
        self, headers: Mapping[str, Any] | None = None, body: Any = None, **_: object
    ) -> None:
        if not self._batch:
            _stand_still_if_asked(CLAIMED, [self._name(headers or {}, body)])

    def after(
        self, headers: Mapping[str, Any] | None = None, body: Any = None, **_: object
    ) -> None:
        headers = headers or {}
        message = {"run": headers.get("id", ""), **self._name(headers, body)}
        if self._batch is None:
            _tell([message], is_sure=True)
        else:
            self._batch.append(message)

    def producer(self, kind: type[Any]) -> type[Any]:
        """A kind of producer whose batches are watched."""
        watched = self

        class Producer(kind):  # whichever the application has
            def batch(self, *about: Any, **more: Any) -> Any:
                batch = super().batch(*about, **more)
                flush, watched._batch = batch.flush, []
                batch.flush = lambda: watched.flush(flush)
                return batch

        return Producer

    def flush(self, flush: Callable[[], None]) -> None:
        messages, self._batch = self._batch or [], None
        try:
            flush()
        except Exception:
            _tell(messages, is_sure=False)
            raise
        _tell(messages, is_sure=True)


def _tell(messages: list[Named], *, is_sure: bool) -> None:
    for message in messages:
        witness.record(_directory(), kind="sent", is_sure=is_sure, **message)
    if messages and is_sure:
        _stand_still_if_asked(SENT, messages)


def _stand_still_if_asked(moment: str, messages: list[Named]) -> None:
    try:
        _asked(_directory(), moment).unlink()
    except FileNotFoundError:
        return
    entries = [message["entry"] for message in messages]
    witness.record(_directory(), kind=STANDS, moment=moment, entries=entries)
    # This thread's own: it goes no further, whichever thread the kernel would choose otherwise.
    signal.pthread_kill(threading.get_ident(), signal.SIGSTOP)


def _asked(directory: str | os.PathLike[str], moment: str) -> pathlib.Path:
    """The file that is there while a beat is asked to stand still; who takes it away does so."""
    return pathlib.Path(directory, f"{moment}.asked")


def _caught(witness: Witness, known: int) -> list[dict[str, Any]]:
    return [fact for fact in witness.facts()[known:] if fact["kind"] == STANDS]


def _directory() -> str:
    return os.environ[witness.VARIABLE]
