# SPDX-License-Identifier: Apache-2.0
"""The few errors that the agent raises at its own edges. None of them reaches a task."""


class AgentError(Exception):
    """Something about the agent is wrong. The text says what, why, and what to do."""


class ConfigError(AgentError):
    """A setting cannot be used: what is wrong, and what to do about it, in sentences."""

    def __init__(self, what: str, todo: str) -> None:
        super().__init__(f"{what} {todo}")
        self.what = what
        self.todo = todo


class CommandRefused(AgentError):
    """A command will not be carried out; `code` is one of those of `wire.CommandFailed`."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
