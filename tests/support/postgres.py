# SPDX-License-Identifier: AGPL-3.0-only
"""Postgres for tests: the one of this machine when it lets us in without a password, else a cluster
of our own in a temporary folder. Every database made here is dropped when the process ends.
"""

import asyncio
import atexit
import functools
import glob
import os
import pwd
import secrets
import shutil
import subprocess
import tempfile
import threading
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import asyncpg

from queuedeck.demo.broker import free_port

USUAL = "127.0.0.1:5432"
ROLES = ("postgres", "root")
ASK_S = 30
PREFIX = "queuedeck_test"
UNPRIVILEGED = ("postgres", "nobody")
"""Postgres refuses to run as root."""


@functools.cache
def database_url():
    """The URL of an empty database that belongs to this process alone: each worker of a parallel
    run has its own. What tests leave in it is theirs to clean.
    """
    return new_database()


def new_database(template="template0"):
    """The URL of a new database, by default an empty one."""
    name = f"{PREFIX}_{os.environ.get('PYTEST_XDIST_WORKER', 'main')}_{secrets.token_hex(5)}"
    execute(server_url(), f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
    atexit.register(drop_database, url_of(name))
    return url_of(name)


def drop_database(url):
    """Whoever is connected to it is thrown out. One that is gone already is no error."""
    execute(server_url(), f'DROP DATABASE IF EXISTS "{name_of(url)}" WITH (FORCE)')


def name_of(url):
    return urlsplit(url).path.lstrip("/")


def url_of(name):
    return urlunsplit(urlsplit(server_url())._replace(path=f"/{name}"))


@functools.cache
def server_url():
    """The URL of a database that is always there, on the server that this process uses."""
    for role in ROLES:
        url = f"postgresql://{role}@{USUAL}/postgres"
        if answers(url):
            return url
    cluster = Cluster().start()
    atexit.register(cluster.remove)
    return cluster.url


def answers(url):
    """Whether a server lets us in, and make databases."""
    try:
        rows = execute(url, "SELECT rolcreatedb FROM pg_roles WHERE rolname = current_user")
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, TimeoutError):
        return False
    return rows[0]["rolcreatedb"]


def execute(url, *statements):
    """Run statements one by one, also from within an event loop; the rows of the last one.

    A statement is text, or (text, parameters).
    """

    async def run():
        connection = await asyncpg.connect(url, timeout=ASK_S)
        try:
            rows = []
            for statement in statements:
                text, parameters = statement if isinstance(statement, tuple) else (statement, ())
                rows = await connection.fetch(text, *parameters, timeout=ASK_S)
            return rows
        finally:
            await connection.close()

    found, failed = [], []

    def in_a_loop_of_its_own():
        try:
            found.append(asyncio.run(run()))
        except Exception as error:
            failed.append(error)

    thread = threading.Thread(target=in_a_loop_of_its_own)
    try:
        thread.start()
    except RuntimeError:  # At exit no thread starts any more, and no loop runs either.
        in_a_loop_of_its_own()
    else:
        thread.join()
    if failed:
        raise failed[0]
    return found[0]


class Cluster:
    """A Postgres server of our own, on a free port and in a folder of its own, which may be broken
    and started again. `remove` when done.
    """

    def __init__(self, **settings):
        self.folder = Path(tempfile.mkdtemp(prefix="queuedeck-postgres-"))
        self.data = self.folder / "data"
        self.port = free_port()
        self.url = f"postgresql://postgres@127.0.0.1:{self.port}/postgres"
        self._user = _unprivileged()
        if self._user:
            shutil.chown(self.folder, self._user)
        self._run("initdb", "--auth=trust", "--username=postgres", "--encoding=UTF8", "--no-sync")
        settings = {"unix_socket_directories": "", "listen_addresses": "127.0.0.1", **settings}
        with (self.data / "postgresql.conf").open("a") as file:
            file.writelines(f"{name} = '{value}'\n" for name, value in settings.items())

    def start(self):
        """Returns when it takes connections."""
        self._run("pg_ctl", "start", "-w", "-l", self.folder / "log", "-o", f"-p {self.port}")
        return self

    def stop(self, mode="fast"):
        self._run("pg_ctl", "stop", "-w", "-m", mode)

    def restart_immediately(self):
        """As after a crash: nothing is written down, all connections are cut, then recovery."""
        self.stop("immediate")
        self.start()

    def remove(self):
        if (self.data / "postmaster.pid").exists():
            self.stop("immediate")
        shutil.rmtree(self.folder, ignore_errors=True)

    def database(self):
        """The URL of a new database in it."""
        name = f"{PREFIX}_{secrets.token_hex(5)}"
        execute(self.url, f'CREATE DATABASE "{name}"')
        return urlunsplit(urlsplit(self.url)._replace(path=f"/{name}"))

    def _run(self, program, *options):
        done = subprocess.run(
            [find_program(program), "-D", self.data, *options],
            user=self._user,
            group=pwd.getpwnam(self._user).pw_gid if self._user else None,
            extra_groups=[] if self._user else None,
            cwd=self.folder,
            # A pipe would stay open in the server, and be waited for.
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=120,
            check=False,
        )
        log = self.folder / "log"
        said = log.read_text(errors="replace")[-2_000:] if log.exists() else ""
        assert done.returncode == 0, f"{program} ended with {done.returncode}: {said}"


def find_program(name):
    """Debian keeps what belongs to the server out of the PATH. The newest one that is there."""
    found = sorted(glob.glob(f"/usr/lib/postgresql/*/bin/{name}"), key=_version)  # noqa: PTH207
    path = found[-1] if found else shutil.which(name)
    assert path, f"There is no {name}. On Debian: apt-get install postgresql"
    return path


def _version(path):
    text = Path(path).parts[-3]
    return float(text) if text.replace(".", "", 1).isdigit() else 0.0


def _unprivileged():
    if os.geteuid() != 0:
        return None
    for name in UNPRIVILEGED:
        try:
            pwd.getpwnam(name)
        except KeyError:
            continue
        return name
    raise AssertionError("As root, the tests need a user `postgres` or `nobody` for Postgres.")
