# SPDX-License-Identifier: AGPL-3.0-only
"""The arguments of a call as fields of a form, and the fields as a call again.

A field holds JSON. With the signature there is one for each argument, without it two boxes. What
was hidden when a task was captured is an empty field, which stands for the original where somebody
has that, and has to be filled where nobody has.
"""

import json
from collections.abc import Mapping
from typing import cast

import msgspec

from queuedeck.domain.commands.entered import (
    MARKS,
    MAX_ARGS_BYTES,
    TRUNCATED_KEY,
    has_mark,
)
from queuedeck_agent import wire
from queuedeck_agent.redact import REDACTED_KEY

PREFIX = "arg."
"""Of the names of all fields that hold arguments."""
LOCK = "lock:"
"""Before a field's name: the rule that hid its value."""
_MAX_DIGITS = 4
_WIDE = 60
_MAX_ROWS = 14
_LISTS, _MAPS = ("args", "rest"), ("kwargs", "names")


class Field(msgspec.Struct, frozen=True, kw_only=True):
    """One argument, or all of a kind."""

    name: str
    label: str
    kind: str
    """`place`, `key` (by name), `either`; `rest` and `names` for `*args` and `**kwargs`; `args` and
    `kwargs` for all of them."""
    key: str = ""
    annotation: str = ""
    text: str = ""
    required: bool = False
    lock: str = ""
    """The rule that hid the value; then the text is empty."""
    hint: str = ""
    error: str = ""
    rows: int = 1


class Call(msgspec.Struct, frozen=True):
    """What the fields say; of use only if no field has an error."""

    args: list[object]
    kwargs: dict[str, object]


def fields_of_task(raw: bytes, info: wire.TaskInfo | None, kept: bool) -> tuple[Field, ...]:
    """Filled with the captured arguments. `kept`: somebody can open the original call."""
    args, kwargs = _captured(raw)
    if info is None or not info.has_signature or not _is_whole(args, kwargs):
        return _boxes(args, kwargs, kept)
    places, named = cast("list[object]", args), cast("dict[str, object]", kwargs)
    by_name = {one.name: one for one in info.parameters}
    order = [p for p in info.parameters if p.kind in ("positional", "either")]
    found = [_filled(_place(number, order), value, kept) for number, value in enumerate(places)]
    for name, value in named.items():
        found.append(
            _filled(_named(by_name.get(name) or wire.Parameter(name, "named")), value, kept)
        )
    for one in info.parameters:
        placed = one in order[: len(places)]
        if one.kind in ("either", "named") and not placed and one.name not in named:
            found.append(msgspec.structs.replace(_named(one), required=False))
    return (*found, *(_more(one) for one in info.parameters if one.kind == "names"))


def fields_of_signature(info: wire.TaskInfo | None) -> tuple[Field, ...]:
    """Filled with the defaults."""
    if info is None or not info.has_signature:
        return _boxes([], {}, False)
    return tuple(_of_parameter(one) for one in info.parameters)


def fields_of_form(form: Mapping[str, str], info: wire.TaskInfo | None) -> tuple[Field, ...]:
    """Those that a form had: by the signature, or filled like another task's call."""
    by_signature = fields_of_signature(info)
    if not unknown_fields(by_signature, form):
        return by_signature
    if f"{PREFIX}*" in form:
        return _boxes([], {}, False)
    parameters = info.parameters if info else ()
    order = [p for p in parameters if p.kind in ("positional", "either")]
    by_name = {one.name: one for one in parameters}
    found: list[Field] = []
    for name in form:
        what = name.removeprefix(PREFIX)
        if not name.startswith(PREFIX):
            continue
        if what.isdecimal() and len(what) <= _MAX_DIGITS:
            field = _place(int(what), order)
        elif what == "++":
            field = _more(wire.Parameter("kwargs", "names"))
        else:
            one = by_name.get(what[1:]) or wire.Parameter(what[1:], "named")
            field = _named(one)
        lock = form.get(LOCK + name, "")
        required = field.required or bool(lock)
        found.append(msgspec.structs.replace(field, lock=lock, required=required))
    return tuple(found)


def read(
    fields: tuple[Field, ...], form: Mapping[str, str], kept: bool
) -> tuple[Call, tuple[Field, ...]]:
    """The call that was written, and the fields as they were filled, with what is wrong."""
    call = Call([], {})
    either: list[tuple[str, object]] = []
    seen: list[Field] = []
    for field in fields:
        text = form.get(field.name, field.text).strip()
        field = msgspec.structs.replace(field, text=text, rows=_rows(text))
        value, error = _value(field, kept)
        seen.append(msgspec.structs.replace(field, error=error))
        if error or value is _NOTHING:
            continue
        if field.kind == "either":
            either.append((field.key, value))
        else:
            _put(call, field, value)
    return _joined(call, either, seen), tuple(seen)


def unknown_fields(fields: tuple[Field, ...], form: Mapping[str, str]) -> bool:
    """Whether arguments were sent for which there is no field: the signature has changed."""
    names = {field.name for field in fields}
    return any(name.startswith(PREFIX) and name not in names for name in form)


def _joined(call: Call, either: list[tuple[str, object]], seen: list[Field]) -> Call:
    """By name, but where more follow by their place."""
    if not call.args or not any(f.kind == "rest" and f.text for f in seen):
        call.kwargs.update(either)
        return call
    before = [value for _, value in either]
    first = sum(f.kind == "place" and bool(f.text) for f in seen)
    return Call([*call.args[:first], *before, *call.args[first:]], call.kwargs)


def _put(call: Call, field: Field, value: object) -> None:
    if field.kind == "place":
        call.args.append(value)
    elif field.kind in _LISTS:
        call.args.extend(cast("list[object]", value))
    elif field.kind in _MAPS:
        call.kwargs.update(cast("dict[str, object]", value))
    else:
        call.kwargs[field.key] = value


_NOTHING = object()


def _value(field: Field, kept: bool) -> tuple[object, str]:
    """What a field holds, or what is wrong with it."""
    if not field.text:
        if field.lock and kept:
            return {REDACTED_KEY: field.lock}, ""
        if field.lock:
            return _NOTHING, "It was hidden, and nobody has the original. Write the whole value."
        return _NOTHING, "This one is needed." if field.required else ""
    if len(field.text) > MAX_ARGS_BYTES:
        return _NOTHING, f"Larger than {MAX_ARGS_BYTES >> 10} KiB."
    try:
        value: object = json.loads(field.text, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        return _NOTHING, _not_json(field.text, error)
    if field.kind in _LISTS and not isinstance(value, list):
        return _NOTHING, 'This is a list: [1, "two"].'
    if field.kind in _MAPS and not isinstance(value, dict):
        return _NOTHING, 'This is a map of names: {"user": 7}.'
    if has_mark(value) and not kept:
        return _NOTHING, "A part of it was hidden or cut, and nobody has it. Write the whole value."
    return value, ""


def _no_constant(name: str) -> object:
    raise ValueError(f"{name} is no JSON")


def _not_json(text: str, error: Exception) -> str:
    if text[0].isalpha() and text not in ("true", "false", "null") and len(text) <= _WIDE:
        return f"Not JSON. A text needs quotes: {json.dumps(text, ensure_ascii=False)}"
    where = f" at character {error.pos + 1}" if isinstance(error, json.JSONDecodeError) else ""
    return f"Not JSON{where}."


def _captured(raw: bytes) -> tuple[object, object]:
    try:
        whole: object = json.loads(raw or b"{}")
    except (ValueError, RecursionError):
        return [], {}
    if not isinstance(whole, dict):
        return [], {}
    parts = cast("dict[str, object]", whole)
    return parts.get("args", []), parts.get("kwargs", {})


def _is_whole(args: object, kwargs: object) -> bool:
    """Whether all arguments are there, each on its own."""
    if not isinstance(args, list) or not isinstance(kwargs, dict):
        return False
    last = cast("list[object]", args)[-1:]
    is_cut = isinstance(last[0], dict) and set(last[0]) == {TRUNCATED_KEY} if last else False
    return not is_cut and not set(cast("dict[str, object]", kwargs)) & set(MARKS)


def _boxes(args: object, kwargs: object, kept: bool) -> tuple[Field, ...]:
    given = (
        Field(name=f"{PREFIX}*", label="Arguments by place", kind="args", hint="A JSON list."),
        Field(name=f"{PREFIX}**", label="Arguments by name", kind="kwargs", hint="A JSON map."),
    )
    first = args if isinstance(args, list) else []
    keys = set(cast("dict[str, object]", kwargs)) if isinstance(kwargs, dict) else {REDACTED_KEY}
    second = {} if keys & set(MARKS) - ({TRUNCATED_KEY} if kept else set()) else kwargs
    lost = first is not args or second is not kwargs
    hint = " The captured ones are no list and map, so nothing is filled in." if lost else ""
    filled = [
        _filled(msgspec.structs.replace(box, hint=box.hint + hint), value, kept)
        for box, value in zip(given, (first, second), strict=True)
    ]
    return tuple(filled)


def _place(number: int, order: list[wire.Parameter]) -> Field:
    known = order[number] if number < len(order) else None
    return Field(
        name=f"{PREFIX}{number}",
        label=known.name if known else f"argument {number + 1}",
        kind="place",
        annotation=known.annotation if known else "",
        required=True,
    )


def _named(one: wire.Parameter) -> Field:
    default = f"Left empty: {one.default}." if one.default else "Left empty: its own default."
    return Field(
        name=f"{PREFIX}.{one.name}",
        label=one.name,
        kind="key",
        key=one.name,
        annotation=one.annotation,
        hint="" if one.required else default,
        required=one.required,
    )


def _of_parameter(one: wire.Parameter) -> Field:
    if one.kind in ("places", "names"):
        return _more(one)
    field = _named(one)
    kind = {"positional": "place", "either": "either"}.get(one.kind, "key")
    return msgspec.structs.replace(field, kind=kind, text=one.default, rows=_rows(one.default))


def _more(one: wire.Parameter) -> Field:
    if one.kind == "places":
        return Field(
            name=f"{PREFIX}+", label=f"*{one.name}", kind="rest", hint="More by place, a JSON list."
        )
    return Field(
        name=f"{PREFIX}++", label=f"**{one.name}", kind="names", hint="More by name, a JSON map."
    )


def _filled(field: Field, value: object, kept: bool) -> Field:
    """With a captured value; one that is hidden whole stays empty."""
    if isinstance(value, dict) and set(cast("dict[str, object]", value)) == {REDACTED_KEY}:
        lock = str(cast("dict[str, object]", value)[REDACTED_KEY])
        hint = "Left empty, the original value stays." if kept else "Nobody has the original value."
        return msgspec.structs.replace(field, lock=lock, hint=hint, required=not kept)
    text = json.dumps(value, ensure_ascii=False)
    if len(text) > _WIDE and isinstance(value, (dict, list)):
        text = json.dumps(value, ensure_ascii=False, indent=2)
    hint = field.hint
    if has_mark(value):
        hint = (
            "Some of it is hidden or cut. What stays as it is shown keeps its original value."
            if kept
            else "Some of it was hidden or cut, and nobody has the rest. Write the whole value."
        )
    return msgspec.structs.replace(field, text=text, hint=hint, rows=_rows(text))


def _rows(text: str) -> int:
    return min(_MAX_ROWS, text.count("\n") + 1 + len(text) // 90)
