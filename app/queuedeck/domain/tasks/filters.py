# SPDX-License-Identifier: AGPL-3.0-only
"""The language of the task list's search box: text to `TaskFilter` and back. Pure.

`state:failed,lost task:app.mail.* -queue:low wait:>30s "free text"`: a space between terms means
*and*, a comma *any of*, a leading `-` *not*. What is not understood is an error, never a wider
selection. Splitting is in `reader.py`; ranges are in `amounts.py` and `moments.py`.
"""

import difflib
import re
from collections.abc import Callable, Iterable, Sequence

import msgspec

from queuedeck.domain.tasks import amounts, moments
from queuedeck.domain.tasks.reader import FilterInvalid, Reader, Term, Value, quoted
from queuedeck.history.filters import PathTerm, TaskFilter
from queuedeck.history.ranges import Between, Period
from queuedeck.history.tasks import TaskState

ENGINES = ("celery", "rq", "dramatiq", "huey", "arq", "taskiq")
MAX_CHARS = 4_000
MAX_VALUES = 200

WORD_KEYS = {
    "state": "states",
    "task": "names",
    "queue": "queues",
    "engine": "engines",
    "source": "sources",
    "worker": "workers",
    "error": "errors",
    "group": "groups",
    "release": "releases",
    "tag": "tags",
    "trace": "traces",
    "label": "labels",
    "marked": "marked",
    "id": "ids",
    "root": "roots",
}
"""Key -> field of `TaskFilter`; the field of the negated key begins with `not_`."""
AMOUNT_KEYS = {"wait": "waits", "runtime": "runtimes", "retries": "retries"}
TIME_KEY, TIME_FIELD = "at", "times"
PATH_KEYS = ("args", "result")
KEYS = (*WORD_KEYS, *AMOUNT_KEYS, TIME_KEY, *PATH_KEYS)

HINTS = {
    "state": "scheduled, queued, running, failed, ...",
    "task": "name of the function",
    "queue": "where it waits",
    "engine": "celery, rq, ...",
    "source": "engine on one broker",
    "worker": "who ran it",
    "error": "type of its newest error",
    "group": "tasks that failed alike",
    "release": "of the code that ran it",
    "tag": "what the code called it by",
    "trace": "id of its trace",
    "label": "what a rule makes of its arguments",
    "marked": "yes or no, by a rule about its result",
    "id": "of the task",
    "root": "id of the first task of its workflow",
    "wait": "before it ran, as in >30s",
    "runtime": "as in 1s..5m",
    "retries": "attempts beyond the first, as in >2",
    "at": "when it was first seen, as in 2h",
    "args": "a value in its arguments",
    "result": "a value in its result",
}
"""What a key asks for, in a few words, where the box offers it. A key may do without."""

CLOSED = {
    "state": tuple(str(state) for state in TaskState),
    "engine": ENGINES,
    "marked": ("yes", "no"),
}
"""The values of the keys that have no others."""

_GROUP = re.compile("[0-9a-fA-F]{16}")

_Read = Callable[[Value], Between]
_AMOUNTS: dict[str, tuple[_Read, Callable[[Between], str]]] = {
    "wait": (amounts.durations, amounts.durations_text),
    "runtime": (amounts.durations, amounts.durations_text),
    "retries": (amounts.counts, amounts.counts_text),
}

_Fields = dict[str, tuple[object, ...]]


def parse(text: str) -> TaskFilter:
    """The question that a text asks. Raises `FilterInvalid` with the place of the mistake."""
    if len(text) > MAX_CHARS:
        raise FilterInvalid(
            "The filter is too long", MAX_CHARS, len(text) - MAX_CHARS, f"{MAX_CHARS} characters"
        )
    fields: _Fields = {}
    terms = list(Reader(text).terms())
    if sum(len(term.values) for term in terms) > MAX_VALUES:
        raise FilterInvalid("There are too many values", 0, len(text), f"{MAX_VALUES} at most")
    for term in terms:
        _check_values(term)
        _add(fields, term)
    return msgspec.convert(fields, TaskFilter)


def to_text(question: TaskFilter) -> str:
    """A text that `parse` reads as the same question."""
    return " ".join(text for _, text in terms_of(question))


def terms_of(question: TaskFilter) -> list[tuple[TaskFilter, str]]:
    """Each term as text, with the question that is left without it, in one fixed order."""
    found = [
        (msgspec.structs.replace(question, **{field: ()}), f"{sign}{key}:{text}")
        for sign, key, field in _keyed()
        if (text := _values_text(key, getattr(question, field)))
    ]
    for field, write in (
        ("paths", _path_text),
        ("texts", _plain_text),
        ("not_texts", _negated_text),
    ):
        items: tuple[object, ...] = getattr(question, field)
        for at, item in enumerate(items):
            rest = items[:at] + items[at + 1 :]
            found.append((msgspec.structs.replace(question, **{field: rest}), write(item)))
    return found


def within(text: str, since: str, until: str) -> str:
    """The text of the same question between two times, each of which may be empty. Where one cannot
    be read, the text has the mistake in it.
    """
    times = f"{TIME_KEY}:{since.strip()}..{until.strip()}" if since or until else ""
    try:
        rest = to_text(msgspec.structs.replace(parse(text), times=()))
        return to_text(parse(f"{rest} {times}"))
    except FilterInvalid:
        return f"{text} {times}".strip()


def field_of(key: str) -> str:
    """The field of `TaskFilter` that a key fills: one of words, amounts or times."""
    return WORD_KEYS.get(key) or AMOUNT_KEYS.get(key) or TIME_FIELD


def _keyed() -> Iterable[tuple[str, str, str]]:
    """(sign, key, field) of every key that has fields of its own."""
    for sign, prefix in (("", ""), ("-", "not_")):
        for key in (*WORD_KEYS, *AMOUNT_KEYS, TIME_KEY):
            yield sign, key, prefix + field_of(key)


def _check_values(term: Term) -> None:
    for value in term.values:
        if value.text:
            continue
        if term.key is None:
            raise value.wrong("This search is empty", "a word")
        raise value.wrong(f"{term.key.text}: has no value here", "a value behind the colon")


def _add(fields: _Fields, term: Term) -> None:
    if term.key is None:
        name = "not_texts" if term.is_negated else "texts"
        fields[name] = (*fields.get(name, ()), term.values[0].text)
        return
    key, dot, path = term.key.text.partition(".")
    if key in PATH_KEYS:
        _add_path(fields, term, term.key, key, path.split(".") if dot else [])
        return
    _check_key(term.key)
    field = ("not_" if term.is_negated else "") + field_of(term.key.text)
    before = fields.get(field, ())
    if term.is_negated:
        fields[field] = (*before, *_values(term, term.key, ()))
    else:
        fields[field] = _values(term, term.key, before)


def _check_key(key: Value) -> None:
    if key.text not in KEYS:
        known = [f"{one}:" for one in KEYS]
        raise key.wrong(
            f"There is no {key.text}:{_did_you_mean(key.text, KEYS, ':')}",
            f"one of {', '.join(known)}, or quotes around text to search for",
        )


def _values(term: Term, key: Value, before: tuple[object, ...]) -> tuple[object, ...]:
    if key.text in WORD_KEYS:
        return (*before, *(_word(key.text, value) for value in term.values))
    if key.text == TIME_KEY:
        if before:
            raise key.wrong("at: is given twice", "one range, as in at:14:00..15:00")
        return tuple(moments.period(value) for value in term.values)
    read, _ = _AMOUNTS[key.text]
    found = [read(value) for value in term.values]
    narrowed = amounts.narrowed(before, found)  # pyright: ignore[reportArgumentType]
    if not narrowed:
        raise key.wrong(f"{key.text}: is given twice, and nothing is in both", "ranges that meet")
    return narrowed


def _word(key: str, value: Value) -> str:
    if key == "group":
        return _group(value)
    allowed = CLOSED.get(key)
    if allowed is not None and value.text not in allowed:
        raise value.wrong(
            f"There is no {key} {value.text!r}{_did_you_mean(value.text, allowed)}",
            f"one of {', '.join(allowed)}",
        )
    return value.text


def _group(value: Value) -> str:
    if not _GROUP.fullmatch(value.text):
        raise value.wrong(
            f"{value.text[:40]!r} names no group of failures",
            "the 16 hex digits that the page of an error shows",
        )
    return value.text.lower()


def _add_path(fields: _Fields, term: Term, key: Value, part: str, path: list[str]) -> None:
    if not all(path):
        raise key.wrong("A step of this path is empty", f"a path such as {part}.order.id")
    for value in term.values:
        if value.text[0] in "<>" and not value.is_quoted:
            raise value.wrong(
                "Values in arguments and results are compared as a whole", "a value, or quotes"
            )
    values = tuple(value.text for value in term.values)
    found = PathTerm(part, tuple(path), values, term.is_negated)
    fields["paths"] = (*fields.get("paths", ()), found)


def _did_you_mean(word: str, known: Sequence[str], end: str = "") -> str:
    close = difflib.get_close_matches(word[:40].lower(), known, 1)
    return f" (did you mean {close[0]}{end}?)" if close else ""


def _values_text(key: str, values: tuple[object, ...]) -> str:
    return ",".join(_value_text(key, value) for value in values)


def _value_text(key: str, value: object) -> str:
    match value:
        case Between():
            return _AMOUNTS[key][1](value)
        case Period():
            return moments.period_text(value)
        case _:
            return quoted(str(value))


def _path_text(term: object) -> str:
    assert isinstance(term, PathTerm)  # noqa: S101 - for the type
    key = ".".join((term.part, *term.path))
    values = ",".join(quoted(value) for value in term.values)
    return f"{'-' if term.is_negated else ''}{key}:{values}"


def _plain_text(text: object) -> str:
    return quoted(str(text))


def _negated_text(text: object) -> str:
    return f"-{quoted(str(text))}"
