# SPDX-License-Identifier: AGPL-3.0-only
"""The parts that handlers work with, put together once by `asgi.create_app`."""

from collections.abc import Callable

import msgspec

from queuedeck.clock import Clock
from queuedeck.db.engine import ControlDb
from queuedeck.domain.accounts.passwords import Passwords
from queuedeck.domain.agents.registry import AgentRegistry
from queuedeck.domain.labels.rulebook import Rulebook
from queuedeck.domain.queues.observers import Observers
from queuedeck.domain.queues.watch import Watches
from queuedeck.domain.reconcile.truth import Truths
from queuedeck.domain.tasks.ingest import Ingest
from queuedeck.history.store import History
from queuedeck.keyring import Keyring
from queuedeck.live import Live
from queuedeck.settings import Settings
from queuedeck.shared import Shared


class Services(msgspec.Struct, frozen=True, kw_only=True):
    """What a handler may use; there is one of each in the process."""

    settings: Settings
    keyring: Keyring
    control: ControlDb
    history: History
    live: Live
    shared: Shared
    registry: AgentRegistry
    watches: Watches
    observers: Observers
    ingest: Ingest
    rulebook: Rulebook
    commands_changed: Callable[[int], None]
    """Call after the commit of a command, with its project: it is sent at once."""
    passwords: Passwords
    clock: Clock
    truths: Truths = msgspec.field(default_factory=Truths)
