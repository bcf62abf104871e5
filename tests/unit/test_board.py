"""The board: what a worker's processes tell each other about their leases."""

from __future__ import annotations

import os
import select
from typing import TYPE_CHECKING

import pytest

from celery_singleton_beat.engine.board import Board, Stage
from celery_singleton_beat.engine.clock import boot_ms
from celery_singleton_beat.engine.lease import Lease
from celery_singleton_beat.errors import LeaseLost
from celery_singleton_beat.protocol.run import Outcome

if TYPE_CHECKING:
    from collections.abc import Callable

FAR_MS = 3_600_000


def opened(board: Board) -> int:
    """A record, which there must be."""
    index = board.open()
    assert index is not None
    return index


def in_a_child(work: Callable[[], None]) -> None:
    """Do something in a forked process, to its end."""
    pid = os.fork()
    if pid == 0:
        try:
            work()
        finally:
            os._exit(0)
    handle = os.pidfd_open(pid)
    assert select.select([handle], [], [], 20)[0]
    os.close(handle)
    os.waitpid(pid, 0)


def test_a_full_board_gives_no_record_until_one_is_taken_back() -> None:
    board = Board(size=2)
    first, second = opened(board), opened(board)

    none = board.open()
    board.close(first)

    assert (second, none, board.open()) == (1, None, first)


def test_the_main_process_reads_how_its_child_ended() -> None:
    """F7: the outcome, and the delay of a retry."""
    board = Board(size=4)
    first, second = opened(board), opened(board)

    in_a_child(lambda: board.end(first, Outcome.FAILED))
    in_a_child(lambda: board.end(second, Outcome.RETRYING, 90_000))

    assert [board.stage(index) for index in (first, second)] == [Stage.ENDED] * 2
    assert board.ending(first) == (Outcome.FAILED, 0)
    assert board.ending(second) == (Outcome.RETRYING, 90_000)


def test_a_record_given_again_remembers_nothing() -> None:
    board = Board(size=1)
    index = opened(board)
    board.begin(index, trusted_until_ms=boot_ms() + FAR_MS, token=7)
    board.close(index)

    again = opened(board)

    assert (board.stage(again), board.token(again), board.is_trusted(again)) == (
        Stage.OPEN,
        0,
        False,
    )


def test_neighbours_on_the_board_do_not_touch_each_other() -> None:
    board = Board(size=3)
    indexes = [opened(board) for _ in range(3)]
    board.begin(indexes[1], trusted_until_ms=boot_ms() + FAR_MS, token=(1 << 64) - 1)

    board.begin(indexes[0], trusted_until_ms=1, token=1)
    board.mark(indexes[2], Stage.LOST)

    assert board.stage(indexes[1]) is Stage.BEGUN
    assert board.token(indexes[1]) == (1 << 64) - 1
    assert board.is_trusted(indexes[1])


def test_a_child_and_its_parent_see_what_the_other_writes() -> None:
    """C8: the main process renews what the child began; the child reads until when to trust."""
    board = Board(size=1)
    index = opened(board)

    in_a_child(lambda: board.begin(index, trusted_until_ms=boot_ms() + FAR_MS, token=42))

    assert board.stage(index) is Stage.BEGUN
    assert board.token(index) == 42
    assert board.is_trusted(index)


def test_a_lease_whose_deadline_nobody_moved_is_lost_without_being_told() -> None:
    """C8, F5: also when the main process is dead or stands still."""
    board = Board(size=1)
    index = opened(board)
    lease = Lease("key", board, index)
    board.begin(index, trusted_until_ms=boot_ms() + FAR_MS, token=3)
    lease.check()

    board.trust(index, trusted_until_ms=boot_ms(), token=3)

    assert lease.lost
    with pytest.raises(LeaseLost, match=r"the lease on 'key' is over"):
        lease.check()
    assert repr(lease) == "<Lease 'key' token=3 lost>"


def test_a_lease_marked_as_lost_is_lost_before_its_deadline() -> None:
    """C8: another run has, or may have had, the key."""
    board = Board(size=1)
    index = opened(board)
    board.begin(index, trusted_until_ms=boot_ms() + FAR_MS, token=3)

    board.mark(index, Stage.LOST)

    assert Lease("key", board, index).lost


def test_boards_have_names_of_their_own() -> None:
    """S0-01: a ticket is good for one board."""
    assert Board(1).name != Board(1).name
