# SPDX-License-Identifier: Apache-2.0
"""Opens the WebSocket, and says in words for people why that failed and when to try again."""

import json
import random
import socket
import ssl
import struct
from contextlib import AbstractContextManager, suppress

import msgspec
from websockets import exceptions
from websockets.sync.client import ClientConnection, connect

from queuedeck_agent import wire
from queuedeck_agent.dsn import Dsn
from queuedeck_agent.version import VERSION

OPEN_TIMEOUT_S = 10.0
SEND_TIMEOUT_S = 30
MAX_MESSAGE_BYTES = 4 << 20

LONGEST_WAIT_S = 60.0
LONGEST_WAIT_REFUSED_S = 600.0

_NO_TLS = ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "RECORD_LAYER_FAILURE")
"""What versions of OpenSSL call an answer in plain text."""

TODO_NAME = "Check the host name in QUEUEDECK_DSN and the DNS of this machine."
TODO_AWAY = "Check that the server runs there, and that no firewall is in between."
TODO_LOG = "Look at the server's log."
TODO_UPGRADE = "Upgrade the older of the two: queuedeck, or queuedeck-agent here."
TODO_ADDRESS = "Check the address in QUEUEDECK_DSN, and that no proxy on the way blocks WebSockets."
TODO_CERTIFICATE = "For a private authority, set SSL_CERT_FILE to its certificate."
TODO_PLAIN_HTTP = (
    "Write http:// in QUEUEDECK_DSN, with &insecure=1 at its end if the server is not on this "
    "machine and the network is yours; or put a proxy with a certificate before the server."
)


class Trouble(msgspec.Struct, frozen=True):
    """Why there is no connection."""

    message: str
    """Half a sentence, without the point."""
    todo: str
    """What to do, in whole sentences."""
    refused: bool = False
    """The server said no: somebody must change something, so trying often is no use."""
    retry_after_s: float = 0.0
    passing: bool = False
    """A server that stops, starts or is away looks like this: one outage has several of them."""


def open_link(dsn: Dsn) -> AbstractContextManager[ClientConnection]:
    """A context manager that gives the open connection. Proxies and private CAs by the usual
    variables (HTTPS_PROXY, NO_PROXY, SSL_CERT_FILE)."""
    return connect(
        dsn.link_url,
        additional_headers={
            "Authorization": f"Bearer {dsn.agent_key}",
            wire.HEADER_PROTOCOL: str(wire.PROTOCOL),
            wire.HEADER_PROJECT: dsn.project,
        },
        user_agent_header=f"queuedeck-agent/{VERSION}",
        compression=None,
        open_timeout=OPEN_TIMEOUT_S,
        close_timeout=1,
        ping_interval=None,
        max_size=MAX_MESSAGE_BYTES,
    )


def limit_sending(connection: ClientConnection) -> None:
    """A peer that takes nothing must not hold the link's thread for ever."""
    with suppress(OSError, AttributeError):
        value = struct.pack("ll", SEND_TIMEOUT_S, 0)
        connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, value)


def wait_before(attempt: int, trouble: Trouble) -> float:
    """Seconds before the next attempt: full jitter, so that a thousand agents spread out."""
    longest = LONGEST_WAIT_REFUSED_S if trouble.refused else LONGEST_WAIT_S
    span = min(longest, 2.0 ** min(attempt, 12))
    return max(trouble.retry_after_s, 0.0) + random.uniform(min(1.0, span / 2), span)  # noqa: S311


def explain(error: Exception, dsn: Dsn) -> Trouble:
    """Why connecting to, or talking with, the server failed."""
    place = dsn.server_url
    if isinstance(error, exceptions.InvalidStatus):
        return _explain_status(error, dsn)
    if isinstance(error, ssl.SSLError):
        return _explain_tls(error, place)
    if isinstance(error, socket.gaierror):
        why = f"the name in {place} cannot be resolved ({error.strerror or error})"
        return Trouble(why, TODO_NAME, passing=True)
    if isinstance(error, TimeoutError):
        return Trouble(f"{place} did not answer in time", TODO_AWAY, passing=True)
    if isinstance(error, ConnectionRefusedError):
        return Trouble(f"nothing listens at {place}", TODO_AWAY, passing=True)
    if isinstance(error, exceptions.ConnectionClosed):
        return Trouble(f"{place} closed the connection ({error})", TODO_LOG, passing=True)
    if isinstance(error, exceptions.InvalidHandshake):
        why = f"{place} answered, but not as a Queuedeck server does ({error})"
        cut_off = isinstance(error, exceptions.InvalidMessage)
        return Trouble(why, TODO_ADDRESS, passing=cut_off)
    why = f"{place} cannot be reached ({type(error).__name__}: {error})"
    return Trouble(why, TODO_AWAY, passing=True)


def is_plain_http(error: Exception) -> bool:
    """Whether a TLS handshake failed because the other side does not speak TLS at all."""
    return getattr(error, "reason", "") in _NO_TLS


def _explain_tls(error: ssl.SSLError, place: str) -> Trouble:
    if isinstance(error, ssl.SSLCertVerificationError):
        why = f"the certificate of {place} cannot be verified ({error.verify_message})"
        return Trouble(why, TODO_CERTIFICATE)
    if is_plain_http(error):
        return Trouble(f"the server at {place} speaks plain http, not https", TODO_PLAIN_HTTP)
    why = f"{place} does not speak TLS as expected ({error.reason or error})"
    return Trouble(why, TODO_CERTIFICATE)


def _explain_status(error: exceptions.InvalidStatus, dsn: Dsn) -> Trouble:
    status = error.response.status_code
    said = _said(bytes(error.response.body or b""))
    place = dsn.server_url
    if status == 401:
        return Trouble(
            f"{place} does not accept the agent key in QUEUEDECK_DSN{said}: it was revoked, or is "
            "of another server",
            f"Make a new DSN with `queuedeck keys create {dsn.project}`, set it, and restart.",
            refused=True,
        )
    if status == 403:
        return Trouble(
            f"{place} does not let this key report to project {dsn.project}{said}",
            "Use the DSN of that project.",
            refused=True,
        )
    if status == 426:
        return Trouble(
            f"{place} does not speak protocol {wire.PROTOCOL} of this agent{said}",
            TODO_UPGRADE,
            refused=True,
        )
    if status in (429, 503):
        wait = error.response.headers.get("Retry-After", "")
        seconds = min(float(wait), LONGEST_WAIT_REFUSED_S) if wait.isdecimal() else 0.0
        todo = "Wait a moment; if it stays so, look at the server's log."
        why = f"{place} is busy or starting{said}"
        return Trouble(why, todo, retry_after_s=seconds, passing=True)
    why = f"{place} answered HTTP {status}{said} where a Queuedeck server would open a WebSocket"
    return Trouble(why, TODO_ADDRESS, passing=status in (502, 504))


def _said(body: bytes) -> str:
    """The server's own words, if it sent any in the agreed form."""
    try:
        message = json.loads(body)["error"]["message"]
    except (ValueError, KeyError, TypeError):
        return ""
    # One line, whatever a stranger answers: nobody writes lines of their own into the host's log.
    return f" (it says: {' '.join(str(message)[:200].split())})" if message else ""
