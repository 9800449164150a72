# SPDX-License-Identifier: AGPL-3.0-only
"""An agent in a process of its own, over the real protocol: it reports failed tasks, carries out
each command at most once, and writes down by itself when it did what. Argument: its plan as JSON.
"""

import asyncio
import os
import secrets
import sys
import time

import msgspec
from tests.support.links import link_to
from websockets.exceptions import WebSocketException

from queuedeck_agent import wire

SEAL_ID = "0a1b2c3d"
SEALED = SEAL_ID.encode() + b"\x00" * 200
FRAME_EVENTS = 400


class Plan(msgspec.Struct, frozen=True):
    url: str
    project: str
    key: str
    engine: str
    source: str
    tasks: int
    record: str
    """The file it writes: `SECONDS TASK` for each command that it carried out."""


class OperationsAgent:
    """One lane that only grows; what the server has not acknowledged is sent again."""

    def __init__(self, plan):
        self.plan, self.lane, self.agent_id = plan, secrets.token_hex(16), secrets.token_hex(16)
        self.records, self.acked, self.sent = [], 0, 0
        self.done = set()
        self.record = os.open(plan.record, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self.more = asyncio.Event()
        self._report_tasks()

    async def run(self):
        while True:
            try:
                async with link_to(self.plan.url, self.plan.key, self.plan.project) as socket:
                    await self._converse(socket)
            except (OSError, WebSocketException, TimeoutError, EOFError):
                await asyncio.sleep(0.2)

    async def _converse(self, socket):
        await socket.send(wire.encode(self._hello()))
        welcome = None
        while not isinstance(welcome, wire.Welcome):
            welcome = wire.decode_server_message(await asyncio.wait_for(socket.recv(), 20))
        self.acked = self.sent = welcome.committed.get(self.lane, 0)
        hear = asyncio.create_task(self._hear(socket))
        ship = asyncio.create_task(self._ship(socket))
        try:
            ended, _ = await asyncio.wait((hear, ship), return_when="FIRST_COMPLETED")
            for task in ended:
                task.result()
        finally:
            for task in (hear, ship):
                task.cancel()
            await asyncio.gather(hear, ship, return_exceptions=True)

    async def _hear(self, socket):
        while True:
            message = wire.decode_server_message(await socket.recv())
            if isinstance(message, wire.Ack):
                self.acked = max(self.acked, message.committed.get(self.lane, 0))
            elif isinstance(message, wire.Nack):
                self.sent = self.acked = message.expected[self.lane]
            elif isinstance(message, wire.Command):
                self._carry_out(wire.decode_command_body(message.body))
            self.more.set()

    async def _ship(self, socket):
        """A frame at a time: the next one leaves when this one is acknowledged."""
        while True:
            if self.sent > self.acked or self.sent == len(self.records):
                self.more.clear()
                try:
                    await asyncio.wait_for(self.more.wait(), 2)
                except TimeoutError:
                    beat = wire.Heartbeat(time.time_ns() // 1000)
                    await socket.send(wire.encode(beat))
                continue
            some = self.records[self.sent : self.sent + FRAME_EVENTS]
            self.sent += len(some)
            part = wire.LanePart(self.lane, self.sent, [msgspec.Raw(one) for one in some])
            await socket.send(wire.encode(wire.Frame([part])))

    def _carry_out(self, body):
        if body.sealed != SEALED:
            os.write(self.record, f"wrong {body.command_id} {body.task_id}\n".encode())
            return
        if body.command_id in self.done:
            return  # Asked for again after a break: the answer is in the lane.
        self.done.add(body.command_id)
        os.write(self.record, f"{time.time()} {body.task_id}\n".encode())
        new, source, at = f"again-{body.task_id}", self.plan.source, time.time_ns() // 1000
        self._add(
            wire.TaskPublished(
                at, source, new, 1, body.task_name, body.queue, retry_of=body.task_id
            ),
            wire.TaskStarted(at, source, new, 1, body.task_name, "worker"),
            wire.TaskSucceeded(at, source, new, 1, 1),
            wire.CommandDone(at, body.command_id, "Sent again.", new),
        )

    def _report_tasks(self):
        at, source = time.time_ns() // 1000, self.plan.source
        self._add(wire.SourceSeen(at, source, self.plan.engine, f"redis://{self.plan.engine}"))
        for number in range(self.plan.tasks):
            task_id = f"{self.plan.engine}-{number}"
            self._add(
                wire.TaskPublished(at, source, task_id, 1, "shop.pay", "mail", sealed=SEALED),
                wire.TaskStarted(at, source, task_id, 1, "shop.pay", "worker"),
                wire.TaskFailed(at, source, task_id, 1, "shop.CardDeclined"),
            )

    def _add(self, *events):
        self.records += [wire.encode(event) for event in events]

    def _hello(self):
        engine = wire.EngineInfo(
            self.plan.engine, "1.0", self.plan.source, "worker", worker="worker",
            capabilities=(wire.Capability("retry", "native"),),
        )  # fmt: skip
        return wire.Hello(
            self.agent_id, "0.1.0", "host", 1, secrets.token_bytes(16), engines=(engine,),
            allow=("observe", "retry"), seal_ids=(SEAL_ID,), lanes=((self.lane, self.acked + 1),),
        )  # fmt: skip


async def main(plan):
    await OperationsAgent(plan).run()


if __name__ == "__main__":
    asyncio.run(main(msgspec.json.decode(sys.argv[1], type=Plan)))
