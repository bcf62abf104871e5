"""A server that is too old is refused where it is met first, with the release that is needed."""

from __future__ import annotations

import json
import socketserver
import threading
from typing import TYPE_CHECKING

import pytest

from celery_singleton_beat.demo.server import HOST
from celery_singleton_beat.errors import StoreTooOld
from celery_singleton_beat.store.redis_store import RedisStore
from celery_singleton_beat.store.redis_wire import Wire
from tests.integration.worker_app import VARIABLE
from tests.rig.processes import CeleryRig, Processes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path


def bulk(text: str) -> bytes:
    """Write a text as a server answers it."""
    return f"${len(text)}\r\n{text}\r\n".encode()


TOLD = bulk('["1", "0"]')
OF_5_0 = {
    "HELLO": b"-ERR unknown command `HELLO`, with args beginning with: \r\n",
    "INFO": bulk("# Server\r\nredis_version:5.0.14\r\n"),
}
OF_6_0 = {
    "HELLO": b"-ERR wrong number of arguments for 'hello' command\r\n",
    "INFO": bulk("# Server\r\nredis_version:6.0.16\r\n"),
}
SILENT = {
    "HELLO": b"-ERR unknown command\r\n",
    "INFO": b"-NOPERM this user has no permissions to run the 'info' command\r\n",
}


class Answering(socketserver.StreamRequestHandler):
    """One connection: each command has the answer that its server was made with."""

    answers: Mapping[str, bytes]

    def handle(self) -> None:
        while head := self.rfile.readline():
            words = []
            for _ in range(int(head[1:])):
                length = int(self.rfile.readline()[1:])
                words.append(self.rfile.read(length + 2)[:-2].decode())
            self.wfile.write(self.answers.get(words[0], b"+OK\r\n"))


@pytest.fixture
def make_old() -> Iterator[Callable[[Mapping[str, bytes]], str]]:
    """A maker of servers that answer as old ones did; it tells their URL."""
    made: list[socketserver.ThreadingTCPServer] = []

    def make(answers: Mapping[str, bytes]) -> str:
        handler = type("Of", (Answering,), {"answers": {"EVALSHA": TOLD, **answers}})
        server = socketserver.ThreadingTCPServer((HOST, 0), handler)
        server.daemon_threads = True
        made.append(server)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return f"redis://{HOST}:{server.server_address[1]}/0"

    yield make
    for server in made:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize(("answers", "version"), [(OF_5_0, "5.0"), (OF_6_0, "6.0")])
def test_an_old_server_is_refused(
    make_old: Callable[[Mapping[str, bytes]], str], answers: Mapping[str, bytes], version: str
) -> None:
    store = RedisStore(Wire(make_old(answers)), prefix="shop", app="shop")

    for _ in range(2):
        with pytest.raises(StoreTooOld, match=rf"is Redis {version}: at least 6\.2 is needed"):
            store.ping()


def test_a_server_that_does_not_tell_is_used(
    make_old: Callable[[Mapping[str, bytes]], str],
) -> None:
    """An ACL may forbid the question, and something between us and the server not know it."""
    store = RedisStore(Wire(make_old(SILENT)), prefix="shop", app="shop")

    assert store.ping() == 1000


@pytest.mark.parametrize("command", ["beat", "worker"])
def test_a_process_whose_store_is_too_old_does_not_start(
    make_old: Callable[[Mapping[str, bytes]], str],
    processes: Processes,
    tmp_path: Path,
    redis_url: str,
    command: str,
) -> None:
    conf = {"broker_url": redis_url, "singleton_beat_redis_url": make_old(OF_6_0)}
    env = {VARIABLE: json.dumps(conf)}
    rig = CeleryRig(processes, "tests.integration.worker_app", env, tmp_path)
    own = {
        "beat": ("-S", "celery_singleton_beat:SingletonScheduler"),
        "worker": ("--pool", "solo"),
    }[command]

    process = rig.run(command, *own, name=command)

    assert process.wait_ended(60) != 0
    assert "at least 6.2 is needed" in process.output
