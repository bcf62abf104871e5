"""What may be typed after a command: by its parameters, as click knows them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Final

import click
from hypothesis import strategies as st

from tests.fuzz.injuries import NUMBERS, TEXTS

FORGED: Final = "FORGED: all is lost"

ANY: Final = (
    *TEXTS,
    *(f"x\n{FORGED}\x1b[2J", f"x\r\n{FORGED}", f"x\u2028{FORGED}", "\x9b31m", "\u202e", "\udcff"),
    *("\x1b]0;owned\x07", "{{7*7}}", "{0.__class__}", "%(x)s", "${HOME}", "$(id)", "' OR 1"),
    *("../../x", "~", "-", "--", "-1", "--by", "*", "[red]kept[/red]", "9" * 5000, "none"),
)
TELLING: Final = (f"x\r\n{FORGED}", "\x1b[2J\u202e", "\udcff", "", "--", "9" * 5000)
"""Those of them that tell most, one of each kind."""

OF_NUMBERS: Final = (*NUMBERS, "1e15", "1e300", "-1e300", "1e-300", str(10**9), str(10**15))
OF_TIMES: Final = (
    *("9999-12-31", "9999-12-31T23:59:59-23:59", "0001-01-01", "0001-01-01T00:00+23:59"),
    *("1969-12-31", "2026-02-30", "24:00", "2026-01-01T00:00:00.000001Z", "Z", "nowZ", "20260101"),
)
OF_JSON: Final = (
    *("[" * 100_000, '{"a":' * 5000, "[1e400]", '{"a": NaN}', f"[{'9' * 5000}]", "null", "7"),
    *('["\\ud800"]', '{"\\u0000": "\\ud800"}', '{"queue": []}', '{"headers": {"id": "x"}}', "[[]]"),
)
OF_RULES: Final = ("0 0 30 2 *", "* * * * * *", "FREQ=SECONDLY;BYHOUR=25", "@reboot", "*/0 * * * *")
HOSTILE: Final = {
    **dict.fromkeys(("moment", "start", "end"), OF_TIMES),
    **dict.fromkeys(("seconds", "float range", "integer", "integer range"), OF_NUMBERS),
    **dict.fromkeys(("max_entries", "min_interval", "max_per_minute"), OF_NUMBERS),
    **dict.fromkeys(("json_list", "json_object"), OF_JSON),
    "when": (*OF_NUMBERS, *OF_TIMES, *OF_RULES),
    "timezone": ("Europe/Atlantis", "../../../etc/passwd", "localtime", "utc", "UTC+25"),
    "": (),
}
hostile = st.sampled_from(ANY) | st.text(max_size=20)
FITTING: Final = {
    **dict.fromkeys(("moment", "start", "end"), ("2026-01-01", "2026-03-01T00:00+01:00", "now")),
    **dict.fromkeys(("seconds", "float range", "timeout"), ("30", "0.5", "2")),
    **dict.fromkeys(("integer", "integer range"), ("1", "2", "30")),
    **dict.fromkeys(("name", "names"), ("kept", "kept", "other", "new")),
    "json_list": ("[1]", '["a", {"b": null}]'),
    "json_object": ('{"a": 1}', "{}"),
    "when": ("60", "0 8 * * *", "FREQ=DAILY;COUNT=3", "2026-12-31T22:00+01:00"),
    "timezone": ("UTC", "Europe/Rome"),
    "task": ("some.task", "another.task"),
    "tenant": ("acme", "nobody"),
    "key": ("held", "free"),
    "request_id": ("asked", "not-asked"),
    "url": ("redis://127.0.0.1:1/0", "redis://127.0.0.1:1/x", "sentinel://127.0.0.1:1/0"),
    "": ("acme", "30", "none"),
}
"""What fits a parameter, by the name of its type or its own: most of a line must be in order,
or what is not is never looked at."""

# An absolute path, or one upwards, would be read and written where it is.
PATHS: Final = (
    *("here", ".", "", "-", "no/such/file", "x" * 300, "\udcff", f"x\n{FORGED}\x1b[2J"),
)
paths = st.sampled_from(PATHS) | st.text(max_size=20).map(
    lambda text: text.replace("/", "_").replace(".", "_")
)
documents = hostile | st.sampled_from(
    (
        '[{"name": "kept", "task": "some.task", "recurrence": 60}]',
        '[{"name": "new", "task": "some.task"}, 7]',
        json.dumps({"name": f"x\n{FORGED}", "task": "some.task", "recurrence": "\x1b[2J"}),
        json.dumps({"format": "celery-singleton-beat timetable", "version": 1, "entries": [{}]}),
        json.dumps({"format": "celery-singleton-beat timetable", "version": 1}),
    )
)


def each_in_turn(command: click.Command) -> Iterator[list[str]]:
    """All that is wrong for each parameter, in lines that are in order otherwise."""
    for wrong in takes_of(command):
        own = PATHS if takes_a_path(wrong) else (*known(HOSTILE, wrong), *TELLING)
        for text in own:
            typed: list[str] = []
            for param in takes_of(command):
                if param is wrong or param.required:
                    typed += [] if isinstance(param, click.Argument) else [param.opts[0]]
                    typed.append(text if param is wrong else fitting(param)[0])
            yield as_words([*typed, *(["--yes"] if has_yes(command) else [])])


def known(table: dict[str, tuple[str, ...]], param: click.Parameter) -> tuple[str, ...]:
    """What a table has for a parameter: by the name of its type, or its own."""
    names = (param.type.name, str(param.name), "")
    return next(table[name] for name in names if name in table)


def fitting(param: click.Parameter) -> tuple[str, ...]:
    """What fits a parameter."""
    if takes_a_path(param):
        return ("-", "here")
    if isinstance(param.type, click.Choice):
        return tuple(map(str, param.type.choices))
    return known(FITTING, param)


def takes_of(command: click.Command) -> list[click.Parameter]:
    """The parameters that have a value."""
    return [param for param in command.params if not getattr(param, "is_flag", False)]


def takes_a_path(param: click.Parameter) -> bool:
    return isinstance(param.type, click.File | click.Path)


def has_yes(command: click.Command) -> bool:
    return any("--yes" in param.opts for param in command.params)


def as_words(typed: list[str]) -> list[str]:
    """The words as they reach a process: no system hands it one with a zero byte in it."""
    return [word.replace("\x00", "") for word in typed]


@st.composite
def lines(draw: st.DrawFn, command: click.Command) -> list[str]:
    """What may be typed after a command: mostly in order, but for one parameter."""
    typed: list[str] = []
    takes = takes_of(command)
    wrong = draw(st.sampled_from([*takes, None]))
    for param in command.params:
        value = wrong_for(param) if param is wrong else st.sampled_from(fitting(param))
        if isinstance(param, click.Argument):
            least = int(param is wrong or draw(st.integers(0, 9)) > 0)
            typed += draw(st.lists(value, min_size=least, max_size=3 if param.nargs == -1 else 1))
        elif param is wrong or param.required or draw(st.integers(0, 5)) == 0:
            typed.append(draw(st.sampled_from((*param.opts, *param.secondary_opts))))
            typed += [draw(value)] if param in takes else []
    if draw(st.integers(0, 14)) == 0:
        more = hostile | st.just(f"--\x1b[2J\n{FORGED}")
        typed.insert(draw(st.integers(0, len(typed))), draw(more))
    return as_words(typed)


def wrong_for(param: click.Parameter) -> st.SearchStrategy[str]:
    """What may be typed for a parameter that is none of it, or at the end of its range."""
    if takes_a_path(param):
        return paths
    own = known(HOSTILE, param)
    return st.sampled_from(own) | hostile if own else hostile
