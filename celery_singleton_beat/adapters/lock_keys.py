"""Lock keys: what ``lock_key`` of a task may be, checked at start, and the key of a call.

Runs in: worker.

All that can be known of a task is worked out once, when its options are read.
"""

from __future__ import annotations

import inspect
import string
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from types import FunctionType
from typing import Any, Final, NamedTuple

from celery_singleton_beat import setting_values as values
from celery_singleton_beat.errors import ConfigurationError
from celery_singleton_beat.protocol.key_text import bounded, moment_of, text_of

LockKey = str | Sequence[str] | Callable[..., str]
"""What ``lock_key`` may be: a template, the names of arguments, or what makes the key."""

MakeKey = Callable[[Sequence[Any], Mapping[str, Any]], str]
"""What makes the key of a call, from its positional and its keyword arguments."""

_formatter: Final = string.Formatter()
_Kind: Final = inspect.Parameter


def given_lock_key(task: Any) -> Any:
    """Tell what a task says of its lock key: a function as it was written, unless it is a method.

    An option of ``@app.task`` becomes an attribute of the task's class, where
    every function looks like a method; one does if it calls its first ``self``.
    """
    given = inspect.getattr_static(task, "lock_key")
    if isinstance(given, partial):
        return given
    if isinstance(given, FunctionType) and given.__code__.co_varnames[:1] != ("self",):
        return given
    return task.lock_key


def key_maker(task: Any, given: LockKey) -> MakeKey:
    """Work out how the keys of a task's calls are made.

    Raises:
        ConfigurationError: they cannot be made from its arguments.
    """
    if isinstance(given, str):
        values.Text().check(given, f"lock_key of task {task.name}")
        return _from_template(task, given) if "{" in given else _constant(given)
    if isinstance(given, list | tuple):
        return _from_names(task, given)
    if callable(given):
        return _from_callable(task, given)
    msg = (
        f"lock_key of task {task.name} must be a text, a list of argument names or a callable, "
        f"not {type(given).__name__}"
    )
    raise ConfigurationError(msg)


class _Parameters:
    """The parameters of a task's body, and what a call gives them."""

    def __init__(self, task: Any, lock_key: object) -> None:
        self.about = f"lock_key {described(lock_key)} of task {task.name}"
        try:
            self.signature = inspect.signature(task.run)
        except (TypeError, ValueError) as error:
            raise ConfigurationError(f"{self.about}: its arguments are unknown: {error}") from error
        self.all = self.signature.parameters
        self.any_name = next(iter(self._of(_Kind.VAR_KEYWORD)), None)
        self.by_place = self._of(_Kind.POSITIONAL_ONLY, _Kind.VAR_POSITIONAL)
        self._in_order = self._of(_Kind.POSITIONAL_OR_KEYWORD)
        self._defaults = {
            name: found.default
            for name, found in self.all.items()
            if found.default is not _Kind.empty
        }
        self._is_plain = not self.by_place and self.any_name is None

    def _of(self, *kinds: Any) -> tuple[str, ...]:
        return tuple(name for name, found in self.all.items() if found.kind in kinds)

    def check(self, names: Iterable[str]) -> None:
        """See that arguments of these names exist.

        Raises:
            ConfigurationError: they do not.
        """
        for name in names:
            if name not in self.all and (self.any_name is None or not name.isidentifier()):
                hint = values.did_you_mean(name, self.all)
                raise ConfigurationError(f"{self.about} names no argument {name!r}{hint}")

    def named(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """Give every argument of a call its name; those left out have their defaults.

        Raises:
            TypeError: the body could not be called like that.
        """
        if self._is_plain:
            # Many times quicker than to bind. What does not fit is left to that, for its text.
            given = dict(zip(self._in_order, args, strict=False))
            if len(args) == len(given) and given.keys().isdisjoint(kwargs):
                arguments = {**self._defaults, **given, **kwargs}
                if arguments.keys() == self.all.keys():
                    return arguments
        bound = self.bind(args, kwargs)
        extra = bound.arguments.get(self.any_name, {}) if self.any_name else {}
        return {**extra, **bound.arguments}

    def bind(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> inspect.BoundArguments:
        bound = self.signature.bind(*args, **kwargs)
        bound.apply_defaults()
        return bound


def described(lock_key: object) -> str:
    """Write a lock key as a person would look for it."""
    return str(getattr(lock_key, "__qualname__", None) or repr(lock_key))


class _Field(NamedTuple):
    """A text of a template and the field behind it, if there is one."""

    text: str
    name: str | None
    is_plain: bool
    conversion: str | None
    spec: str


def _constant(key: str) -> MakeKey:
    def make(_args: Sequence[Any], _kwargs: Mapping[str, Any]) -> str:
        return key

    return make


def _from_template(task: Any, template: str) -> MakeKey:
    parameters = _Parameters(task, template)
    fields = _read(template, parameters)

    def make(args: Sequence[Any], kwargs: Mapping[str, Any]) -> str:
        arguments = parameters.named(args, kwargs)
        parts = []
        for text, name, is_plain, conversion, spec in fields:
            parts.append(text)
            if name is not None:
                if is_plain:
                    value = arguments[name]
                else:
                    value, _ = _formatter.get_field(name, (), arguments)
                if "{" in spec:
                    spec = _formatter.vformat(spec, (), arguments)  # noqa: PLW2901
                parts.append(_formatted(value, conversion, spec))
        return bounded("".join(parts))

    return make


def _read(template: str, parameters: _Parameters) -> list[_Field]:
    fields = []
    try:
        for text, name, spec, conversion in _formatter.parse(template):
            is_plain = name is not None and name.isidentifier()
            fields.append(_Field(text, name, is_plain, conversion, spec or ""))
            nested = [found for _, found, _, _ in _formatter.parse(spec or "") if found is not None]
            for field in nested if name is None else (name, *nested):
                first = field.partition(".")[0].partition("[")[0]
                parameters.check([first])
                _formatter.get_field(field, (), {first: _Anything()})
            if conversion is not None:
                _formatter.convert_field(None, conversion)
    except ConfigurationError:
        raise
    except ValueError as error:
        raise ConfigurationError(f"{parameters.about} cannot be read: {error}") from error
    return fields


class _Anything:
    """A value that has all attributes and members."""

    def __getattr__(self, name: str) -> _Anything:
        return self

    def __getitem__(self, name: object) -> _Anything:
        return self


def _formatted(value: Any, conversion: str | None, spec: str) -> str:
    """Write a field: with a conversion or a format just as Python does."""
    if conversion is not None:
        value = _formatter.convert_field(value, conversion)
    elif not spec:
        return text_of(value)
    elif "%" in spec and isinstance(value, str):
        # A moment may arrive as its ISO text.
        value = moment_of(value) or value
    return format(value, spec)


def _from_names(task: Any, names: Sequence[str]) -> MakeKey:
    parameters = _Parameters(task, names)
    if not names or not all(isinstance(name, str) for name in names):
        msg = f"{parameters.about} must name one argument or more, each by a text"
        raise ConfigurationError(msg)
    parameters.check(names)

    def make(args: Sequence[Any], kwargs: Mapping[str, Any]) -> str:
        arguments = parameters.named(args, kwargs)
        told = ",".join(f"{name}={_marked(text_of(arguments[name]))}" for name in names)
        return bounded(f"{task.name}:{told}")

    return make


def _marked(text: str) -> str:
    """Write a text so that no comma of its own ends it."""
    return text.replace("%", "%25").replace(",", "%2C") if "," in text or "%" in text else text


def _from_callable(task: Any, given: Callable[..., Any]) -> MakeKey:
    parameters = _Parameters(task, given)
    _check_callable(given, parameters)

    def make(args: Sequence[Any], kwargs: Mapping[str, Any]) -> str:
        if parameters.by_place:
            bound = parameters.bind(args, kwargs)
            key = given(*bound.args, **bound.kwargs)
        else:
            arguments = parameters.named(args, kwargs)
            arguments.pop(parameters.any_name or "", None)
            key = given(**arguments)
        if not isinstance(key, str) or not key:
            msg = f"it gave {key!r} ({type(key).__name__}) where a text belongs"
            raise TypeError(msg)
        return bounded(str.__str__(key))

    return make


def _check_callable(given: Callable[..., Any], parameters: _Parameters) -> None:
    """See at start that a callable takes what the task's body takes.

    Raises:
        ConfigurationError: it does not.
    """
    try:
        signature = inspect.signature(given)
    except (TypeError, ValueError):
        return  # written in C; the first call tells
    places, names = [], {}
    for name, found in parameters.all.items():
        if found.kind in (_Kind.POSITIONAL_ONLY, _Kind.POSITIONAL_OR_KEYWORD) and (
            parameters.by_place
        ):
            places.append(name)
        elif found.kind in (_Kind.POSITIONAL_OR_KEYWORD, _Kind.KEYWORD_ONLY):
            names[name] = name
    is_open = any(
        found.kind in (_Kind.VAR_POSITIONAL, _Kind.VAR_KEYWORD) for found in parameters.all.values()
    )
    try:
        # Where the body takes anything, what else the callable needs may come.
        (signature.bind_partial if is_open else signature.bind)(*places, **names)
    except TypeError as error:
        msg = (
            f"{parameters.about} cannot be called with the task's arguments "
            f"({', '.join(parameters.all)}): {error}. It is given all of them by their names: "
            "let **_ take those that it does not need"
        )
        raise ConfigurationError(msg) from error
