# SPDX-License-Identifier: AGPL-3.0-only
"""Commands that run the product: serve, demo, migrate."""

from pathlib import Path

import click

from queuedeck.cli.admin import admin_options, control, say
from queuedeck.settings import DEFAULT_PORT, Settings, read_settings


@click.command()
@click.option("--host", help="Address to listen on (QUEUEDECK_HOST). Default: 127.0.0.1.")
@click.option(
    "--port",
    type=click.IntRange(0, 65_535),
    help=f"Port to listen on (QUEUEDECK_PORT). Default: {DEFAULT_PORT}.",
)
@click.option(
    "--data",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder for databases and keys (QUEUEDECK_DATA).",
)
@click.option(
    "--public-url", help="How browsers and agents reach the server (QUEUEDECK_PUBLIC_URL)."
)
def serve(host: str | None, port: int | None, data: Path | None, public_url: str | None) -> int:
    """Run the server: dashboard, API and the link for agents.

    The first start makes the data folder and prints a link to create the first user.
    """
    settings = read_settings(
        host=host, port=port, data=data.absolute() if data else None, public_url=public_url
    )
    from queuedeck.server import run

    return run(settings)


@click.command()
@click.option("--seconds", type=click.IntRange(1), help="Run unattended for so long, then stop.")
@click.option("--json", "as_json", is_flag=True, help="Print one last line of JSON.")
@click.option("--port", type=click.IntRange(1, 65_535), help="Port of the demo's server.")
def demo(seconds: int | None, as_json: bool, port: int | None) -> int:
    """Show everything with a worker of each engine and made-up tasks, in a temporary folder."""
    try:
        from queuedeck.demo.session import run
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("queuedeck"):
            raise
        raise click.ClickException(
            f"The demo needs {error.name}. Install it with: pip install 'queuedeck[demo]'"
        ) from error
    return run(seconds=seconds, as_json=as_json, port=port)


@click.command()
@admin_options
def migrate(settings: Settings, as_json: bool) -> None:
    """Bring the database to the newest layout. `serve` does it by itself."""
    from queuedeck.db.engine import revision_of
    from queuedeck.db.migrate import HEAD

    with control(settings, may_create=True) as admin:
        revision: str = admin.run(revision_of(settings.control))
    name = settings.database_name
    say(
        as_json,
        f"{name} is at revision {revision}.",
        {"database": name, "revision": revision, "head": HEAD},
    )
