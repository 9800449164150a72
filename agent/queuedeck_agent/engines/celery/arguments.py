# SPDX-License-Identifier: Apache-2.0
"""The arguments of one Celery task: what people may see of them, and the sealed original."""

from typing import Any

from queuedeck_agent import capture
from queuedeck_agent.agent import Agent
from queuedeck_agent.engines.celery import call as celery_call
from queuedeck_agent.overrides import Hidden, hidden_in

_MAX_CACHED_TASKS = 4096


class Arguments:
    """Captures and seals for one application and source."""

    def __init__(self, agent: Agent, app: Any, source: str) -> None:
        self.agent = agent
        self.app = app
        self.source = source
        self._wanted = agent.config.capture_args
        self._seal = agent.seals.seal
        self._known: dict[str, tuple[Hidden, str]] = {}
        """Hidden positions and serialisation of each task."""
        self._serializer = str(app.conf.task_serializer or "json")
        self._may_pickle = "pickle" in (app.conf.accept_content or ())
        self._limits = (
            getattr(app.amqp, "argsrepr_maxsize", 1024),
            getattr(app.amqp, "kwargsrepr_maxsize", 1024),
        )

    def take(
        self,
        name: str,
        task_id: str,
        args: Any,
        kwargs: Any,
        headers: "dict[str, Any]",
        delivery: "dict[str, Any]",
        embed: Any,
    ) -> tuple[bytes, bytes]:
        """(redacted JSON, sealed call); either may be empty."""
        if not self._wanted:
            return b"", b""
        hidden, serializer = self._known.get(name) or self._learn(name)
        shown = capture.arguments(args, kwargs, hidden)
        # `apply_async(argsrepr=...)` is how applications hide arguments: then that is shown.
        args_text, kwargs_text = headers.get("argsrepr"), headers.get("kwargsrepr")
        if shown.original and _tells_all(args_text, kwargs_text, shown):
            args_text = kwargs_text = None
        else:
            args_text = _own_text(args_text, args, self._limits[0], shown.plain)
            kwargs_text = _own_text(kwargs_text, kwargs, self._limits[1], shown.plain)
        json = shown.json
        if args_text is not None or kwargs_text is not None:
            json = capture.described(args_text, kwargs_text, json, hidden)
        if shown.original and serializer == "json":
            body = celery_call.as_json(shown.original)
        else:
            body = celery_call.serialise(args, kwargs, shown.plain, serializer, self._may_pickle)
        texts = (args_text, kwargs_text)
        call = celery_call.pack(body, headers, delivery, embed, texts)
        if not call:
            return json, b""
        return json, self._seal(self.agent.project, self.source, name, task_id, call)

    def look(
        self, name: str, args: Any, kwargs: Any, headers: "dict[str, Any]", opened: bool
    ) -> bytes:
        """Redacted JSON of a message that waits. `opened`: whether args and kwargs are known; else
        the texts that Celery put into the headers stand for them."""
        hidden = self.hidden_in(name)
        shown = capture.arguments(args, kwargs, hidden)
        texts: list[Any] = [headers.get("argsrepr"), headers.get("kwargsrepr")]
        if opened:
            pairs = zip(texts, (args, kwargs), self._limits, strict=True)
            texts = [_own_text(text, value, limit, shown.plain) for text, value, limit in pairs]
        if texts == [None, None]:
            return shown.json
        return capture.described(texts[0], texts[1], shown.json, hidden)

    def hidden_in(self, name: str) -> Hidden:
        """Only what the setting says while the task is not known here."""
        return (self._known.get(name) or self._learn(name))[0]

    def _learn(self, name: str) -> tuple[Hidden, str]:
        task = self.app.tasks.get(name)
        found = (
            hidden_in(getattr(task, "run", None), name),
            str(getattr(task, "serializer", "") or self._serializer),
        )
        if task is not None and len(self._known) < _MAX_CACHED_TASKS:
            self._known[name] = found
        return found


_PUNCTUATION = b"'\"()[]{},: "
_SMALL = bytes(range(256)).lower()


def _tells_all(args_text: Any, kwargs_text: Any, shown: capture.Captured) -> bool:
    """Whether the texts say all that the JSON of the arguments does, but for what is too deep for
    Celery's `saferepr`: then nobody has hidden anything. True for nearly all calls; it compares
    letters and digits, so a text that only looks different is left to `_own_text`."""
    if type(args_text) is not str or type(kwargs_text) is not str:
        return False
    said = shown.original
    for one in shown.deep:
        said = said.replace(capture.encode(one), b"...", 1)
    said = said.translate(_SMALL, _PUNCTUATION).replace(b"null", b"none")
    text = (args_text + kwargs_text).encode("utf-8", "replace")
    return text.translate(_SMALL, _PUNCTUATION).replace(b"null", b"none") == said


def _own_text(text: Any, value: Any, limit: int, small: bool) -> str | None:
    """The text if the caller gave it, None if it is what Celery makes of the value by itself."""
    if not isinstance(text, str) or (not value and text in ("()", "[]", "{}")):
        return None
    if small and "..." not in text and repr(value)[1:-1] == text[1:-1]:
        return None  # Python's own repr is the quickest to make, and mostly the same
    if small or capture.fits(value, 2 * limit):
        made = _as_celery(value, 0)
        if made == text or (text[0:1] == "(" and _as_tuple(made, value) == text):
            return None
        if _same(made, text, limit):
            return None
    from celery.utils.saferepr import saferepr

    # Bounded by the limit, and Celery called it already when the task was published.
    return None if _same(saferepr(value, limit), text, limit) else text


_MAX_LEVELS = 3
_CUT = {dict: "{...}", list: "[...]", tuple: "(...)"}
_SCALARS = frozenset({int, float, bool, type(None)})


def _as_celery(value: Any, level: int) -> str:
    """What Celery's `saferepr` gives for plain values, thirty times as fast; other values differ,
    and are then compared with the real one."""
    kind = type(value)
    if kind is str:
        return "'" + value.replace("'", "\\'") + "'"
    if kind in _SCALARS:
        return str(value)
    if kind not in _CUT:
        return "?"
    if level >= _MAX_LEVELS:
        return _CUT[kind]
    if kind is dict:
        parts: list[str] = []
        for key, item in value.items():
            name = f"'{key}'" if type(key) is str and "'" not in key else _as_celery(key, level)
            if type(item) is str and "'" not in item:
                parts.append(f"{name}: '{item}'")
            else:
                parts.append(f"{name}: {_as_celery(item, level + 1)}")
        return "{" + ", ".join(parts) + "}"
    inner = ", ".join([_as_celery(item, level + 1) for item in value])
    if kind is list:
        return f"[{inner}]"
    return f"({inner},)" if len(value) == 1 else f"({inner})"


def _as_tuple(made: str, value: Any) -> str:
    """Arguments were published as a tuple and arrive as a list."""
    return f"({made[1:-1]},)" if len(value) == 1 else f"({made[1:-1]})"


_ROUND = str.maketrans({"(": "[", ")": "]"})
_CUT_MARKS = 10
"""Celery cuts at its limit; the last few characters are its marks for that."""


def _same(made: str, text: str, limit: int) -> bool:
    """JSON turns tuples into lists on the way; the text was made before."""
    if made == text:
        return True
    made = made.translate(_ROUND).replace(",]", "]")
    text = text.translate(_ROUND).replace(",]", "]")
    shared = limit - _CUT_MARKS
    return made == text or (len(text) >= shared and made[:shared] == text[:shared])
