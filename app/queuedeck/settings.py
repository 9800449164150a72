# SPDX-License-Identifier: AGPL-3.0-only
"""All settings, read once from QUEUEDECK_* and passed down. Nothing else reads the environment."""

import math
import os
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

import msgspec

from queuedeck.errors import Invalid

DEFAULT_PORT = 7717
MIN_RETENTION_DAYS = 3
"""In so many days the history looks for the task of an event."""


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that can be set."""

    data: Path
    """QUEUEDECK_DATA: folder for databases and keys. Made with mode 0700 at first start."""
    host: str = "127.0.0.1"
    """QUEUEDECK_HOST: address to listen on. Loopback unless you say otherwise."""
    port: int = DEFAULT_PORT
    """QUEUEDECK_PORT: port to listen on."""
    public_url: str = ""
    """QUEUEDECK_PUBLIC_URL: how browsers and agents reach the server. Printed in links and DSNs."""
    database_url: str = ""
    """QUEUEDECK_DATABASE_URL: postgresql://user:password@host/database. Default: SQLite files."""
    secret: str = ""
    """QUEUEDECK_SECRET: 64 hex digits from which all keys derive. Default: a file in `data`."""
    trusted_proxies: tuple[str, ...] = ()
    """QUEUEDECK_TRUSTED_PROXIES: addresses whose X-Forwarded-* headers count, with commas."""
    retention_days: int = 30
    """QUEUEDECK_RETENTION_DAYS: for so many days tasks are kept, 3 at least. Trends stay longer."""
    retention_gb: float = 0
    """QUEUEDECK_RETENTION_GB: the oldest days go while the history holds more. 0: any size."""
    reconcile_every_s: float = 30
    """QUEUEDECK_RECONCILE_EVERY_S: how often tasks that seem stuck are looked for. 0: never."""
    reconcile_away_s: float = 900
    """QUEUEDECK_RECONCILE_AWAY_S: how long an agent is away before its tasks may be called lost."""
    log_level: str = "info"
    """QUEUEDECK_LOG_LEVEL: debug, info, warning or error."""
    development: bool = False
    """QUEUEDECK_DEVELOPMENT: 1 adds the /styleguide page and reloads templates."""

    @property
    def url(self) -> str:
        """The public URL without a trailing slash."""
        return (self.public_url or f"http://{_url_host(self.host)}:{self.port}").rstrip("/")

    @property
    def is_https(self) -> bool:
        return self.url.startswith("https://")

    @property
    def retention_bytes(self) -> int:
        return int(self.retention_gb * 1e9)

    @property
    def control_db(self) -> Path:
        return self.data / "control.db"

    @property
    def history_db(self) -> Path:
        return self.data / "history.db"

    @property
    def control(self) -> Path | str:
        """Where users, keys and the audit log are: a file of SQLite, or the URL of a database."""
        return self.database_url or self.control_db

    @property
    def database_name(self) -> str:
        """For people: the file or the URL, without the password."""
        return shown_url(self.database_url) if self.database_url else str(self.control_db)

    def __repr__(self) -> str:
        """Without secrets: tracebacks and logs may hold this."""
        return f"Settings(data={str(self.data)!r}, url={self.url!r}, in {self.database_name})"


def read_settings(environ: Mapping[str, str] | None = None, **overrides: object) -> Settings:
    """Settings from the environment; `overrides` (of the command line) win where not None.

    Raises `Invalid` with the name of the variable when a value cannot be used.
    """
    env = os.environ if environ is None else environ
    read: dict[str, object] = {
        "data": Path(env.get("QUEUEDECK_DATA") or Path.home() / ".local/share/queuedeck"),
        "host": env.get("QUEUEDECK_HOST"),
        "port": _port(env.get("QUEUEDECK_PORT")),
        "public_url": env.get("QUEUEDECK_PUBLIC_URL"),
        "database_url": _database_url(env.get("QUEUEDECK_DATABASE_URL", "")),
        "secret": _secret(env.get("QUEUEDECK_SECRET") or ""),
        "trusted_proxies": tuple(
            p.strip() for p in env.get("QUEUEDECK_TRUSTED_PROXIES", "").split(",") if p.strip()
        ),
        "retention_days": _number(env, "QUEUEDECK_RETENTION_DAYS", int, MIN_RETENTION_DAYS),
        "retention_gb": _number(env, "QUEUEDECK_RETENTION_GB", float, 0),
        "reconcile_every_s": _number(env, "QUEUEDECK_RECONCILE_EVERY_S", float, 0),
        "reconcile_away_s": _number(env, "QUEUEDECK_RECONCILE_AWAY_S", float, 0),
        "log_level": env.get("QUEUEDECK_LOG_LEVEL", "").lower(),
        "development": env.get("QUEUEDECK_DEVELOPMENT", "") not in ("", "0"),
    }
    # An empty variable is one that is not set: the struct has the defaults.
    values = {name: value for name, value in read.items() if value not in (None, "")}
    values |= {name: value for name, value in overrides.items() if value is not None}
    _check_public_url(str(values.get("public_url", "")))
    return msgspec.convert(values, Settings)


def _port(text: str | None) -> int | None:
    if not text:
        return None
    if not text.isdigit() or not 0 <= int(text) <= 65_535:
        raise Invalid(f"QUEUEDECK_PORT is {text!r}, which is not a port number (0 to 65535).")
    return int(text)


def _number(
    env: Mapping[str, str], name: str, kind: Callable[[str], float], least: int
) -> float | None:
    text = env.get(name) or ""
    if not text:
        return None
    try:
        value = kind(text)
    except ValueError:
        value = -1
    if not least <= value < math.inf:
        raise Invalid(f"{name} is {text!r}, which is not a number from {least} up.")
    return value


def _check_public_url(text: str) -> None:
    if text and not _is_plain_url(text):
        raise Invalid(
            f"QUEUEDECK_PUBLIC_URL is {text!r}; write it as https://queuedeck.example.com."
        )


def _is_plain_url(text: str) -> bool:
    """Scheme, host, perhaps a port and a path: DSNs add the rest themselves."""
    try:
        parts = urlsplit(text)
        has_host = bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        return False
    more = parts.username or parts.query or parts.fragment or text != text.strip()
    return parts.scheme in ("http", "https") and has_host and not more


def shown_url(url: str) -> str:
    """The URL of a database without its password and options: safe to print."""
    parts = urlsplit(url)
    user = f"{parts.username}@" if parts.username else ""
    return f"postgresql://{user}{parts.netloc.rpartition('@')[2]}{parts.path}"


def _database_url(text: str) -> str:
    """Checked here, since the driver's own words may quote the password. So ours never do."""
    text = text.strip()
    if not text:
        return ""
    try:
        parts = urlsplit(text)
        _ = parts.port  # Read now: it raises for what is no number.
        problem = _database_problem(parts)
    except ValueError:
        problem = (
            "it cannot be read; in user and password write %40 for @, %2F for / and so on, "
            "and the port as a number"
        )
    if problem:
        raise Invalid(
            f"QUEUEDECK_DATABASE_URL cannot be used: {problem}. "
            "Write it as postgresql://user:password@host/database."
        )
    return text


def _database_problem(parts: SplitResult) -> str:
    if parts.scheme not in ("postgresql", "postgres"):
        return (
            f"its scheme is {parts.scheme!r}, and only postgresql is known (SQLite needs no URL, "
            "but a folder: QUEUEDECK_DATA)"
        )
    if not parts.path.strip("/"):
        return "it names no database"
    if parts.fragment or "/" in parts.path.strip("/"):
        return "more than a database stands behind the host (in a password write %23 for #)"
    if find_spec("asyncpg") is None:
        return "the driver is missing; install it with: pip install asyncpg"
    return ""


def _secret(text: str) -> str:
    try:
        ok = not text or len(bytes.fromhex(text)) == 32
    except ValueError:
        ok = False
    if not ok:
        raise Invalid(
            "QUEUEDECK_SECRET must be 64 hexadecimal digits; make one with: openssl rand -hex 32"
        )
    return text


def _url_host(host: str) -> str:
    shown = "127.0.0.1" if host in ("0.0.0.0", "::", "") else host  # noqa: S104 - only printed
    return f"[{shown}]" if ":" in shown else shown
