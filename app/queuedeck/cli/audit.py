# SPDX-License-Identifier: AGPL-3.0-only
"""`queuedeck verify-audit`."""

from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec

from queuedeck.cli.admin import admin_options, control, say
from queuedeck.errors import QueuedeckError
from queuedeck.settings import Settings

if TYPE_CHECKING:
    from queuedeck.domain.audit.queries import LogState
    from queuedeck.domain.audit.verify import Verified


@click.command("verify-audit")
@click.option(
    "--anchor",
    type=click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path),
    help="A checkpoint that was kept elsewhere, or - for standard input: shows that nothing was "
    "cut off since.",
)
@admin_options
def verify_audit(anchor: Path | None, settings: Settings, as_json: bool) -> int:
    """Check every entry of the audit log, and say what was proved.

    Exit code: 0 all is as it was written, 1 it is not, 3 it could not be decided.
    """
    from queuedeck.domain.audit import queries, verify

    note = _read(anchor) if anchor else None
    try:
        with control(settings) as admin:
            found: Verified = admin.run(verify.verify(admin.db, admin.keyring, note))
            state: LogState = admin.run(queries.log_state(admin.db))
    except QueuedeckError as error:
        click.echo(f"queuedeck: {error.message}", err=True)
        return int(verify.Verdict.UNPROVABLE)
    answer = msgspec.to_builtins(found)
    answer |= {"verdict": found.verdict.name.lower(), "checkpoint": state.checkpoint}
    say(as_json, _text(found), answer)
    return int(found.verdict)


def _read(anchor: Path) -> str:
    with click.open_file(str(anchor), encoding="utf-8", errors="replace") as file:
        return file.read()


def _text(found: "Verified") -> str:
    lines = [f"Proved: {line}" for line in found.proved]
    if found.problem:
        lines.append(f"{found.verdict.name}: {found.problem}")
        return "\n".join(lines)
    if found.not_proved:
        lines.append(f"Not proved: {found.not_proved}")
    lines.append(f"OK: {found.size} entries, Merkle root {found.root}")
    return "\n".join(lines)
