# SPDX-License-Identifier: AGPL-3.0-only
"""A host process with an agent, for tests that kill it. Arguments: spool, port, root, what to do.

`emit N`: records N events and waits to be killed. `fork N M`: N children record M events each,
then all wait. `slow-command`: acts on a command for ever.
"""

import os
import sys
import time

from tests.support.agent_events import SOURCE, started
from tests.support.far_edge import AGENT_KEY, PROJECT, SEAL

from queuedeck_agent import agent, config, dsn, wire
from queuedeck_agent.agent import Agent


def main(spool: str, port: str, root: str, work: str, *numbers: str) -> None:
    place = f"127.0.0.1:{port}"
    made = dsn.Dsn(
        f"http://{place}",
        f"ws://{place}{wire.LINK_PATH}",
        AGENT_KEY,
        PROJECT,
        SEAL,
        bytes.fromhex(root),
    )
    one = agent.start(config.Config(dsn=made, spool=spool))
    if work == "emit":
        emit(one, os.getpid(), int(numbers[0]))
    if work == "fork":
        fork(one, int(numbers[0]), int(numbers[1]))
    if work == "slow-command":
        one.register(SlowEngine(spool))
        one.start_link("worker")
    if work == "emit-and-exit":
        one.start_link("producer")
        emit(one, os.getpid(), int(numbers[0]))
        return
    print("ready", flush=True)  # noqa: T201
    time.sleep(120)


def emit(one: Agent, name: int, count: int) -> None:
    for number in range(count):
        one.recorder.emit(started(f"{name}-{number}"))


def fork(one: Agent, children: int, count: int) -> None:
    one.start_link("worker")
    time.sleep(0.3)
    for _ in range(children):
        if os.fork() == 0:
            one.start_link("worker")
            emit(one, os.getpid(), count)
            time.sleep(120)
            os._exit(0)


class SlowEngine:
    name = "celery"
    supports = ""
    version = ""

    def __init__(self, folder: str) -> None:
        self.folder = folder

    def capabilities(self) -> tuple[wire.Capability, ...]:
        return ()

    def attach(self, agent: Agent) -> None: ...
    def detach(self) -> None: ...

    def info(self) -> wire.EngineInfo:
        return wire.EngineInfo("celery", "5", SOURCE, "worker")

    def name_of(self, command: wire.CommandBody) -> str:
        return command.task_name

    def execute(self, command: wire.CommandBody, call: bytes) -> wire.CommandDone:
        with open(f"{self.folder}/acted", "a") as acted:  # noqa: PTH123
            acted.write(f"{command.command_id}\n")
        time.sleep(120)
        return wire.CommandDone(1, command.command_id)


if __name__ == "__main__":
    main(*sys.argv[1:])
