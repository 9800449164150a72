# SPDX-License-Identifier: Apache-2.0
"""Decides from the command line whether a process is one to attach to, and attaches.

Workers, schedulers and whatever may enqueue: yes. Tools that only look, or prepare: no.
"""

import logging
import os
import sys
from typing import TYPE_CHECKING, NamedTuple

from queuedeck_agent.errors import AgentError

if TYPE_CHECKING:
    from queuedeck_agent.agent import Agent

log = logging.getLogger("queuedeck_agent")


class Decision(NamedTuple):
    """Whether to attach, and why (not): half a sentence for a person."""

    attach: bool
    reason: str


_CELERY_WORK = {
    "worker": "a Celery worker",
    "beat": "a Celery scheduler",
    "call": "a process that enqueues",
    "multi": "a launcher of Celery workers",
}
_CELERY_TOOLS = frozenset({
    "amqp", "control", "events", "flower", "graph", "help", "inspect", "list", "logtool",
    "migrate", "purge", "report", "result", "shell", "status", "upgrade",
})  # fmt: skip
_CELERY_VALUES = frozenset({
    "-A", "--app", "-b", "--broker", "--result-backend", "--loader", "--config", "--workdir",
})  # fmt: skip
"""Options of `celery` that take the next word."""
_RQ_TOOLS = frozenset({"empty", "info", "resume", "suspend"})
"""The other commands of `rq` work, or enqueue."""
_CONSUMERS = {
    "huey_consumer": "a Huey consumer",
    "arq": "an arq worker",
    "dramatiq": "a Dramatiq worker",
    "dramatiq-gevent": "a Dramatiq worker",
    "taskiq": "a taskiq worker or scheduler",
}
"""Commands that do nothing but run a worker."""
_DJANGO_TOOLS = frozenset({
    "check", "changepassword", "clearsessions", "collectstatic", "compilemessages",
    "createcachetable", "createsuperuser", "dbshell", "diffsettings", "dumpdata", "flush",
    "inspectdb", "loaddata", "makemessages", "makemigrations", "migrate", "optimizemigration",
    "remove_stale_contenttypes", "sendtestemail", "shell", "shell_plus", "showmigrations",
    "sqlflush", "sqlmigrate", "sqlsequencereset", "squashmigrations", "startapp",
    "startproject", "test", "testserver", "help", "version", "queuedeck_check",
})  # fmt: skip
_FLASK_TOOLS = frozenset({"shell", "db", "routes"})
_TOOLS = frozenset({
    "pip", "pip3", "uv", "uvx", "pipx", "poetry", "pdm", "hatch", "conda", "build", "twine",
    "virtualenv", "venv", "ensurepip", "ipython", "ipython3", "bpython", "ptpython", "jupyter",
    "jupyter-lab", "jupyter-notebook", "alembic", "pytest", "py.test", "tox", "nox", "mypy",
    "basedpyright", "pyright", "ruff", "black", "isort", "flake8", "pylint", "coverage",
    "sphinx-build", "flower", "idle", "idle3", "pydoc", "queuedeck", "queuedeck-agent",
})  # fmt: skip
_MODULE_TOOLS = (_TOOLS - {"queuedeck"}) | {
    "site",
    "compileall",
    "json",
    "timeit",
    "cProfile",
    "zipfile",
    "code",
}


def decide(argv: list[str], piped: bool = False) -> Decision:
    """`argv` as `sys.orig_argv` has it: the interpreter first. `piped`: see `is_piped`."""
    program, rest, module = _program(argv)
    if program in ("", "-c"):
        return _of_python(program, piped)
    name = os.path.basename(program).removesuffix(".py").removesuffix(".exe")  # noqa: PTH119
    if module:
        name = program.split(".")[0] if program != "django" else "django-admin"
    engine = _of_engine(name, program, rest)
    if engine is not None:
        return engine
    if name in ("manage", "django-admin"):
        command = rest[0] if rest else "help"
        if command == "celery":
            return _of_celery(rest[1:])
        if command in _DJANGO_TOOLS or command.startswith("-"):
            return Decision(False, f"Django's `{command}`, a tool")
        return Decision(True, f"Django's `{command}`, which may enqueue")
    if name == "flask" and _FLASK_TOOLS.intersection(rest[:3]):
        return Decision(False, "a tool of Flask")
    if name in (_MODULE_TOOLS if module else _TOOLS) or program == "queuedeck":
        return Decision(False, f"`{name}`, a tool")
    return Decision(True, f"`{name}`, which may enqueue")


def _of_engine(name: str, program: str, rest: list[str]) -> Decision | None:
    """The commands of the engines themselves."""
    if name == "celery" or (name == "__main__" and "celery" in program):
        return _of_celery(rest)
    if name == "rq" or (name == "__main__" and "/rq/" in program):
        return _of_rq(rest)
    if name == "arq" and "--check" in rest:
        return Decision(False, "`arq --check`, a tool that runs and sends no jobs")
    return Decision(True, _CONSUMERS[name]) if name in _CONSUMERS else None


def _of_python(option: str, piped: bool) -> Decision:
    """Python without a program of its own."""
    if option == "-c":
        return Decision(True, "a Python command, which may enqueue")
    if piped:
        return Decision(True, "a Python script from the standard input, which may enqueue")
    return Decision(False, "an interactive Python")


def is_piped() -> bool:
    """Whether the standard input is a file or a pipe: Python without a program runs it."""
    return not os.isatty(0)


def _program(argv: list[str]) -> tuple[str, list[str], bool]:
    """(program, its arguments, whether it is a module): without interpreter and its options."""
    words = argv[1:] if argv and _is_python(argv[0]) else argv
    takes_value = ("-W", "-X", "--check-hash-based-pycs")
    while words:
        word, words = words[0], words[1:]
        if word == "-":
            return "", words, False
        if word in takes_value:
            words = words[1:]
        elif word == "-c":
            return "-c", words, False
        elif word == "-m":
            return (words[0], words[1:], True) if words else ("", [], False)
        elif word.startswith("-m") and len(word) > 2:
            return word[2:], words, True
        elif not word.startswith("-"):
            return word, words, False
    return "", [], False


def _is_python(word: str) -> bool:
    name = os.path.basename(word)  # noqa: PTH119 - pathlib is dear to import
    return name.startswith(("python", "pypy"))


def _of_celery(words: list[str]) -> Decision:
    skip = False
    for word in words:
        if skip:
            skip = False
        elif word in _CELERY_VALUES:
            skip = True
        elif word in _CELERY_WORK:
            return Decision(True, _CELERY_WORK[word])
        elif word in _CELERY_TOOLS:
            return Decision(False, f"`celery {word}`, a tool that runs and sends no tasks")
    return Decision(False, "`celery` without a command that works on tasks")


def _of_rq(words: list[str]) -> Decision:
    command = next((word for word in words if not word.startswith("-")), "")
    if command in _RQ_TOOLS or not command:
        return Decision(False, f"`rq {command}`, a tool that runs and sends no jobs")
    is_worker = command.startswith("worker")
    return Decision(True, "an RQ worker" if is_worker else f"`rq {command}`, which may enqueue")


def attach_celery() -> None:
    """Called after the import of `celery.signals`: connects to the signals of boot, no more."""
    if _attaches():
        from queuedeck_agent.engines.celery.boot import Boot

        Boot(start_agent).connect()


def attach_rq() -> None:
    """Called after the import of `rq.worker`: puts steps around RQ's methods, no more."""
    if _attaches():
        from queuedeck_agent.engines.rq.boot import Boot

        Boot(start_agent).connect()


def attach_huey() -> None:
    """Called after the import of `huey.api`: puts steps around Huey's methods, no more."""
    if _attaches():
        from queuedeck_agent.engines.huey.boot import Boot

        Boot(start_agent).connect()


def attach_arq() -> None:
    """Called after the import of `arq.worker`: puts steps around arq's methods, no more."""
    if _attaches():
        from queuedeck_agent.engines.arq.boot import Boot

        Boot(start_agent).connect()


def attach_dramatiq() -> None:
    """Called after the import of `dramatiq.broker`: brokers get our middlewares, no more."""
    if _attaches():
        from queuedeck_agent.engines.dramatiq.boot import follow_brokers

        follow_brokers(start_agent)


def attach_taskiq() -> None:
    """Called after the import of `taskiq.abc.broker`: brokers get our middlewares, no more."""
    if _attaches():
        from queuedeck_agent.engines.taskiq.boot import follow_brokers

        follow_brokers(start_agent)


def _attaches() -> bool:
    decision = decide(list(sys.orig_argv), is_piped())
    if not decision.attach:
        log.debug("Queuedeck: not attached, this is %s.", decision.reason)
    return decision.attach


_refused = False


def start_agent() -> "Agent | None":
    """The agent of this process, or None after one warning that says why there is none."""
    global _refused
    if _refused:
        return None
    from queuedeck_agent import agent, overrides, redact

    try:
        started = agent.start()
        said = started.config.redact
        redact.hide_names(said.names)
        overrides.configure(said.rules, said.doubts)
        return started
    except AgentError as error:
        _refused = True
        log.warning("Queuedeck: not attached. %s", error)
        return None
