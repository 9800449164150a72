# SPDX-License-Identifier: AGPL-3.0-only
"""Connecting the first worker: engines, what the dashboard may do, commands, the checklist."""

import msgspec

from queuedeck.clock import SECOND_US
from queuedeck.web.format import plural
from queuedeck.web.views.checklist import DIAGNOSE_AFTER_US, Step
from queuedeck.web.views.words import ENGINES, EngineTag, engine_tag

INSTALL = "pip install queuedeck-agent"
RUN = "queuedeck-agent run -- celery -A proj worker --loglevel INFO"
COMMANDS = {
    "celery": "celery -A proj worker",
    "rq": "rq worker",
    "dramatiq": "dramatiq app",
    "huey": "huey_consumer app.huey",
    "arq": "arq app.WorkerSettings",
    "taskiq": "taskiq worker app:broker",
}
"""How each engine's worker is started, put behind `run --`."""
DEFAULT_ALLOW = "observe,retry,cancel,pause"
_CHOICES = (
    ("observe", "Only look", "Tasks are seen. No button on any page reaches your workers."),
    (
        DEFAULT_ALLOW,
        "Look, retry, cancel and pause",
        "A retry sends the original call again; a cancelled task that waits never starts; a paused "
        "queue is not taken from until somebody resumes it.",
    ),
    (
        f"{DEFAULT_ALLOW},terminate,priority,move,purge",
        "Stop running tasks, and move or purge what waits",
        "A task that is stopped leaves its work half done, and what is purged is gone.",
    ),
    (
        f"{DEFAULT_ALLOW},terminate,priority,move,purge,submit,worker",
        "Everything",
        "Also run any registered task with any arguments, and drain, resize or restart workers. "
        "QUEUEDECK_ALLOW_TASKS limits which tasks.",
    ),
)


class EngineChoice(msgspec.Struct, frozen=True):
    value: str
    tag: EngineTag
    command: str
    checked: bool


class AllowChoice(msgspec.Struct, frozen=True):
    value: str
    label: str
    text: str
    checked: bool


class KeyView(msgspec.Struct, frozen=True):
    """A DSN, shown this once."""

    dsn: str
    prefix: str
    warning: str


class ConnectView(msgspec.Struct, frozen=True, kw_only=True):
    title: str
    engines: tuple[EngineChoice, ...]
    choices: tuple[AllowChoice, ...]
    allow: str
    from_dsn: str
    keys_url: str
    install: str
    run: str
    key: KeyView | None
    earlier_keys: str
    error: str
    steps: tuple[Step, ...]
    look_again_s: int
    """After so many seconds the checklist asks again, for the diagnosis."""


def connect_view(
    project: str,
    allow: str,
    from_dsn: str,
    key: KeyView | None,
    error: str,
    keys: int,
    steps: tuple[Step, ...],
) -> ConnectView:
    choices = allow_choices(allow)
    connected = not steps[0].waiting and not steps[0].command
    return ConnectView(
        title="Connect more workers" if connected else "Connect your first worker",
        engines=engine_choices(),
        choices=choices,
        allow=next(choice.value for choice in choices if choice.checked),
        from_dsn=from_dsn if error else "",
        keys_url=f"/p/{project}/keys",
        install=INSTALL,
        run=RUN,
        key=key,
        earlier_keys=plural(keys, "key") + " of this project can connect" if keys else "",
        error=error,
        steps=steps,
        look_again_s=DIAGNOSE_AFTER_US // SECOND_US + 1,
    )


def engine_choices() -> tuple[EngineChoice, ...]:
    return tuple(
        EngineChoice(engine, engine_tag(engine), COMMANDS[engine], engine == "celery")
        for engine in ENGINES
    )


def allow_choices(chosen: str) -> tuple[AllowChoice, ...]:
    known = {value for value, _, _ in _CHOICES}
    chosen = chosen if chosen in known else DEFAULT_ALLOW
    return tuple(AllowChoice(v, label, text, v == chosen) for v, label, text in _CHOICES)


def key_note(other_seal_ids: tuple[str, ...]) -> str:
    """What a new sealing key cannot do, or empty."""
    if not other_seal_ids:
        return ""
    return (
        f"It has a sealing key of its own: workers with this DSN cannot retry tasks sealed under "
        f"{plural(len(other_seal_ids), 'earlier key')} ({', '.join(other_seal_ids)}). Keep an "
        "earlier DSN in QUEUEDECK_DSN_PREVIOUS for that."
    )
