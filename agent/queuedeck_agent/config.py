# SPDX-License-Identifier: Apache-2.0
"""Every environment variable of the agent, read once. Nothing else in the agent reads them."""

import os
import tempfile
from collections.abc import Mapping

import msgspec

from queuedeck_agent import wire
from queuedeck_agent.dsn import Dsn, SealKey, parse
from queuedeck_agent.errors import ConfigError
from queuedeck_agent.overrides import Redaction
from queuedeck_agent.overrides import parse as parse_redaction

DEFAULT_ALLOW = ("observe", "retry", "cancel", "pause")
KNOWN_WORDS = frozenset(wire.VERBS.values()) | {"schedule"}
LOG_LEVELS = ("debug", "info", "warning", "error")
DEFAULT_SPOOL_BYTES = 256 << 20
LEAST_SPOOL_BYTES = 1 << 20


class Config(msgspec.Struct, frozen=True, kw_only=True):
    """What the host's operator decided."""

    dsn: Dsn
    """QUEUEDECK_DSN: the server, the key, the project, the sealing key, the server's root key."""
    previous: tuple[SealKey, ...] = ()
    """QUEUEDECK_DSN_PREVIOUS: older DSNs, by spaces; only their sealing keys are used."""
    spool: str = ""
    """QUEUEDECK_SPOOL: base folder of the spool; the system's temporary folder by default."""
    spool_max_bytes: int = DEFAULT_SPOOL_BYTES
    """QUEUEDECK_SPOOL_MAX_BYTES: events kept on disk at most, for one server, project and user."""
    allow: tuple[str, ...] = DEFAULT_ALLOW
    """QUEUEDECK_ALLOW: what the server may ask of this host, in the words of `wire.VERBS`."""
    """QUEUEDECK_READ_ONLY: 1 lets the server only observe, whatever QUEUEDECK_ALLOW says."""
    allow_tasks: tuple[str, ...] = ("*",)
    """QUEUEDECK_ALLOW_TASKS: names of the tasks that commands may touch, with wildcards."""
    command_rate: int = 600
    """QUEUEDECK_COMMAND_RATE: commands carried out per minute at most."""
    release: str = ""
    """QUEUEDECK_RELEASE: the version of your code, shown with each attempt. If it is not set: what
    the platform says (`SENTRY_RELEASE`, `GIT_COMMIT` and the like), else the commit in `.git`."""
    capture_args: bool = True
    """QUEUEDECK_CAPTURE_ARGS: 0 keeps arguments (redacted and sealed) out of the events."""
    capture_results: bool = True
    """QUEUEDECK_CAPTURE_RESULTS: 0 keeps return values out of the events."""
    logs: str = ""
    """QUEUEDECK_LOGS: `debug`, `info`, `warning` or `error` records what tasks log from that level
    on; off by default."""
    redact: Redaction = Redaction()
    """QUEUEDECK_REDACT: further key names to hide, and places in the calls of single tasks."""
    warnings: tuple[str, ...] = ()
    """What was odd about the settings, for the log and the dashboard."""

    @property
    def seal_keys(self) -> tuple[SealKey, ...]:
        """The present sealing key first, then the older ones."""
        return (self.dsn.seal, *self.previous)


_given: dict[str, str] = {}
_doubts: list[str] = []


def give(settings: Mapping[str, str], doubts: list[str]) -> None:
    """An integration of a framework says what the application configures, under the variables'
    names. A variable of the environment goes before it, an empty one too: that switches it off."""
    _given.update(settings)
    _doubts.extend(doubt for doubt in doubts if doubt not in _doubts)


def effective() -> dict[str, str]:
    """The environment, and what the application configures."""
    return {**_given, **os.environ}


def from_env(env: Mapping[str, str] | None = None) -> Config:
    """Reads the settings; raises `ConfigError` with a message for the operator."""
    warnings: list[str] = []
    if env is None:
        env = effective()
        warnings.extend(_doubts)
    text = env.get("QUEUEDECK_DSN", "").strip()
    if not text:
        raise ConfigError(
            "QUEUEDECK_DSN is not set, so nothing is reported to Queuedeck.",
            "Set it to the DSN that the connect page of your server shows.",
        )
    redaction = parse_redaction(env.get("QUEUEDECK_REDACT", ""))
    warnings.extend(redaction.doubts)
    return Config(
        dsn=parse(text),
        previous=_previous(env.get("QUEUEDECK_DSN_PREVIOUS", ""), warnings),
        spool=env.get("QUEUEDECK_SPOOL") or f"{tempfile.gettempdir()}/queuedeck-spool",
        spool_max_bytes=_number(
            env, "QUEUEDECK_SPOOL_MAX_BYTES", DEFAULT_SPOOL_BYTES, LEAST_SPOOL_BYTES, warnings
        ),
        allow=_allow(env, warnings),
        allow_tasks=_names(env.get("QUEUEDECK_ALLOW_TASKS", "")) or ("*",),
        command_rate=_number(env, "QUEUEDECK_COMMAND_RATE", 600, 0, warnings),
        release=env.get("QUEUEDECK_RELEASE", "").strip()[:100],
        capture_args=_flag(env, "QUEUEDECK_CAPTURE_ARGS", True),
        capture_results=_flag(env, "QUEUEDECK_CAPTURE_RESULTS", True),
        logs=_level(env, warnings),
        redact=redaction,
        warnings=tuple(warnings),
    )


def _previous(text: str, warnings: list[str]) -> tuple[SealKey, ...]:
    keys: list[SealKey] = []
    for place, one in enumerate(text.split(), start=1):
        try:
            keys.append(parse(one).seal)
        except ConfigError:
            warnings.append(f"QUEUEDECK_DSN_PREVIOUS: entry {place} is not a DSN and is ignored.")
    return tuple(keys)


def _allow(env: Mapping[str, str], warnings: list[str]) -> tuple[str, ...]:
    if _flag(env, "QUEUEDECK_READ_ONLY", False):
        return ("observe",)
    if "QUEUEDECK_ALLOW" not in env:
        return DEFAULT_ALLOW
    verbs = _names(env["QUEUEDECK_ALLOW"])
    unknown = [verb for verb in verbs if verb not in KNOWN_WORDS]
    if unknown:
        known = ", ".join(sorted(KNOWN_WORDS))
        warnings.append(f"QUEUEDECK_ALLOW: {', '.join(unknown)} means nothing; known are {known}.")
    return tuple(verb for verb in verbs if verb in KNOWN_WORDS)


def _level(env: Mapping[str, str], warnings: list[str]) -> str:
    level = env.get("QUEUEDECK_LOGS", "").strip().lower()
    if level in ("", "0", "false", "no", "off"):
        return ""
    if level not in LOG_LEVELS:
        known = ", ".join(LOG_LEVELS)
        warnings.append(f"QUEUEDECK_LOGS: {level} means nothing; known are {known} and off.")
        return ""
    return level


def _names(text: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name for name in text.replace(",", " ").split() if name))


def _flag(env: Mapping[str, str], name: str, default: bool) -> bool:
    value = env.get(name, "").strip().lower()
    return default if not value else value not in ("0", "false", "no", "off")


def _number(
    env: Mapping[str, str], name: str, default: int, least: int, warnings: list[str]
) -> int:
    text = env.get(name, "").strip()
    if not text:
        return default
    if not text.isdecimal() or int(text) < least:
        warnings.append(f"{name} must be a whole number of at least {least}; {default} is used.")
        return default
    return int(text)
