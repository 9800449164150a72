# SPDX-License-Identifier: Apache-2.0
"""What the integrations share: settings from the application, hooks early, the link when it serves.

An application is also loaded by tools, by the parent of a reloader, and by masters that fork. So
loading only puts the hooks in place; agent and link start with the first request, in the process
that serves it, or with the first task, whichever is sooner.
"""

import gc
import importlib
import inspect
import os
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import Any, cast

from queuedeck_agent import agent as agents
from queuedeck_agent import attachment, config
from queuedeck_agent.guard import contained

User = Callable[[Any], object]
"""Takes the framework's request, gives the id of its user: a text, a number or a UUID, or None."""

NAMES = frozenset({
    "DSN", "DSN_PREVIOUS", "SPOOL", "SPOOL_MAX_BYTES", "ALLOW", "READ_ONLY", "ALLOW_TASKS",
    "COMMAND_RATE", "RELEASE", "CAPTURE_ARGS", "CAPTURE_RESULTS", "REDACT", "LOGS",
})  # fmt: skip
"""The settings of the agent; with `QUEUEDECK_` before them they are the variables."""

STOP_S = 1.0
"""What a server waits for at its end while the last events are sent; the rest is in the spool."""

_FOLLOWED = {
    "dramatiq": ("dramatiq.broker", "Broker", "queuedeck_agent.engines.dramatiq.boot"),
    "taskiq": ("taskiq.abc.broker", "AsyncBroker", "queuedeck_agent.engines.taskiq.boot"),
}
"""Engines whose hooks belong to a broker: those that are there already are followed one by one."""

_FOR_THE_LINK = (
    "queuedeck_agent.link",
    "queuedeck_agent.connect",
    "queuedeck_agent.version",
    "cryptography.hazmat.primitives.asymmetric.ed25519",
)
"""What would make the first request of a server wait: 50 to 150 ms."""
_COMMANDS = frozenset({"manage.py", "django-admin", "django", "flask"})
_SERVING = frozenset({"run", "runserver", "runserver_plus"})
"""Of these commands the ones that serve. Any other program that attaches may well be a server."""

_serving_pid = 0


@contained
def configure(given: Mapping[str, object], where: str) -> None:
    """Takes settings without their `QUEUEDECK_`. `where` names their place, for a warning."""
    known = {name: value for name, value in given.items() if name in NAMES and value is not None}
    doubts = [
        f"{where}: {name} is no setting of Queuedeck and is ignored."
        for name in given
        if name not in NAMES
    ]
    config.give({f"QUEUEDECK_{name}": _text(value) for name, value in known.items()}, doubts)


@contained
def attach() -> None:
    """Puts the hooks in place, in a process that may enqueue or work. Starts nothing."""
    if not is_wanted():
        return
    was_there = "queuedeck_agent.autoload" in sys.modules
    from queuedeck_agent import autoload

    autoload.install()
    if not was_there:
        follow_brokers()
    if _is_server(list(sys.orig_argv)):
        for name in _FOR_THE_LINK:
            importlib.import_module(name)


def serve() -> None:
    """A request has come, or a server is ready for them. Costs nothing after the first time."""
    global _serving_pid
    if _serving_pid != os.getpid():
        _serving_pid = os.getpid()
        _start()


@contained
def stop() -> None:
    """A server ends in order: sends what it can. A worker that loaded the application goes on."""
    agent = agents.current()
    if agent is not None and agent.role == "producer":
        agent.stop(STOP_S)
        _forget_serving()


def is_wanted() -> bool:
    """Whether there is a DSN, and this is a process to attach to."""
    if not config.effective().get("QUEUEDECK_DSN", "").strip():
        return False
    return attachment.decide(list(sys.orig_argv), attachment.is_piped()).attach


def checked_user(user: object, where: str) -> User | None:
    """The function if it can be called, else None and a warning for log and dashboard."""
    if user is None or user is False:
        return None
    if not callable(user) or inspect.iscoroutinefunction(user):
        config.give({}, [f"{where} is no plain function of the request and is ignored."])
        return None
    return cast("User", user)


@contained
def follow_brokers() -> None:
    """Brokers that were made before the hooks, for example in a module that is imported first."""
    for engine, (module, name, boot) in _FOLLOWED.items():
        if module in sys.modules:
            kind = getattr(sys.modules[module], name)
            found = [one for one in gc.get_objects() if kind in type(one).__mro__]
            _follow(engine, found, boot)


def _follow(engine: str, brokers: "list[Any]", boot: str) -> None:
    following: Any = importlib.import_module(boot)
    for broker in brokers:
        own = broker.middleware if engine == "dramatiq" else broker.middlewares
        if not any(type(one).__module__ == boot for one in own):
            following.follow(broker, attachment.start_agent)


def _is_server(argv: list[str]) -> bool:
    names = {word.replace("\\", "/").rpartition("/")[2] for word in argv[:4]}
    return not names & _COMMANDS or bool(_SERVING.intersection(argv))


@contained
def _start() -> None:
    if is_wanted():
        agent = attachment.start_agent()
        if agent is not None:
            agent.start_link("producer")


def _forget_serving() -> None:
    global _serving_pid
    _serving_pid = 0


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "1" if value else "0"
    if isinstance(value, (list, tuple, set, frozenset)):
        return " ".join(str(one) for one in cast("Iterable[object]", value))
    return str(value)
