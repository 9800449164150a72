# SPDX-License-Identifier: AGPL-3.0-only
"""The server inside the test's own event loop, on a real port, with people and programs."""

import asyncio
import socket
from contextlib import asynccontextmanager
from types import SimpleNamespace

import httpx
import msgspec

from queuedeck.asgi import create_app, stop_streams
from queuedeck.domain.accounts.actor import SYSTEM
from queuedeck.domain.accounts.permissions import Role
from queuedeck.domain.accounts.queries import UserSeen
from queuedeck.domain.accounts.service import add_member, add_user
from queuedeck.domain.accounts.sessions import start_session
from queuedeck.domain.projects.service import create_agent_key, create_api_token, create_project
from queuedeck.embedded import EmbeddedServer
from queuedeck.entrance.identity import cookie_name, csrf_token


async def eventually(check, seconds=5):
    """Wait until the check holds."""
    async with asyncio.timeout(seconds):
        while not check():  # noqa: ASYNC110 - what is waited for has no event
            await asyncio.sleep(0.01)


class Serving:
    """What tests need of the running server."""

    def __init__(self, app, settings):
        self.app = app
        self.settings = settings
        self.services = app.state["services"]
        self.url = settings.url

    def http(self, **options):
        return httpx.AsyncClient(base_url=self.url, timeout=10, **options)

    async def project(self, name="Shop"):
        """A project with an agent key."""
        s = self.services
        seen = await create_project(s.control, s.keyring, name, SYSTEM)
        made = await create_agent_key(s.control, s.keyring, s.settings, seen, SYSTEM)
        key = made.dsn.partition("://")[2].partition("@")[0]
        return SimpleNamespace(id=seen.id, slug=seen.slug, seen=seen, key=key, key_id=made.key_id)

    async def token(self, project, role=Role.ADMIN):
        s = self.services
        return (await create_api_token(s.control, s.keyring, project.seen, role, SYSTEM)).token

    async def person(self, project, role=Role.OWNER):
        """A signed-in member: their cookie's name and value, and their CSRF token."""
        s = self.services
        email = f"{role.value}@{project.slug}.example"
        async with s.control.write() as session:
            user: UserSeen = await add_user(
                session, s.keyring, email, "", "no password", SYSTEM, clock=s.clock
            )
            await add_member(session, s.keyring, project.seen, user, role, SYSTEM, clock=s.clock)
        token = await start_session(s.control, s.keyring, user)
        cookies = {cookie_name(s.settings): token}
        return SimpleNamespace(user=user, token=token, cookies=cookies, csrf=csrf_token(s, token))


@asynccontextmanager
async def serve(settings):
    """The server until the block ends; then it stops as it would on SIGTERM.

    It lives in a task of its own: fixtures are left in another task than they were entered in.
    """
    started, stop = asyncio.get_running_loop().create_future(), asyncio.Event()
    task = asyncio.create_task(_run(settings, started, stop))
    await asyncio.wait((started, task), return_when=asyncio.FIRST_COMPLETED)
    if task.done():
        await task
    yield started.result()
    stop.set()
    await task


async def _run(settings, started, stop):
    listener = socket.create_server(("127.0.0.1", 0))
    listener.setblocking(False)
    with listener:
        settings = msgspec.structs.replace(settings, port=listener.getsockname()[1])
        app = create_app(settings)
        async with app.lifespan():
            server = EmbeddedServer(app, listener)
            running = asyncio.create_task(server.serve())
            started.set_result(Serving(app, settings))
            await stop.wait()
            await stop_streams(app)
            server.stop()
            await asyncio.wait_for(running, 5)
