"""The built wheel: what a user installs, without the tree beside it."""

from __future__ import annotations

import json
import subprocess
import sys
import sysconfig
import venv
from dataclasses import dataclass
from pathlib import Path
from zipfile import ZipFile

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "celery_singleton_beat"

INSPECTION = """
import importlib.metadata, importlib.resources, json
import celery_singleton_beat

def texts(folder, path=""):
    for item in folder.iterdir():
        if item.is_dir():
            yield from texts(item, path + item.name + "/")
        elif item.name.endswith((".lua", ".typed", ".html", ".css", ".js", ".svg")):
            yield path + item.name, item.read_text(encoding="utf-8")

schedulers = importlib.metadata.entry_points(group="celery.beat_schedulers")
print(json.dumps({
    "home": celery_singleton_beat.__file__,
    "data": dict(texts(importlib.resources.files("celery_singleton_beat"))),
    "scheduler": schedulers["singleton"].load().__name__,
}))
"""


@dataclass(frozen=True)
class Installed:
    """What an environment of its own finds after installing the wheel."""

    wheel: Path
    site: Path
    home: Path
    data: dict[str, str]
    scheduler: str


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    folder = tmp_path_factory.mktemp("wheel")
    _pip("wheel", "--no-deps", "--wheel-dir", str(folder), str(ROOT))
    (wheel,) = folder.glob("*.whl")

    home = folder / "venv"
    venv.create(home, with_pip=False)
    (site,) = home.glob("lib/python*/site-packages")
    _pip("install", "--no-deps", "--target", str(site), str(wheel))
    # The dependencies come from here. Path files inside a folder named by a path file are not
    # followed, so an editable install of the tree stays out.
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib"), encoding="utf-8")

    python = str(home / "bin" / "python")
    shown = subprocess.run(
        [python, "-I", "-c", INSPECTION], cwd=folder, check=True, capture_output=True, text=True
    )
    found = json.loads(shown.stdout)
    return Installed(wheel, site, Path(found["home"]), found["data"], found["scheduler"])


def _pip(*arguments: str) -> None:
    quiet = ["--quiet", "--disable-pip-version-check"]
    subprocess.run([sys.executable, "-m", "pip", *quiet, *arguments], check=True)


def test_the_installed_package_finds_its_scripts_pages_and_type_marker(
    installed: Installed,
) -> None:
    """S2-21: the API is typed, also where it is installed."""
    in_the_tree = {
        path.relative_to(PACKAGE).as_posix(): path.read_text(encoding="utf-8")
        for path in PACKAGE.rglob("*")
        if path.suffix in {".lua", ".typed", ".html", ".css", ".js", ".svg"}
    }

    assert installed.home.is_relative_to(installed.site)
    assert installed.data == in_the_tree
    assert "py.typed" in installed.data
    assert any(name.startswith("store/lua/") for name in installed.data)
    assert "operate/dashboard/templates/overview.html" in installed.data
    assert "operate/dashboard/static/dashboard.css" in installed.data


def test_the_wheel_holds_the_package_and_nothing_else(installed: Installed) -> None:
    in_the_tree = {
        path.relative_to(ROOT).as_posix()
        for path in PACKAGE.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }

    with ZipFile(installed.wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
        licences = [name for name in archive.namelist() if name.endswith("/licenses/LICENSE")]

    assert names == in_the_tree
    assert len(licences) == 1


def test_beat_finds_the_scheduler_by_its_short_name(installed: Installed) -> None:
    assert installed.scheduler == "SingletonScheduler"
