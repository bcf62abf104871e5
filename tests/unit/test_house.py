"""The rules of this house that no linter knows."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "celery_singleton_beat"
MODULES = sorted(PACKAGE.rglob("*.py"))
# A benchmark paces itself; it proves nothing.
TESTS = sorted(path for path in (ROOT / "tests").rglob("*.py") if "benchmarks" not in path.parts)

LARGEST_MODULE = 320
LARGEST_FUNCTION = 50
JUNK_DRAWERS = {"utils", "common", "base", "helpers", "manager"}
ASKS_A_CLOCK = {"now", "utcnow", "today", "monotonic", "perf_counter", "time_ns"}


def named(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def in_folder(name: str) -> list[Path]:
    return [path for path in MODULES if PACKAGE / name in path.parents]


def test_imports_keep_the_contracts() -> None:
    linter = Path(sys.executable).with_name("lint-imports")

    outcome = subprocess.run(
        [linter, "--no-cache"], cwd=ROOT, check=False, capture_output=True, text=True
    )

    assert outcome.returncode == 0, outcome.stdout + outcome.stderr


@pytest.mark.parametrize("path", MODULES, ids=named)
def test_a_module_is_a_small_room(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").splitlines()

    assert len(lines) <= LARGEST_MODULE


@pytest.mark.parametrize("path", MODULES, ids=named)
def test_a_function_fits_on_a_screen(path: Path) -> None:
    lengths = {
        node.name: (node.end_lineno or 0) - node.lineno + 1
        for node in ast.walk(tree(path))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }

    assert {name: lines for name, lines in lengths.items() if lines > LARGEST_FUNCTION} == {}


@pytest.mark.parametrize("path", MODULES, ids=named)
def test_a_module_is_named_after_what_it_holds(path: Path) -> None:
    imported = {
        name.partition(".")[0]
        for node in ast.walk(tree(path))
        for name in _imported_by(node)
        if not name.startswith(PACKAGE.name)
    }

    assert path.stem not in JUNK_DRAWERS
    assert path.stem not in imported


@pytest.mark.parametrize("path", in_folder("engine") + in_folder("adapters"), ids=named)
def test_a_module_that_acts_says_in_which_process(path: Path) -> None:
    docstring = ast.get_docstring(tree(path)) or ""

    assert path.name == "__init__.py" or "Runs in:" in docstring


@pytest.mark.parametrize("path", in_folder("protocol"), ids=named)
def test_the_protocol_asks_no_clock(path: Path) -> None:
    """S0-38: what time it is, is an argument."""
    asked = {
        node.func.attr
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
    }

    assert asked & ASKS_A_CLOCK == set()


@pytest.mark.parametrize("path", MODULES, ids=named)
def test_nobody_inside_imports_the_public_front(path: Path) -> None:
    fronted = [
        node.lineno
        for node in ast.walk(tree(path))
        if isinstance(node, ast.ImportFrom) and node.module == PACKAGE.name
        for alias in node.names
        if not _is_module(alias.name)
    ]

    assert fronted == []


@pytest.mark.parametrize("path", TESTS, ids=named)
def test_a_test_waits_for_a_signal_and_never_sleeps(path: Path) -> None:
    sleeps = [
        node.lineno
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "time.sleep"
    ]

    assert sleeps == []


def test_importing_everything_starts_nothing() -> None:
    modules = [
        named(path).removesuffix(".py").removesuffix("/__init__").replace("/", ".")
        for path in MODULES
        if path.name != "__main__.py"
    ]
    program = (
        "import importlib, signal, socket, sys, threading\n"
        "def refuse(*_): raise AssertionError('importing opened a connection')\n"
        "socket.socket.connect = refuse\n"
        "before = [signal.getsignal(number) for number in signal.valid_signals()]\n"
        "for name in sys.argv[1:]: importlib.import_module(name)\n"
        "assert threading.active_count() == 1, threading.enumerate()\n"
        "assert before == [signal.getsignal(number) for number in signal.valid_signals()]\n"
    )

    outcome = subprocess.run(
        [sys.executable, "-c", program, *modules],
        cwd=ROOT,
        check=False,
        capture_output=True,
        text=True,
    )

    assert outcome.returncode == 0, outcome.stderr


def test_ci_calls_the_readmes_own_test_command() -> None:
    ci = (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()
    readme = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()

    (command,) = [line for line in ci if line.startswith("python3 -m venv")]

    assert command in [line.removeprefix("$ ") for line in readme]


def _imported_by(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom) and node.level == 0:
        return [node.module or ""]
    return []


def _is_module(name: str) -> bool:
    return (PACKAGE / f"{name}.py").exists() or (PACKAGE / name).is_dir()
