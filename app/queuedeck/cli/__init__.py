# SPDX-License-Identifier: AGPL-3.0-only
"""The `queuedeck` command. Modules of this package import what is heavy inside their functions, so
that `queuedeck --help` answers at once.
"""

import os
import sys

import click

from queuedeck import __version__
from queuedeck.cli.audit import verify_audit
from queuedeck.cli.keys import keys, tokens
from queuedeck.cli.people import createuser, projects
from queuedeck.cli.running import demo, migrate, serve
from queuedeck.errors import QueuedeckError
from queuedeck.settings import read_settings


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="queuedeck", message="%(prog)s %(version)s")
def cli() -> None:
    """See and control Python task queues from one place.

    Start with `queuedeck demo`, or with `queuedeck serve`. The administration commands work while
    the server runs and while it does not; they are recorded in the audit log.
    """


for command in (serve, demo, createuser, projects, keys, tokens, migrate, verify_audit):
    cli.add_command(command)


def main() -> None:
    """Run the command line; one clear line on stderr for any error, never a traceback."""
    try:
        code = cli.main(prog_name="queuedeck", standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        code = error.exit_code
    except click.ClickException as error:
        context = error.ctx if isinstance(error, click.UsageError) else None
        hint = f" Try: {context.command_path} --help" if context else ""
        click.echo(f"queuedeck: {error.format_message()}{hint}", err=True)
        code = error.exit_code
    except (click.Abort, KeyboardInterrupt):
        click.echo("Stopped.", err=True)
        code = 130
    except BrokenPipeError:  # `queuedeck keys list | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 1
    except QueuedeckError as error:
        click.echo(f"queuedeck: {error.message}", err=True)
        code = 1
    except Exception as error:
        # A person at a shell has no use for a traceback, unless they ask for it.
        if read_settings().log_level == "debug":
            raise
        click.echo(
            f"queuedeck: {type(error).__name__}: {error}. This should not happen; run it again "
            "with QUEUEDECK_LOG_LEVEL=debug and report what it prints.",
            err=True,
        )
        code = 1
    sys.exit(code if isinstance(code, int) else 0)
