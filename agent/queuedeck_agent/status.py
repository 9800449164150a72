# SPDX-License-Identifier: Apache-2.0
"""`queuedeck-agent status`: what waits in the spool of this host and user."""

import sys

from queuedeck_agent import config
from queuedeck_agent.errors import AgentError
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
            }
        )
        return 0
    sys.stdout.write(
        f"reports to   {settings.dsn.server_url}, project {settings.dsn.project}\n"
        f"spool        {spool.folder or 'memory'} ({spool.kind})\n"
        f"in it        {len(lanes)} lanes, {used >> 10} KiB of files\n"
        f"allowed      {', '.join(settings.allow) or 'nothing'}\n"
    )
    return 0
