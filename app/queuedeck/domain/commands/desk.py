# SPDX-License-Identifier: AGPL-3.0-only
"""What the use-cases of this package need. The entrances' `Services` fits both protocols."""

from collections.abc import Callable
from typing import Protocol

import msgspec

from queuedeck.clock import Clock
from queuedeck.db.engine import ControlDb
from queuedeck.domain.agents.registry import AgentRegistry
from queuedeck.history.store import History
from queuedeck.keyring import Keyring
from queuedeck.live import Live


class ResultDesk(Protocol):
    """Enough to record what came of commands."""

    @property
    def control(self) -> ControlDb: ...
    @property
    def keyring(self) -> Keyring: ...
    @property
    def live(self) -> Live: ...
    @property
    def clock(self) -> Clock: ...


class CommandDesk(ResultDesk, Protocol):
    """Enough to ask for commands and to send them."""

    @property
    def history(self) -> History: ...
    @property
    def registry(self) -> AgentRegistry: ...
    @property
    def commands_changed(self) -> Callable[[int], None]: ...


class Results(msgspec.Struct, frozen=True, kw_only=True):
    """A `ResultDesk` of its own, for whoever starts before `Services` are complete."""

    control: ControlDb
    keyring: Keyring
    live: Live
    clock: Clock
