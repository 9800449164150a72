# SPDX-License-Identifier: AGPL-3.0-only
"""The errors of the domain. Entrances make answers of them; the docstring is the default."""


class QueuedeckError(Exception):
    """Something went wrong."""

    code = "error"
    status = 500

    def __init__(self, message: str = "") -> None:
        super().__init__(message or (self.__doc__ or "").strip())

    @property
    def message(self) -> str:
        return str(self)

    @property
    def details(self) -> dict[str, object]:
        """What programs are told beside code and message."""
        return {}


class NotFound(QueuedeckError):
    """There is nothing here, or nothing that you may see."""

    code = "not_found"
    status = 404


class Unauthorized(QueuedeckError):
    """Sign in first."""

    code = "unauthorized"
    status = 401


class Forbidden(QueuedeckError):
    """Your role does not allow this."""

    code = "forbidden"
    status = 403


class Conflict(QueuedeckError):
    """The present state does not allow this."""

    code = "conflict"
    status = 409


class Invalid(QueuedeckError):
    """The input is not valid."""

    code = "invalid"
    status = 422


class NotSupported(QueuedeckError):
    """The engine, or the policy of its host, does not allow this."""

    code = "not_supported"
    status = 409


class TooMany(QueuedeckError):
    """Too many attempts. Wait a little and try again."""

    code = "too_many"
    status = 429


class Unavailable(QueuedeckError):
    """The server cannot write now. Nothing was changed; try again."""

    code = "unavailable"
    status = 503
