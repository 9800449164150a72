# SPDX-License-Identifier: Apache-2.0
"""Makes the payload of an edited or a submitted call, with the application's code and serializer.
In a forking worker this runs in a process of its own: see `apart.py`."""

from collections.abc import Callable
from typing import Any

import msgspec

from queuedeck_agent import capture, edit
from queuedeck_agent.engines import commands
from queuedeck_agent.engines.rq import apart
from queuedeck_agent.engines.rq.plain import PlainCall
from queuedeck_agent.engines.rq.publish import function_named
from queuedeck_agent.errors import CommandRefused
from queuedeck_agent.overrides import Hidden, hidden_in

_NULL = b"null"
_TEXT_CHARS = 75
"""Of an argument in RQ's description of a job: RQ's own number."""


class Made(msgspec.Struct, frozen=True, array_like=True):
    """A new payload; or why there is none."""

    data: bytes = b""
    shown: bytes = b""
    """Redacted arguments."""
    description: str = ""
    code: str = ""
    message: str = ""


_encode = msgspec.msgpack.Encoder().encode
_decode_made = msgspec.msgpack.Decoder(Made).decode
_decode_shown = msgspec.msgpack.Decoder(list[bytes]).decode


def edited(data: bytes, name: str, given: bytes, serializer: Any, forks: bool) -> Made:
    """The original call with what was changed. Raises `CommandRefused`."""
    return _made(lambda: _edited(data, name, given, serializer), forks)


def entered(name: str, given: bytes, serializer: Any, forks: bool) -> Made:
    """A call by name. Raises `CommandRefused`, too, when there is no such function."""
    return _made(lambda: _entered(name, given, serializer), forks)


def shown(calls: "list[PlainCall | None]", forks: bool) -> list[msgspec.Raw]:
    """Redacted arguments of waiting calls; null where a parameter's name may hide a secret."""
    if not any(calls):
        return [msgspec.Raw(_NULL) for _ in calls]
    find = _imported if forks else function_named
    try:
        found = apart.run(lambda: _encode([_shown(call, find) for call in calls]), forks)
    except CommandRefused:
        return [msgspec.Raw(_NULL) for _ in calls]
    return [msgspec.Raw(one) for one in _decode_shown(found)]


def _made(make: Callable[[], Made], forks: bool) -> Made:
    def work() -> bytes:
        try:
            return _encode(make())
        except CommandRefused as refusal:
            return _encode(Made(code=refusal.code, message=refusal.message))
        except Exception as error:  # noqa: BLE001 - whatever the application's code can raise
            why = f"{capture.exception_name(error)}: {capture.exception_message(error)}"
            return _encode(Made(code="error", message=f"The call could not be made. {why}"))

    made = _decode_made(apart.run(work, forks))
    if made.code:
        raise CommandRefused(made.code, made.message)
    return made


def _edited(data: bytes, name: str, given: bytes, serializer: Any) -> Made:
    try:
        function_name, instance, args, kwargs = serializer.loads(data)
    except Exception as error:  # noqa: BLE001 - whatever a serializer can raise
        raise CommandRefused(
            "error",
            f"The original call cannot be read here ({capture.exception_name(error)}): it needs "
            "the application's code, and the serializer it was enqueued with.",
        ) from None
    function = getattr(instance, function_name, None) if instance else _imported(function_name)
    if not callable(function):
        raise _no_function(function_name)
    hidden = hidden_in(function, name)
    call = edit.merged(given, args, kwargs, hidden)
    return _packed(function_name, instance, call, hidden, serializer)


def _entered(name: str, given: bytes, serializer: Any) -> Made:
    call = edit.entered(given)
    function = _imported(name)
    if not callable(function):
        raise _no_function(name)
    return _packed(name, None, call, hidden_in(function, name), serializer)


def _no_function(name: str) -> CommandRefused:
    return CommandRefused(
        "invalid", f"The application has no function `{name}` here. Nothing was enqueued."
    )


def _packed(name: str, instance: Any, call: edit.Call, hidden: Hidden, serializer: Any) -> Made:
    from rq.utils import get_call_string

    args, kwargs = tuple(call.args), call.kwargs
    return Made(
        serializer.dumps((name, instance, args, kwargs)),
        capture.arguments(args, kwargs, hidden).json,
        get_call_string(name, args, kwargs, max_length=_TEXT_CHARS) or "",
    )


def _shown(call: "PlainCall | None", find: Callable[[str], Any]) -> bytes:
    if call is None:
        return _NULL
    function = find(call.name)
    if function is None and call.args:
        return _NULL
    return bytes(commands.shown(call.args, call.kwargs, hidden_in(function, call.name)))


def _imported(name: str) -> Any:
    """As RQ finds it; None if it is not there."""
    from rq.utils import import_attribute

    try:
        return import_attribute(name)
    except Exception:  # noqa: BLE001 - a module of the application can raise anything
        return None
