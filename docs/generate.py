# SPDX-License-Identifier: AGPL-3.0-only
"""Writes docs/reference.md from the code (settings, commands, roles, events), and docs/engines.md
and docs/capabilities.json from what the conformance suite has recorded. Run `make docs`.
"""

import ast
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
RECORD = ROOT / "tests" / "conformance" / "record.json"
"""Written by `make conformance`."""


def main() -> int:
    """Write the pages; with `--check` only say whether they are up to date (exit 1 if not)."""
    made = pages()
    if "--check" in sys.argv:
        return 0 if all((DOCS / name).read_text() == text for name, text in made.items()) else 1
    for name, text in made.items():
        (DOCS / name).write_text(text)
    return 0


def pages() -> dict[str, str]:
    """Every generated file of docs/."""
    record = json.loads(RECORD.read_text())
    return {
        "reference.md": page(),
        "engines.md": engines_page(record),
        "capabilities.json": capabilities(record),
    }


def capabilities(record: dict[str, Any]) -> str:
    """The record for programs: engine -> behaviour -> support and reason."""
    found = {
        engine: {
            name: {"support": one["support"], "reason": one["reason"]}
            for name, one in seen["behaviours"].items()
        }
        for engine, seen in record.items()
    }
    return json.dumps(found, indent=2, sort_keys=True) + "\n"


def engines_page(record: dict[str, Any]) -> str:
    """The record for people: a table of behaviours by engine, then every reason."""
    engines = sorted(record)
    titles: dict[str, str] = {}
    for engine in engines:
        for name, one in record[engine]["behaviours"].items():
            titles.setdefault(name, one["title"])
    heads = [f"[{engine}](engines/{engine}.md) {record[engine]['version']}" for engine in engines]
    lines = [
        "# Engines",
        "",
        "Written by `make docs` from what passed in `make conformance`: real workers, a real",
        "Redis, one list of behaviours for all. Do not edit.",
        "",
        "| behaviour | " + " | ".join(heads) + " |",
        "|---" * (len(engines) + 1) + "|",
    ]
    reasons: list[str] = []
    for name, title in sorted(titles.items(), key=lambda item: item[1]):
        cells: list[str] = []
        for engine in engines:
            one = record[engine]["behaviours"].get(name)
            cells.append(_SUPPORT[one["support"]] if one else "not tested")
            if one and one["reason"]:
                reasons.append(f"- {engine}, {title[0].lower()}{title[1:]}: {one['reason']}")
        lines.append(f"| {_line(title)} | " + " | ".join(cells) + " |")
    return "\n".join([*lines, "", *reasons]) + "\n"


_SUPPORT = {"native": "yes", "emulated": "emulated", "impossible": "no"}


def page() -> str:
    """The whole reference page."""
    sections = [
        "# Reference\n\nWritten by `make docs` from the code. Do not edit.\n",
        "## Settings of the server\n",
        _settings(ROOT / "app/queuedeck/settings.py"),
        "## Settings of the agent\n",
        _settings(ROOT / "agent/queuedeck_agent/config.py"),
        "## Commands\n",
        _commands(),
        "## Roles\n",
        _roles(),
        "## Events\n",
        _events(),
    ]
    return "\n".join(sections)


def _settings(file: Path) -> str:
    rows = ["| variable | meaning |", "|---|---|"]
    for text in _field_docs(file):
        match = re.match(r"(QUEUEDECK_\w+): (.*)", text, re.DOTALL)
        if match:
            rows.append(f"| `{match[1]}` | {_line(match[2])} |")
    return "\n".join(rows) + "\n"


def _field_docs(file: Path) -> Iterator[str]:
    """The strings that follow fields and methods' first lines, in order of the file."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.ClassDef):
            for part in node.body:
                if isinstance(part, ast.Expr) and isinstance(part.value, ast.Constant):
                    yield str(part.value.value)


def _commands() -> str:
    from queuedeck.cli import cli as root

    rows = ["| command | what it does |", "|---|---|"]
    rows += [f"| `{name}` | {_line(text)} |" for name, text in _walk(root, "queuedeck")]
    return "\n".join(rows) + "\n"


def _walk(command: click.Command, name: str) -> Iterator[tuple[str, str]]:
    context = click.Context(command, info_name=name)
    if isinstance(command, click.Group):
        for child in command.list_commands(context):
            found = command.get_command(context, child)
            if found is not None:
                yield from _walk(found, f"{name} {child}")
        return
    usage = " ".join(command.collect_usage_pieces(context))
    options = [
        option.opts[0]
        for option in command.params
        if isinstance(option, click.Option) and not option.hidden
    ]
    tail = " ".join(f"[{option}]" for option in options)
    yield f"{name} {usage.replace('[OPTIONS]', tail)}".strip(), command.help or ""


def _roles() -> str:
    from queuedeck.domain.accounts.permissions import ROLE_PERMISSIONS, Permission, Role

    rows = [
        "| permission | " + " | ".join(Role) + " |",
        "|---" * (len(Role) + 1) + "|",
    ]
    for permission in Permission:
        marks = ("yes" if permission in ROLE_PERMISSIONS[role] else "" for role in Role)
        rows.append(f"| `{permission}` | " + " | ".join(marks) + " |")
    return "\n".join(rows) + "\n"


def _events() -> str:
    from queuedeck_agent import wire

    rows = ["| event | meaning | fields |", "|---|---|---|"]
    for kind in wire.AnyEvent.__args__:
        fields = ", ".join(f"`{field}`" for field in kind.__struct_fields__)
        meaning = _line(kind.__doc__ or "") if "__doc__" in kind.__dict__ else ""
        rows.append(f"| `{kind.__struct_config__.tag}` | {meaning} | {fields} |")
    return "\n".join(rows) + "\n"


def _line(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


if __name__ == "__main__":
    sys.exit(main())
