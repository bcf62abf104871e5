"""Wall clocks that are wrong, for single processes, by as much as the test says at any time."""

from __future__ import annotations

import os
import pathlib
import shutil
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

import pytest

from tests.rig.absent import skip_or_fail

if TYPE_CHECKING:
    from collections.abc import Callable

SOURCE = pathlib.Path(__file__).with_name("clock_skew.c")
WIDTH = 8


def build_library(compiler: str, directory: pathlib.Path) -> pathlib.Path:
    """The compiled preload library, in that directory."""
    library = directory / "clock_skew.so"
    subprocess.run(
        [compiler, "-shared", "-fPIC", "-O2", "-Wall", "-Werror", "-o", library, SOURCE, "-ldl"],
        check=True,
    )
    return library


class ClockSkew:
    """One wrong wall clock, for every process started with its `env`."""

    def __init__(self, library: pathlib.Path, file: pathlib.Path, shift_ms: int = 0) -> None:
        self._library, self._file = library, file
        self._stepping = threading.Lock()
        self._shift_ms = 0
        file.write_bytes(bytes(WIDTH))
        self.set_ms(shift_ms)

    @property
    def env(self) -> dict[str, str]:
        """The variables that put a process (and all it starts) under this clock."""
        return {"LD_PRELOAD": str(self._library), "CLOCK_SKEW_FILE": str(self._file)}

    @property
    def shift_ms(self) -> int:
        """How far this clock is ahead of the true one."""
        return self._shift_ms

    def set_ms(self, shift_ms: int) -> None:
        """Be that far ahead (negative: behind), in running processes too, from now on."""
        with self._stepping:
            self._write(shift_ms)

    def step_ms(self, by_ms: int) -> None:
        """Step the clock, as an administrator or a time daemon would."""
        with self._stepping:
            self._write(self._shift_ms + by_ms)

    def _write(self, shift_ms: int) -> None:
        # In place: the processes have mapped this very file.
        file = os.open(self._file, os.O_WRONLY)
        try:
            os.pwrite(file, (shift_ms * 1_000_000).to_bytes(WIDTH, sys.byteorder, signed=True), 0)
        finally:
            os.close(file)
        self._shift_ms = shift_ms


@pytest.fixture(scope="session")
def clock_skew_library(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """The preload library, compiled once for the session."""
    if sys.platform != "linux":
        pytest.skip("clocks are skewed with LD_PRELOAD, on Linux only")
    compiler = shutil.which("gcc")
    if compiler is None:
        skip_or_fail("gcc")
    return build_library(compiler, tmp_path_factory.mktemp("clock-skew"))


@pytest.fixture
def make_skew(
    clock_skew_library: pathlib.Path, tmp_path: pathlib.Path
) -> Callable[[int], ClockSkew]:
    """A maker of clocks: `make_skew(shift_ms)`."""
    made: list[ClockSkew] = []

    def make(shift_ms: int = 0) -> ClockSkew:
        made.append(ClockSkew(clock_skew_library, tmp_path / f"clock-{len(made)}", shift_ms))
        return made[-1]

    return make
