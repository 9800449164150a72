# SPDX-License-Identifier: Apache-2.0
"""The command `queuedeck-agent`: run a command attached, look at the connection, show the state."""

import argparse
import json
import os
import sys
from pathlib import Path

from queuedeck_agent.version import VERSION

LAUNCH_FOLDER = Path(__file__).parent / "launch"


def main(argv: list[str] | None = None) -> None:
    """Entry point of the console script."""
    parser = _parser()
    options = parser.parse_args(argv)
    if options.command == "run":
        _run(options.words, parser)
    elif options.command == "doctor":
        from queuedeck_agent import doctor

        raise SystemExit(doctor.main(_words(options.words), as_json=options.json))
    elif options.command == "status":
        from queuedeck_agent import status

        raise SystemExit(status.main(as_json=options.json))
    else:
        parser.print_help()
        raise SystemExit(2)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="queuedeck-agent",
        description="Reports the tasks of your workers to a Queuedeck server.",
    )
    parser.add_argument("--version", action="version", version=f"queuedeck-agent {VERSION}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    run = commands.add_parser("run", help="start a command with the agent attached")
    run.add_argument("words", nargs=argparse.REMAINDER, metavar="-- COMMAND")
    doctor = commands.add_parser("doctor", help="go through the connection, step by step")
    doctor.add_argument("--json", action="store_true", help="print the findings as JSON")
    doctor.add_argument(
        "words",
        nargs=argparse.REMAINDER,
        metavar="[-- COMMAND]",
        help="also say whether the agent would attach to this command",
    )
    status = commands.add_parser("status", help="show what is in the spool of this host")
    status.add_argument("--json", action="store_true", help="print it as JSON")
    return parser


def _run(words: list[str], parser: argparse.ArgumentParser) -> None:
    """Becomes the command; the agent is loaded by Python's own start, through PYTHONPATH."""
    command = _words(words)
    if not command:
        parser.error("run: a command is missing, for example: run -- celery -A proj worker")
    if not os.environ.get("QUEUEDECK_DSN", "").strip():
        _say("QUEUEDECK_DSN is not set, so the command runs without Queuedeck.")
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (str(LAUNCH_FOLDER), before)))
    try:
        os.execvp(command[0], command)  # noqa: S606 - the user's own command, as it stands
    except OSError as error:
        _say(f"cannot start `{command[0]}`: {error.strerror}.")
        raise SystemExit(127 if isinstance(error, FileNotFoundError) else 126) from None


def _words(words: list[str]) -> list[str]:
    return words[1:] if words[:1] == ["--"] else words


def _say(text: str) -> None:
    sys.stderr.write(f"queuedeck-agent: {text}\n")


def print_json(value: object) -> None:
    """One line of JSON on the standard output."""
    sys.stdout.write(json.dumps(value) + "\n")


if __name__ == "__main__":
    main()
