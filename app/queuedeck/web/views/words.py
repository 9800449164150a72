# SPDX-License-Identifier: AGPL-3.0-only
"""Names of states and engines as pages show them, and the parts of a task's name."""

import msgspec

from queuedeck.history.tasks import TaskState

STATE_WORDS = {state: state.value.capitalize() for state in TaskState}

ENGINES = {
    "celery": "Celery",
    "rq": "RQ",
    "dramatiq": "Dramatiq",
    "huey": "Huey",
    "arq": "arq",
    "taskiq": "taskiq",
}
_SHORT = {"taskiq": "Tk"}


class EngineTag(msgspec.Struct, frozen=True):
    short: str
    title: str


class Name(msgspec.Struct, frozen=True):
    """A task's name: the module dim, the function bold."""

    module: str
    function: str

    @property
    def full(self) -> str:
        return self.module + self.function


class Link(msgspec.Struct, frozen=True):
    label: str
    url: str


class Empty(msgspec.Struct, frozen=True):
    """Why a list is empty, and the ways out."""

    icon: str
    title: str
    text: str
    links: tuple[Link, ...] = ()


def engine_tag(engine: str) -> EngineTag:
    title = ENGINES.get(engine, engine or "unknown engine")
    return EngineTag(_SHORT.get(engine, title[:2].capitalize()), title)


def task_name(name: str) -> Name:
    module, dot, function = (name or "(no name yet)").rpartition(".")
    return Name(module + dot, function)
