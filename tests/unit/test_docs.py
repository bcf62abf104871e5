"""The documentation, at its word: its code runs, its commands exist, its links lead somewhere."""

from __future__ import annotations

import functools
import importlib.metadata
import importlib.util
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import celery.exceptions
import pytest

import celery_singleton_beat
from celery_singleton_beat import errors, events
from celery_singleton_beat.protocol import history
from celery_singleton_beat.settings_table import settings_table

ROOT = Path(__file__).parents[2]
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])

FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"(?<!!)\[[^\]]+\]\(([^)\s]+)\)")
CAMEL = re.compile(r"`([A-Z][a-z]+(?:[A-Z][a-z]+)+)`")
SETTING = re.compile(r"`(singleton_beat_[a-z_]+)`")

# Run in the pages' blocks, and none of ours to check.
SHELL_TOOLS = {"pip", "pytest"}

# What the program does once it has read a page's code: the names in it must lead somewhere.
EPILOGUE = """
import celery, sys
for app in [of for of in list(vars().values()) if isinstance(of, celery.Celery)]:
    from celery_singleton_beat import SingletonScheduler
    app.finalize()
    read = SingletonScheduler(app).schedule
    given = app.conf.beat_schedule
    assert set(given) <= set(read), (given, read)
    unknown = {entry["task"] for entry in given.values()} - set(app.tasks)
    assert not unknown, unknown
"""


class Block(NamedTuple):
    """A fenced block of a page."""

    language: str
    text: str


def named(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def blocks(page: Path) -> list[Block]:
    return [Block(*found) for found in FENCE.findall(page.read_text(encoding="utf-8"))]


def commands() -> list[tuple[str, str]]:
    """Every command of every shell block, with its page: what follows a ``$``, parted at ``&&``."""
    lines = [
        (named(page), line.removeprefix("$ "))
        for page in [*PAGES, ROOT / ".github" / "CONTRIBUTING.md"]
        for block in blocks(page)
        if block.language == "console"
        for line in block.text.splitlines()
        if line.startswith("$ ")
    ]
    return [(page, part.strip()) for page, line in lines for part in line.split("&&")]


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_the_code_of_a_page_runs_and_its_tasks_exist(page: Path, tmp_path: Path) -> None:
    code = "\n".join(block.text for block in blocks(page) if block.language == "python")
    if not code:
        return
    program = tmp_path / "shop.py"
    program.write_text(code + EPILOGUE, encoding="utf-8")

    outcome = subprocess.run(
        [sys.executable, "-c", "import shop"],
        cwd=tmp_path,
        env={"PYTHONPATH": f"{ROOT}:{tmp_path}", "PATH": ""},
        check=False,
        capture_output=True,
        text=True,
    )

    assert outcome.returncode == 0, outcome.stderr


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_a_block_is_of_a_kind_that_is_checked(page: Path) -> None:
    kinds = {block.language for block in blocks(page)}

    assert kinds <= {"python", "console", "text"}
    assert page.read_text(encoding="utf-8").count("```") == 2 * len(blocks(page))


@pytest.mark.parametrize(("page", "command"), commands(), ids=lambda part: str(part)[:60])
def test_a_command_exists_with_the_options_it_is_given(page: str, command: str) -> None:
    words = [word for word in shlex.split(command) if not re.fullmatch(r"[A-Z_]+=\S+", word)]
    program, rest = Path(words[0]).name, words[1:]

    match program:
        case "python" | "python3":
            assert rest[0] == "-m", f"{page}: {command}"
            assert importlib.util.find_spec(rest[1]) is not None
            if rest[1] == "celery_singleton_beat":
                before = {"--redis-url": 2, "--prefix": 2}
                while len(rest) > 2 and rest[2] in before:
                    assert_offers((rest[1],), "", [rest[2]])
                    del rest[2 : 2 + before[rest[2]]]
                assert_offers((rest[1],), rest[2], options_of(rest[3:]))
        case "celery":
            assert rest[:2] == ["-A", "shop"], f"{page}: {command}"
            group = ("celery", "singleton") if rest[2] == "singleton" else ("celery",)
            called, *given = rest[1 + len(group) :]
            assert_offers(group, called, options_of(given))
        case "run":
            assert (ROOT / words[0]).is_file()
        case "ruff" | "mypy" | "lint-imports":
            assert (
                any(
                    script.name == program
                    for script in importlib.metadata.entry_points(group="console_scripts")
                )
                or Path(sys.executable).with_name(program).is_file()
            )
        case _:
            assert program in SHELL_TOOLS, f"{page}: {command}"


def options_of(words: list[str]) -> list[str]:
    return [word for word in words if word[0] == "-" and word != "-"]


def assert_offers(module: tuple[str, ...], command: str, options: list[str]) -> None:
    shown = help_of(*module, *([command] if command else []))
    for option in options:
        assert re.search(rf"(?<![\w-]){re.escape(option)}(?![\w-])", shown), (command, option)


@functools.cache
def help_of(*words: str) -> str:
    outcome = subprocess.run(
        [sys.executable, "-m", *words, "--help"],
        cwd=ROOT,
        check=False,
        capture_output=True,
        text=True,
    )
    assert outcome.returncode == 0, outcome.stderr
    return outcome.stdout


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_every_link_inside_leads_somewhere(page: Path) -> None:
    broken = [
        target
        for target in LINK.findall(FENCE.sub("", page.read_text(encoding="utf-8")))
        if not target.startswith("https://") and not leads_somewhere(page, target)
    ]

    assert broken == []


def leads_somewhere(page: Path, target: str) -> bool:
    path, _, anchor = target.partition("#")
    to = (page.parent / path).resolve() if path else page
    if not to.exists() or not to.is_relative_to(ROOT):
        return False
    return not anchor or anchor in anchors(to)


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-") for text in headings}


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_settings_and_classes_that_a_page_names_exist(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    settings = set(SETTING.findall(settings_table()))
    places = (celery_singleton_beat, errors, events, celery.exceptions)

    unknown = {name for name in SETTING.findall(text) if name not in settings}
    unknown |= {
        name for name in CAMEL.findall(text) if not any(hasattr(place, name) for place in places)
    }

    assert unknown == set()


def test_every_event_stands_in_the_table_of_operations() -> None:
    text = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    kinds = {
        name
        for name, of in vars(events).items()
        if isinstance(of, type) and issubclass(of, events.Event) and of is not events.Event
    }

    missing = {name for name in kinds if f"`{name}`" not in text}

    assert missing == set()


def test_the_readmes_settings_have_the_defaults_they_have() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    true = defaults(settings_table(), column=2)
    told = defaults(readme, column=1)

    assert told
    assert {name: true[name] for name in told} == told


def defaults(text: str, *, column: int) -> dict[str, str]:
    """The defaults of a table of settings, by setting."""
    rows = [line.strip("|").split("|") for line in text.splitlines() if line.startswith("| `sing")]
    return {row[0].strip(" `"): row[column].strip() for row in rows}


def test_every_page_can_be_found_from_the_index() -> None:
    index = ROOT / "docs" / "index.md"
    linked = {
        (index.parent / target).resolve()
        for target in LINK.findall(index.read_text(encoding="utf-8"))
    }

    assert set(PAGES) - linked - {index} == set()


def test_the_drawing_of_the_protocol_is_the_one_beside_the_code() -> None:
    page = blocks(ROOT / "docs" / "protocol.md")[0].text
    docstring = (ROOT / "celery_singleton_beat" / "protocol" / "__init__.py").read_text("utf-8")

    drawn = [line.strip() for line in page.splitlines()]

    assert all(line in [told.strip() for told in docstring.splitlines()] for line in drawn)


def test_the_readme_shows_the_first_example() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    example = (ROOT / "examples" / "shop.py").read_text(encoding="utf-8")
    schedule = re.compile(r"^    beat_schedule=\{\n.*?^    \},\n", re.MULTILINE | re.DOTALL)

    shown, run = schedule.search(readme), schedule.search(example)

    assert shown is not None
    assert run is not None
    assert shown[0] == run[0]


def test_an_acl_user_may_do_what_the_scripts_do_and_nothing_else() -> None:
    """S0-06: least rights, named in full."""
    text = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    block = next(code for code in text.split("```") if "-@all" in code)
    scripts = (ROOT / "celery_singleton_beat" / "store" / "lua").glob("*.lua")
    called = {
        name.lower()
        for script in scripts
        for name in re.findall(r"redis\.p?call\('(\w+)'", script.read_text(encoding="utf-8"))
    }

    allowed = set(re.findall(r"\+([a-z]+)", block))

    assert allowed == called | {"evalsha", "script", "select", "ping", "subscribe"}


def test_every_kind_of_fact_is_told_of() -> None:
    """As the protocol lists them."""
    listed = set(re.findall(r"^``([a-z_ ]+)``", history.__doc__ or "", re.MULTILINE))
    page = (ROOT / "docs" / "history.md").read_text(encoding="utf-8")
    rows = [line.split("|")[1] for line in page.splitlines() if line.startswith("| `")]

    told = {name for row in rows for name in re.findall(r"`([a-z_ ]+)`", row)}

    assert len(listed) > 20
    assert told == listed
