# SPDX-License-Identifier: Apache-2.0
"""Arguments, results and exceptions as capped and redacted JSON or text."""

from typing import NamedTuple, cast

import msgspec

from queuedeck_agent import redact
from queuedeck_agent.capture_override import is_of_result, override
from queuedeck_agent.capture_scan import ALWAYS_PLAIN, Scan, Unusual
from queuedeck_agent.capture_walk import (
    CARD_LIMIT,
    MAX_DEPTH,
    OVERLAP,
    REPR_KEY,
    Walk,
    qualified_name,
)
from queuedeck_agent.overrides import Hidden

MAX_MESSAGE = 2048
MAX_TRACEBACK_HEAD = 2048
MAX_TRACEBACK_TAIL = 14 * 1024


class Captured(NamedTuple):
    """What was seen, and whether it is all of it."""

    json: bytes
    plain: bool
    """Only complete values of the plain JSON types: msgspec's JSON says the same as Celery's."""
    original: bytes = b""
    """`[args, kwargs]` as they are, secrets included: to be sealed, never to be written. Only when
    they are short and plain."""
    deep: tuple[object, ...] | list[object] = ()
    """With `original`: the containers in it that are inside three others."""


_encode = encode = msgspec.json.Encoder().encode


def _finish(walk: Walk, shown: object) -> bytes:
    """Patterns run over all strings joined; only when one might match is the copy walked again."""
    if walk.strings:
        rules = redact.find_rules("\n".join(walk.strings))
        if rules:
            shown = redact.apply_rules(rules, shown)
    try:
        return _encode(shown)
    except (UnicodeEncodeError, ValueError):  # a lone surrogate: no UTF-8 can hold it
        walk.plain = False
        return _encode(_encodable(shown))


def _encodable(value: object) -> object:
    if isinstance(value, str):
        return encodable(value)
    if isinstance(value, list):
        return [_encodable(item) for item in cast("list[object]", value)]
    if isinstance(value, dict):
        pairs = cast("dict[str, object]", value)
        return {encodable(key): _encodable(item) for key, item in pairs.items()}
    return value


def encodable(text: str) -> str:
    """The text without what UTF-8 cannot hold."""
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()


def arguments(args: object, kwargs: object, hidden: Hidden = ()) -> Captured:
    """JSON `{"args": [...], "kwargs": {...}}`; `hidden`: what is said of its task."""
    try:
        scan = Scan()
        shown_args: object = scan.other(args, type(args), MAX_DEPTH)
        shown_kwargs: object = scan.other(kwargs, type(kwargs), MAX_DEPTH)
        if not hidden and not redact.find_rules(scan.joined()):
            original = _encode((args, kwargs))
            json = _encode({"args": shown_args, "kwargs": shown_kwargs})
            return Captured(json, True, original, scan.deep)
    except (Unusual, UnicodeEncodeError):
        pass
    walk = Walk()
    shown: object = {"args": walk.any(args, MAX_DEPTH), "kwargs": walk.any(kwargs, MAX_DEPTH)}
    if hidden:
        shown = override(hidden, shown, {"args": args, "kwargs": kwargs}, walk)
    json = _finish(walk, shown)
    return Captured(json, walk.plain)


def described(
    args_text: str | None, kwargs_text: str | None, captured: bytes, hidden: Hidden = ()
) -> bytes:
    """The captured arguments, with the caller's own text in place of what it stands for."""
    shown = cast("dict[str, object]", msgspec.json.decode(captured))
    if args_text is not None:
        shown["args"] = {REPR_KEY: text(args_text)}
    if kwargs_text is not None:
        shown["kwargs"] = {REPR_KEY: text(kwargs_text)}
    paths = tuple((place, rule) for place, rule in hidden if rule and not isinstance(place, int))
    return _encode(override(paths, shown, None, Walk()) if paths else shown)


def result(value: object, hidden: Hidden = ()) -> bytes:
    """JSON of a return value; `hidden`: of its task, of which only what is of the result counts."""
    if hidden and (hidden := tuple(one for one in hidden if is_of_result(one[0]))):
        walk = Walk()
        whole: object = {"result": walk.any(value, MAX_DEPTH)}
        whole = override(hidden, whole, {"result": value}, walk)
        return _finish(walk, cast("dict[str, object]", whole)["result"])
    if value is None:
        return b"null"
    kind = type(value)
    if kind in ALWAYS_PLAIN or (kind is int and -CARD_LIMIT < cast("int", value) < CARD_LIMIT):
        return _encode(value)
    walk = Walk()
    shown = walk.any(value, MAX_DEPTH)
    return _finish(walk, shown)


def text(value: str, limit: int = MAX_MESSAGE) -> str:
    """A message: capped, redacted, encodable."""
    if len(value) > limit:
        shown = redact.redact_text(value[: limit + OVERLAP])[:limit]
        value = f"{shown}... [{len(value)} characters in all]"
    else:
        value = redact.redact_text(value)
    return encodable(value)


def traceback(value: str) -> str:
    """A formatted traceback: its beginning and its end, which says most, redacted."""
    return ends_of(value, MAX_TRACEBACK_HEAD, MAX_TRACEBACK_TAIL)


def ends_of(value: str, first: int, last: int) -> str:
    """So many characters of a text's beginning and end, redacted, and how many are left out."""
    if len(value) <= first + last:
        return encodable(redact.redact_text(value))
    head = redact.redact_text(value[: first + OVERLAP])[:first]
    tail = redact.redact_text(value[-last - OVERLAP :])[-last:]
    return encodable(f"{head}\n... [{len(value) - first - last} characters left out]\n{tail}")


def exception_name(error: BaseException) -> str:
    """Qualified, without `builtins`."""
    name = qualified_name(type(error))
    return name.removeprefix("builtins.")


def exception_message(error: BaseException) -> str:
    """`str(error)` where that is Python's own and of plain arguments, else made from those."""
    if type(error).__str__ in _OWN_STR and all(type(one) in _SCALARS for one in error.args):
        return text(str(error))
    if len(error.args) == 1 and type(error.args[0]) is str:
        return text(error.args[0])
    walk = Walk()
    shown = walk.list(error.args, MAX_DEPTH)
    return encodable(_finish(walk, shown).decode()[: MAX_MESSAGE * 2]) if error.args else ""


_SCALARS = frozenset({str, int, float, bool, type(None)})
_OWN_STR = frozenset(
    {BaseException.__str__, OSError.__str__, KeyError.__str__, ImportError.__str__}
)


def fits(value: object, limit: int) -> bool:
    """Whether plain containers and texts in it are within the limit. Stops when they are not."""
    stack: list[object] = [value]
    while stack and limit >= 0:
        one = stack.pop()
        limit -= 2
        if isinstance(one, (str, bytes, bytearray)):
            limit -= len(one)
        elif type(one) is dict:
            limit -= 2 * len(one)
            if limit >= 0:
                stack += one.keys()
                stack += one.values()
        elif type(one) in (list, tuple, set, frozenset):
            many = cast("list[object]", one)
            limit -= len(many)
            if limit >= 0:
                stack += many
    return limit >= 0
