# SPDX-License-Identifier: AGPL-3.0-only
"""Starts the server: what can be refused is refused before anything heavy is imported."""

import gc
import logging
import os
import socket
import sys

import msgspec

from queuedeck import folder
from queuedeck.errors import Invalid, QueuedeckError, Unavailable
from queuedeck.settings import Settings

BACKLOG = 4_096
LOG_LEVELS = ("debug", "info", "warning", "error")
SWITCH_INTERVAL_S = 0.0005
"""Else the writer thread waits 5 ms for the interpreter at each row."""


def run(settings: Settings) -> int:
    """Serve until SIGTERM or SIGINT; 0 after a clean stop, 1 with a reason when it cannot start."""
    try:
        _configure_logging(settings.log_level)
        folder.prepare(settings.data)
        with folder.hold(settings.data), _listen(settings) as listener:
            port: int = listener.getsockname()[1]
            finished = _serve(msgspec.structs.replace(settings, port=port), listener)
    except QueuedeckError as error:
        sys.stderr.write(f"queuedeck: {error.message}\n")
        return 1
    except ExceptionGroup as group:  # Litestar opens its lifespan in a task group.
        known, others = group.split(QueuedeckError)
        if known is None or others is not None:
            raise
        sys.stderr.write("".join(f"queuedeck: {error}\n" for error in _leaves(known)))
        return 1
    if not finished:
        # The stores are closed; a request that never ends must not hold the process.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(0)
    return 0


def _serve(settings: Settings, listener: socket.socket) -> bool:
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    # Imports make a hundred thousand objects that stay: looking through them again and again for
    # garbage is a tenth of the start.
    gc.disable()
    from queuedeck.embedded import serve

    gc.freeze()
    gc.enable()
    return serve(settings, listener)


def _listen(settings: Settings) -> socket.socket:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        listener = socket.create_server(
            (settings.host, settings.port), family=family, backlog=BACKLOG
        )
    except (OSError, OverflowError) as error:
        raise Unavailable(
            f"Cannot listen on {settings.host} port {settings.port}: "
            f"{getattr(error, 'strerror', None) or error}. "
            "Stop what uses it, or choose another with QUEUEDECK_PORT."
        ) from error
    listener.setblocking(False)
    return listener


def _configure_logging(level: str) -> None:
    if level not in LOG_LEVELS:
        raise Invalid(f"QUEUEDECK_LOG_LEVEL is {level!r}; choose one of {', '.join(LOG_LEVELS)}.")
    logging.basicConfig(
        # What libraries tell about their own work is not news here.
        level="WARNING",
        stream=sys.stderr,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
    )
    logging.getLogger("queuedeck").setLevel(level.upper())


def _leaves(group: ExceptionGroup[QueuedeckError]) -> list[QueuedeckError]:
    found: list[QueuedeckError] = []
    for error in group.exceptions:
        found += _leaves(error) if isinstance(error, ExceptionGroup) else [error]
    return found
