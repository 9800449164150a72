# SPDX-License-Identifier: Apache-2.0
"""The tasks of the loaded application, for people who run one by hand: signature, docstring, queue,
limits. `engines/<engine>/catalog.py` lists them; this module reads functions.

Nothing is imported for it and no code of the application is called. It is built on the link's
thread, a little in each tick, and sent once on each connection and when it has changed.
"""

import importlib
import inspect
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from queuedeck_agent import capture, wire
from queuedeck_agent.guard import note
from queuedeck_agent.overrides import hidden_in

if TYPE_CHECKING:
    from queuedeck_agent.agent import Agent
    from queuedeck_agent.engines.base import Engine

MAX_TASKS = 1_000
MAX_BYTES = 512 * 1024
MAX_PARAMETERS = 40
MAX_DOC = 500
MAX_DEFAULT = 200
MAX_TEXT = 120
LOOK_EVERY_S = 10.0
"""How often the names are compared with what was sent."""
TURN_S = 0.005
"""How long one tick may read functions."""

_KINDS = {
    inspect.Parameter.POSITIONAL_ONLY: "positional",
    inspect.Parameter.POSITIONAL_OR_KEYWORD: "either",
    inspect.Parameter.KEYWORD_ONLY: "named",
    inspect.Parameter.VAR_POSITIONAL: "places",
    inspect.Parameter.VAR_KEYWORD: "names",
}
_PLAIN = (str, int, float, bool, list, dict, type(None))
_json = msgspec.json.Encoder().encode


class Registered(NamedTuple):
    """One task as its engine has it registered."""

    name: str
    function: Any
    queue: str = ""
    max_retries: int = -1
    time_limit_s: float = 0
    rate: str = ""
    skip: int = 0
    """Parameters at the beginning that its callers do not give."""
    given: tuple[str, ...] = ()
    """Names of parameters that the engine fills in."""


class Catalogs:
    """What one connection was told. `take` is called on the link's thread."""

    def __init__(self, agent: "Agent") -> None:
        self._agent = agent
        self._sent: dict[str, int] = {}
        """Source -> what its list looked like when it was read."""
        self._next_look = 0.0
        self._reading: Iterator[wire.TaskCatalog | None] | None = None

    def look_now(self) -> None:
        """Tasks may have been registered since."""
        self._next_look = 0.0

    def take(self) -> list[wire.TaskCatalog]:
        """What is new and read by now. Returns within a few milliseconds."""
        now = time.monotonic()
        if self._reading is None:
            if now < self._next_look:
                return []
            self._next_look = now + LOOK_EVERY_S
            self._reading = self._read_changed()
        ready: list[wire.TaskCatalog] = []
        while time.monotonic() - now < TURN_S:
            try:
                one = next(self._reading)
            except StopIteration:
                self._reading = None
                break
            if one is not None:
                ready.append(one)
        return ready

    def _read_changed(self) -> Iterator[wire.TaskCatalog | None]:
        for engine in list(self._agent.engines):
            try:
                source = engine.info().source
                listed = registered(engine)
                looks = hash(tuple((one.name, id(one.function), *one[2:6]) for one in listed))
                if not listed or self._sent.get(source) == looks:
                    continue
                yield from _read(source, listed)
                self._sent[source] = looks
            except Exception as error:  # noqa: BLE001 - an application may register odd things
                note("queuedeck_agent.catalog", error)


def registered(engine: "Engine") -> list[Registered]:
    """What the application has registered with this engine, by name; RQ registers nothing."""
    name = engine.info().engine
    module = importlib.import_module(f"queuedeck_agent.engines.{name}.catalog")
    return sorted(module.registered(engine), key=lambda one: one.name)


def _read(source: str, listed: list[Registered]) -> Iterator[wire.TaskCatalog | None]:
    """The catalogue of a source at the end; None after each task before that."""
    tasks: list[wire.TaskInfo] = []
    room = MAX_BYTES
    for one in listed[:MAX_TASKS]:
        info = task_info(one)
        room -= len(wire.encode(info))
        if room < 0:
            break
        tasks.append(info)
        yield None
    yield wire.TaskCatalog(source, tuple(tasks), len(listed) - len(tasks))


def task_info(one: Registered) -> wire.TaskInfo:
    """What is told of a task. Never raises because of what the function is."""
    function = getattr(one.function, "queuedeck_original", one.function)
    parameters = _parameters(function)
    if parameters is not None:
        parameters = [p for p in parameters[one.skip :] if p.name not in one.given]
    return wire.TaskInfo(
        name=one.name,
        doc=_doc(function),
        module=str(getattr(function, "__module__", "") or "")[:MAX_TEXT],
        queue=one.queue[:MAX_TEXT],
        parameters=tuple(
            _parameter(function, one.name, p) for p in (parameters or [])[:MAX_PARAMETERS]
        ),
        has_signature=parameters is not None and len(parameters) <= MAX_PARAMETERS,
        max_retries=one.max_retries,
        time_limit_us=int(one.time_limit_s * 1_000_000),
        rate=one.rate[:MAX_TEXT],
    )


def _parameters(function: Any) -> list[inspect.Parameter] | None:
    try:
        return list(inspect.signature(function).parameters.values())
    except Exception:  # noqa: BLE001 - builtins have none, odd objects raise anything
        return None


def _parameter(function: Any, task: str, one: inspect.Parameter) -> wire.Parameter:
    kind = _KINDS[one.kind]
    has_default = one.default is not inspect.Parameter.empty
    return wire.Parameter(
        name=one.name[:MAX_TEXT],
        kind=kind,
        required=not has_default and kind not in ("places", "names"),
        default=_default(function, task, one) if has_default else "",
        annotation=_annotation(one.annotation),
    )


def _default(function: Any, task: str, one: inspect.Parameter) -> str:
    """JSON of a short, plain default with nothing to hide in it; else nothing."""
    value = one.default
    if type(value) not in _PLAIN or not capture.fits(value, MAX_DEFAULT):
        return ""
    try:
        text = _json(value)
        shown = capture.arguments((), {one.name: value}, hidden_in(function, task)).json
        whole = _json({"args": [], "kwargs": {one.name: value}})
        return text.decode() if shown == whole and len(text) <= MAX_DEFAULT else ""
    except Exception:  # noqa: BLE001 - what is in a list may be anything
        return ""


def _annotation(given: Any) -> str:
    if given is inspect.Parameter.empty:
        return ""
    try:
        text = given if isinstance(given, str) else inspect.formatannotation(given)
    except Exception:  # noqa: BLE001 - the repr of somebody's object
        return ""
    return capture.text(str(text)[:MAX_TEXT])


def _doc(function: Any) -> str:
    text = getattr(function, "__doc__", None)
    if not isinstance(text, str):
        return ""
    paragraph = inspect.cleandoc(text).partition("\n\n")[0]
    return capture.text(" ".join(paragraph.split()), MAX_DOC)
