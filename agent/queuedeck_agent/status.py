# SPDX-License-Identifier: Apache-2.0
"""`queuedeck-agent status`: what waits in the spool of this host and user, which queues are paused
here, and what the server may ask."""

import datetime
import sys

import msgspec

from queuedeck_agent import config
from queuedeck_agent.errors import AgentError
from queuedeck_agent.paused import Pause, Paused
from queuedeck_agent.spool import open_spool


def main(as_json: bool) -> int:
    """Prints it; 1 when the settings cannot be used."""
    try:
        settings = config.from_env()
    except AgentError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    spool = open_spool(settings, "0" * 32)
    lanes = spool.lane_ids()
    used = spool.used_bytes()
    pauses = Paused(spool.folder).present()
    if as_json:
        from queuedeck_agent.cli import print_json

        print_json(
            {
                "server": settings.dsn.server_url,
                "project": settings.dsn.project,
                "spool": str(spool.folder or ""),
                "kind": spool.kind,
                "lanes": len(lanes),
                "used_bytes": used,
                "allow": list(settings.allow),
                "allow_tasks": list(settings.allow_tasks),
                "command_rate": settings.command_rate,
                "paused": [msgspec.to_builtins(pause) for pause in pauses],
            }
        )
        return 0
    sys.stdout.write(
        f"reports to   {settings.dsn.server_url}, project {settings.dsn.project}\n"
        f"spool        {spool.folder or 'memory'} ({spool.kind})\n"
        f"in it        {len(lanes)} lanes, {used >> 10} KiB of files\n"
        f"allowed      {', '.join(settings.allow) or 'nothing'}, on tasks "
        f"{', '.join(settings.allow_tasks)}, {settings.command_rate} commands a minute at most\n"
    )
    sys.stdout.write("".join(f"paused       {_said(pause)}\n" for pause in pauses))
    return 0


def _said(pause: Pause) -> str:
    """One line: the name and the reason were sent by the server."""
    until = "until somebody resumes it"
    if pause.until_us:
        until = f"until {datetime.datetime.fromtimestamp(pause.until_us // 1_000_000).astimezone()}"
    text = f"{pause.queue} of source {pause.source}, {until}"
    text = f"{text}: {pause.reason}" if pause.reason else text
    return "".join(char if char.isprintable() else " " for char in text)
