# SPDX-License-Identifier: Apache-2.0
"""What a task's author and a host's operator say about the redaction of single tasks.

Hiding wins over showing, and what is not understood hides more, never less.
"""

import inspect
import logging
import re
import types
from collections.abc import Callable, Iterable
from fnmatch import fnmatchcase
from typing import Any, NamedTuple, TypeVar

from queuedeck_agent import redact

log = logging.getLogger("queuedeck_agent")
_F = TypeVar("_F", bound=Callable[..., Any])

RULE = "task"
"""The name under which such a value is hidden."""
Path = tuple[str, ...]
"""From `args`, `kwargs` or `result` on; `*` is any name or place."""
Hidden = tuple[tuple[int | Path, str], ...]
"""(place, rule): a position among the arguments, or a path. An empty rule shows the path."""

ALL: tuple[Path, ...] = (("args",), ("kwargs",), ("result",))
_ROOTS = ("args", "kwargs", "result")
_ATTRIBUTE = "__queuedeck_redacts__"


class TaskRule(NamedTuple):
    """One place of all tasks whose name matches the pattern."""

    pattern: str
    path: Path
    shows: bool = False


class Redaction(NamedTuple):
    """What QUEUEDECK_REDACT says."""

    names: tuple[str, ...] = ()
    rules: tuple[TaskRule, ...] = ()
    doubts: tuple[str, ...] = ()
    """For the operator: what was not understood, and what is hidden because of it."""


def redacts(hide: Iterable[str] = (), show: Iterable[str] = ()) -> Callable[[_F], _F]:
    """Above `def`, below the engine's own decorator:

        @app.task
        @redacts(hide=["note", "args.0", "kwargs.order.card", "result"], show=["token_count"])
        def pay(...): ...

    `show` shows what its name alone would hide; what looks like a secret stays hidden.
    """
    hidden = [path for text in _several(hide) for path in _said(text)]
    shown = [path for text in _several(show) if (path := path_of(text))]

    def mark(function: _F) -> _F:
        # Asked for their class, an engine's lazy proxies would make their task.
        if type(function) is types.FunctionType:
            setattr(function, _ATTRIBUTE, (tuple(hidden), tuple(shown)))
            _marked.add(function.__qualname__)
        else:
            log.warning(
                "Queuedeck: @redacts stands above %r. It belongs directly above `def`; until then "
                "all arguments and results of all tasks are hidden.",
                type(function).__name__,
            )
            _rules.extend(TaskRule("*", path) for path in ALL)
        return function

    return mark


def _several(texts: Iterable[str]) -> list[str]:
    return [texts] if isinstance(texts, str) else [str(one) for one in texts]


def _said(text: str) -> tuple[Path, ...]:
    path = path_of(text)
    if path is None:
        log.warning("Queuedeck: @redacts: %r is no place; all of the task is hidden.", text)
    return ALL if path is None else (path,)


def path_of(text: str) -> Path | None:
    """`args.0`, `kwargs.order.card`, `result`, or a parameter's name; else None."""
    parts = tuple(text.strip().split("."))
    if not all(parts):
        return None
    if parts[0] not in _ROOTS:
        return ("kwargs", *parts) if len(parts) == 1 else None
    if parts[0] == "args" and len(parts) > 1 and not (parts[1].isdecimal() or parts[1] == "*"):
        return None
    return parts


_rules: list[TaskRule] = []
_marked: set[str] = set()
"""Names of functions that carry `@redacts`."""
_said_doubts: set[str] = set()


def configure(rules: tuple[TaskRule, ...], doubts: Iterable[str] = ()) -> None:
    """The operator's rules, before the first task is captured. Doubts are logged once."""
    _rules.extend(rule for rule in rules if rule not in _rules)
    for doubt in doubts:
        if doubt not in _said_doubts:
            _said_doubts.add(doubt)
            log.warning("Queuedeck: %s", doubt)


def are_given() -> bool:
    """Whether anything is said of any task so far: if not, no result needs a look at its task."""
    return bool(_rules or _marked)


def parse(text: str) -> Redaction:
    """Names of keys, and `PATTERN:path,!path,...`; `;` ends what belongs to a pattern."""
    names: list[str] = []
    rules: list[TaskRule] = []
    doubts: list[str] = []
    for group in re.sub(r"\s*([,:;!])\s*", r"\1", text).split(";"):
        pattern = ""
        for token in filter(None, re.split(r"[,\s]+", group)):
            head, colon, path = token.rpartition(":")
            if colon:
                pattern = head or "*"
                if ":" in head or not head:
                    wider = head.partition(":")[0] or "*"
                    rules += [TaskRule(wider, one) for one in ALL]
                    doubts.append(f"QUEUEDECK_REDACT: {token!r} is hidden as all of {wider!r}.")
            elif not _is_place(path, bool(pattern)):
                names.append(path)
                continue
            _add(pattern or "*", path, rules, doubts)
    return Redaction(tuple(dict.fromkeys(names)), tuple(rules), tuple(doubts))


def _is_place(token: str, follows: bool) -> bool:
    """Without a pattern before it, `result` and what has a dot were always names of keys."""
    if follows:
        return "." in token or "!" in token or token in _ROOTS
    return token.startswith(("args.", "kwargs.", "result.", "!"))


def _add(pattern: str, text: str, rules: list[TaskRule], doubts: list[str]) -> None:
    shows = text.startswith("!")
    path = path_of(text.removeprefix("!"))
    if path is not None:
        rules.append(TaskRule(pattern, path, shows))
    elif shows:
        doubts.append(f"QUEUEDECK_REDACT: {text!r} is no place, so nothing more is shown.")
    else:
        doubts.append(
            f"QUEUEDECK_REDACT: {text!r} is no place, so all of the tasks {pattern!r} is hidden."
        )
        rules.extend(TaskRule(pattern, one) for one in ALL)


def hidden_in(function: Any, name: str = "", skip: int = 0) -> Hidden:
    """What is hidden in the calls of a task. `skip`: parameters that its callers do not give."""
    parameters = _parameters(function)[skip:]
    hide, show = getattr(function, _ATTRIBUTE, ((), ()))
    rules = [rule for rule in _rules if fnmatchcase(name, rule.pattern)]
    hides = _both_ways([*hide, *(rule.path for rule in rules if not rule.shows)], parameters)
    shows = _both_ways([*show, *(rule.path for rule in rules if rule.shows)], parameters)
    places: list[tuple[int | Path, str]] = []
    for place, one in enumerate(parameters):
        rule = redact.key_rule(one)
        if rule and (rule == redact.OPERATORS_RULE or ("args", str(place)) not in shows):
            places.append((place, rule))
    places += [(path, "") for path in shows if not _is_the_operators(path, parameters)]
    places += [(path, RULE) for path in hides]
    return tuple(places)


def _is_the_operators(path: Path, parameters: list[str]) -> bool:
    """Whether a name in it is one that the operator hides."""
    names = [*path[1:]]
    if path[0] == "args" and names and names[0].isdecimal():
        names += parameters[int(names[0]) :][:1]
    return any(redact.key_rule(name) == redact.OPERATORS_RULE for name in names)


def _parameters(function: Any) -> list[str]:
    try:
        return list(inspect.signature(function).parameters) if function is not None else []
    except (TypeError, ValueError):
        return []


def _both_ways(paths: list[Path], parameters: list[str]) -> list[Path]:
    """A parameter may be given by its place or by its name."""
    both = dict.fromkeys(paths)
    for path in paths:
        root, name, rest = path[0], "".join(path[1:2]), path[2:]
        if root == "kwargs" and name in parameters:
            both[("args", str(parameters.index(name)), *rest)] = None
        elif root == "args" and name.isdecimal():
            place = int(name)
            if place < len(parameters):
                both[("kwargs", parameters[place], *rest)] = None
    return list(both)
