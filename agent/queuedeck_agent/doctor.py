# SPDX-License-Identifier: Apache-2.0
"""`queuedeck-agent doctor`: from the variable to the server's answer, one finding a step.

Steps that depend on a failed one are left out: the first problem is the one to solve.
"""

import importlib.metadata
import os
import shutil
import socket
import ssl
import sys
import time
import urllib.parse
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from queuedeck_agent import attachment, config, wire
from queuedeck_agent.dsn import Dsn
from queuedeck_agent.engines import versions
from queuedeck_agent.errors import ConfigError
from queuedeck_agent.version import VERSION

TIMEOUT_S = 10.0
LITTLE_SPACE_BYTES = 64 << 20


class Finding(NamedTuple):
    """One step. `todo` is there when it is not ok."""

    step: str
    ok: bool
    text: str
    todo: str = ""


def main(command: list[str], as_json: bool) -> int:
    """Prints the findings; 0 when all is well."""
    findings: list[Finding] = []
    for finding in examine(command):
        findings.append(finding)
        if not as_json:
            _print(finding)
    ok = all(finding.ok for finding in findings)
    if as_json:
        from queuedeck_agent.cli import print_json

        steps = [finding._asdict() for finding in findings]
        print_json({"ok": ok, "version": VERSION, "steps": steps})
    else:
        sys.stdout.write(
            "All is well.\n" if ok else "Solve the first problem, then run it again.\n"
        )
    return 0 if ok else 1


def examine(command: list[str]) -> Iterator[Finding]:
    """The findings, as they are made. One that is ok has nothing to do."""
    for finding in _steps(command):
        yield finding._replace(todo="") if finding.ok else finding


def _steps(command: list[str]) -> Iterator[Finding]:
    try:
        settings = config.from_env()
    except ConfigError as error:
        yield Finding("setting", False, error.what, error.todo)
        yield from _local(command)
        return
    dsn = settings.dsn
    yield Finding("setting", True, f"QUEUEDECK_DSN: {dsn.server_url}, project {dsn.project}")
    for warning in settings.warnings:
        yield Finding("setting", False, warning, "Correct the variable.")
    yield from _network(dsn)
    yield from _spool(settings)
    yield from _local(command)


def _network(dsn: Dsn) -> Iterator[Finding]:
    parts = urllib.parse.urlsplit(dsn.server_url)
    secure = parts.scheme == "https"
    host, port = parts.hostname or "", parts.port or (443 if secure else 80)
    proxy = os.environ.get("HTTPS_PROXY" if secure else "HTTP_PROXY", "")
    try:
        addresses = {str(one[4][0]) for one in socket.getaddrinfo(host, port)}
    except OSError as error:
        todo = "Check the host name in the DSN and the DNS of this machine."
        yield Finding("name", bool(proxy), f"{host} does not resolve ({error})", todo)
        if not proxy:
            return
    else:
        yield Finding("name", True, f"{host} is {', '.join(sorted(addresses))}")
    if proxy:
        yield Finding("proxy", True, "the connection goes through the proxy in the environment")
    else:
        try:
            socket.create_connection((host, port), TIMEOUT_S).close()
        except OSError as error:
            todo = "Start the server there, or open the firewall for this port."
            yield Finding("tcp", False, f"{host}:{port} does not answer ({error})", todo)
            return
        yield Finding("tcp", True, f"{host}:{port} accepts connections")
    if secure and not proxy:
        finding = _tls(host, port)
        yield finding
        if not finding.ok:
            return
    yield _server(dsn)


def _tls(host: str, port: int) -> Finding:
    from queuedeck_agent import connect

    try:
        with (
            socket.create_connection((host, port), TIMEOUT_S) as plain,
            ssl.create_default_context().wrap_socket(plain, server_hostname=host) as secured,
        ):
            return Finding("tls", True, f"{secured.version()}, certificate verified")
    except OSError as error:
        if connect.is_plain_http(error):
            text = f"the server at {host}:{port} speaks plain http, and the DSN says https"
            return Finding("tls", False, text, connect.TODO_PLAIN_HTTP)
        if isinstance(error, ssl.SSLCertVerificationError):
            text = f"the certificate is not accepted ({error.verify_message})"
            return Finding("tls", False, text, connect.TODO_CERTIFICATE)
        text = f"{host}:{port} does not finish the TLS handshake ({error})"
        return Finding("tls", False, text, "Check that it is the port of the https server.")


def _server(dsn: Dsn) -> Finding:
    """Opens the link, says hello with no lanes and no engines, and reads the welcome."""
    from queuedeck_agent import connect
    from queuedeck_agent.ids import new_id

    try:
        with connect.open_link(dsn) as link:
            hello = wire.Hello(
                agent_id=new_id(),
                version=VERSION,
                host=socket.gethostname(),
                pid=os.getpid(),
                nonce=os.urandom(16),
                clock_us=time.time_ns() // 1_000,
            )
            link.send(wire.encode(hello))
            answer = wire.decode_server_message(link.recv(TIMEOUT_S, decode=False))
    except Exception as error:  # noqa: BLE001 - each failure is a finding, in words
        trouble = connect.explain(error, dsn)
        return Finding("server", False, trouble.message, trouble.todo)
    if not isinstance(answer, wire.Welcome):
        text = f"{dsn.server_url} answered, but not with a welcome ({type(answer).__name__})"
        return Finding("server", False, text, connect.TODO_LOG)
    skew = abs(time.time_ns() // 1_000 - answer.clock_us) // 1_000_000 if answer.clock_us else 0
    clock = f"; the clocks differ by {skew} s" if skew > 5 else ""
    return Finding("server", True, f"key accepted, protocol {answer.protocol}{clock}")


def _spool(settings: config.Config) -> Iterator[Finding]:
    from queuedeck_agent import spool

    opened = spool.open_spool(settings, "0" * 32)
    if opened.kind != "disk" or opened.folder is None:
        yield Finding("spool", False, opened.warning, "Set QUEUEDECK_SPOOL to such a folder.")
        return
    free = shutil.disk_usage(opened.folder).free
    text = f"{opened.folder} can be written, {free >> 20} MiB free"
    todo = "Free some space, or set QUEUEDECK_SPOOL to a folder on another disk."
    yield Finding("spool", free > LITTLE_SPACE_BYTES, text, todo)


def _local(command: list[str]) -> Iterator[Finding]:
    yield from _engines()
    yield _autoload()
    if command:
        decision = attachment.decide(_as_started(command), attachment.is_piped())
        todo = "The agent attaches to workers, beat and processes that enqueue."
        yield Finding("command", decision.attach, f"it is {decision.reason}", todo)


def _engines() -> Iterator[Finding]:
    """Every engine beside this Python; one is enough."""
    found = [one for one in map(_engine, versions.TESTED) if one is not None]
    yield from found
    if not found:
        todo = "Install the agent into the environment of your workers, and run this there."
        text = f"no engine is installed beside {sys.executable}"
        yield Finding("engine", False, text, todo)


def _engine(engine: str) -> Finding | None:
    version = _version_of(engine)
    if not version:
        return None
    tested = versions.TESTED[engine]
    todo = "It is observed, and no action is carried out. A newer agent may know this version."
    if versions.within(version, tested):
        return Finding(engine, True, f"{engine} {version}")
    return Finding(engine, False, f"{engine} {version}; tested with {tested}", todo)


def _version_of(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return ""


def _autoload() -> Finding:
    sites = [one for one in sys.path if one.endswith(("site-packages", "dist-packages"))]
    places = [Path(one) / "queuedeck_agent.pth" for one in sites]
    found = next((place for place in places if place.exists()), None)
    launched = any("queuedeck_agent/launch" in one for one in sys.path)
    if found is not None or launched:
        return Finding("attachment", True, "Python loads the agent at its start")
    todo = "Start workers with `queuedeck-agent run -- COMMAND`, or install the wheel."
    return Finding("attachment", False, "this Python does not load the agent by itself", todo)


def _as_started(command: list[str]) -> list[str]:
    """As the interpreter will see it: a console script is run by Python."""
    name = Path(command[0]).name
    return command if name.startswith(("python", "pypy")) else [sys.executable, *command]


def _print(finding: Finding) -> None:
    mark = "ok     " if finding.ok else "problem"
    sys.stdout.write(f"{mark}  {finding.step}: {finding.text}\n")
    if not finding.ok and finding.todo:
        sys.stdout.write(f"         -> {finding.todo}\n")
    sys.stdout.flush()
