# SPDX-License-Identifier: AGPL-3.0-only
"""Writes docs/reference.md from the code (settings, commands, roles, events), and docs/engines.md
and docs/capabilities.json from what the conformance suite has recorded in the cells of the matrix.
Run `make docs`.
"""

import ast
import json
import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
MATRIX = ROOT / "tests" / "agent" / "matrix.toml"
RECORDS = ROOT / "tests" / "matrix" / "records"
"""Written by `make test-engines`, a file for each cell of the matrix."""


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
    cells = read_cells()
    return {
        "reference.md": page(),
        "engines.md": engines_page(cells),
        "capabilities.json": capabilities(cells),
    }


def read_cells() -> list[dict[str, Any]]:
    """The cells of the matrix, in its order, each with its record; `behaviours` is None where it
    was never run."""
    cells: list[dict[str, Any]] = []
    for cell in tomllib.loads(MATRIX.read_text())["cell"]:
        given = {"broker": "redis", "python": "3.11", "pool": "", "behaviours": None, **cell}
        record = RECORDS / f"{cell['name']}.json"
        cells.append({**given, **json.loads(record.read_text())} if record.exists() else given)
    return cells


def capabilities(cells: list[dict[str, Any]]) -> str:
    """For programs: engine -> behaviour -> support and reason on the newest version on Redis, and
    `elsewhere` what differs from it."""
    found: dict[str, Any] = {}
    for engine in sorted({cell["engine"] for cell in cells}):
        behaviours, newest = _seen_on(cells, engine)
        found[engine] = {}
        for name in newest:
            (_, one), *others = behaviours[name]
            found[engine][name] = {"support": one["support"], "reason": one["reason"]}
            if others:
                found[engine][name]["elsewhere"] = [
                    {"where": where, "support": other["support"], "reason": other["reason"]}
                    for where, other in others
                ]
    return json.dumps(found, indent=2, sort_keys=True) + "\n"


def engines_page(cells: list[dict[str, Any]]) -> str:
    """For people: the versions, a table of behaviours by engine, then every reason."""
    engines = sorted({cell["engine"] for cell in cells})
    seen = {engine: _seen_on(cells, engine)[0] for engine in engines}
    titles = {
        name: one["title"]
        for behaviours in seen.values()
        for name, ((_, one), *_) in behaviours.items()
    }
    rows: list[str] = []
    reasons: list[str] = []
    for name, title in sorted(titles.items(), key=lambda item: item[1]):
        row = [_line(title)]
        for engine in engines:
            marks: list[str] = []
            for where, one in seen[engine].get(name, []):
                mark = _SUPPORT[one["support"]]
                if mark not in marks[:1]:
                    marks.append(f"{where}: {mark}" if where else mark)
                if one["reason"]:
                    place = f"{engine} ({where})" if where else engine
                    reasons.append(f"- {place}, {title[0].lower()}{title[1:]}: {one['reason']}")
            row.append("; ".join(marks) or "not tested")
        rows.append(_row(row))
    heads = [f"[{engine}](engines/{engine}.md) {_range(cells, engine)}" for engine in engines]
    return "\n".join([
        "# Engines",
        "",
        "Written by `make docs` from what passed in `make test-engines`: real workers, a real",
        "Redis, a real RabbitMQ, one list of behaviours for all. Do not edit.",
        "",
        "Where engines mislead a monitor, and the test of each: [pitfalls](engines/pitfalls.md).",
        "",
        "## Versions",
        "",
        *_versions(cells),
        "",
        "## Behaviours",
        "",
        "As on the newest version on Redis; where an older one, RabbitMQ or greenlets differ, it",
        "says so.",
        "",
        _row(["behaviour", *heads]),
        _row(["---"] * (len(engines) + 1)),
        *rows,
        "",
        *reasons,
        "",
    ])  # fmt: skip


def _versions(cells: list[dict[str, Any]]) -> list[str]:
    """A row for each cell: what was run, and how it ended."""
    rows = [_row(["engine", "version", "broker", "Python", "behaviours"]), _row(["---"] * 5)]
    for cell in sorted(cells, key=lambda cell: cell["engine"]):
        result = "not run"
        version = cell["packages"][0].partition("==")[2]
        version += f", {cell['pool']}" if cell["pool"] else ""
        if cell["behaviours"] is not None:
            all_of = [one["support"] for one in cell["behaviours"].values()]
            cannot, failed = all_of.count("impossible"), len(cell["failed"])
            result = f"{len(all_of) - cannot} hold, {cannot} cannot"
            result += f", {failed} failed" if failed else ""
        rows.append(
            _row([cell["engine"], version, _BROKERS[cell["broker"]], cell["python"], result])
        )
    return rows


def _range(cells: list[dict[str, Any]], engine: str) -> str:
    """From the oldest version that was run to the newest: `5.2.7 to 5.7.0`."""
    ran = [cell["version"] for cell in _ran(cells, engine) if _is_usual(cell)]
    return f"{ran[0]} to {ran[-1]}"


def _ran(cells: list[dict[str, Any]], engine: str) -> list[dict[str, Any]]:
    return [cell for cell in cells if cell["engine"] == engine and cell["behaviours"] is not None]


def _is_usual(cell: dict[str, Any]) -> bool:
    """What the table shows first: on Redis, with the workers that an engine has by default."""
    return cell["broker"] == "redis" and not cell["pool"]


def _seen_on(
    cells: list[dict[str, Any]], engine: str
) -> tuple[dict[str, list[tuple[str, dict[str, str]]]], list[str]]:
    """Behaviour -> how it is on the newest version on Redis, under an empty name, then every other
    way it was seen, under the name of the place. Second: the behaviours, by name."""
    ran = _ran(cells, engine)
    base: dict[str, dict[str, str]] = {}
    for cell in ran:
        base |= cell["behaviours"] if _is_usual(cell) else {}
    found: dict[str, list[tuple[str, dict[str, str]]]] = {}
    for name, one in sorted(base.items()):
        found[name] = [("", one)]
        differ: dict[tuple[str, str], list[dict[str, Any]]] = {}
        for cell in ran:
            other = cell["behaviours"].get(name)
            if other and (other["support"], other["reason"]) != (one["support"], one["reason"]):
                differ.setdefault((other["support"], other["reason"]), []).append(cell)
        for (support, reason), where in differ.items():
            other = {**one, "support": support, "reason": reason}
            found[name].append((_place(where, ran), other))
    return found, sorted(found)


def _place(where: list[dict[str, Any]], ran: list[dict[str, Any]]) -> str:
    """`RabbitMQ`, or `gevent`, when that is all of it; else the versions."""
    broker, pool = where[0]["broker"], where[0]["pool"]
    if not _is_usual(where[0]) and where == [
        cell for cell in ran if (cell["broker"], cell["pool"]) == (broker, pool)
    ]:
        return pool or _BROKERS[broker]
    return ", ".join(map(_version_of, where))


def _version_of(cell: dict[str, Any]) -> str:
    """`5.7.0`, `5.7.0 on RabbitMQ`, `5.7.0 with gevent`."""
    version = str(cell["version"])
    version += f" on {_BROKERS[cell['broker']]}" if cell["broker"] != "redis" else ""
    return version + (f" with {cell['pool']}" if cell["pool"] else "")


def _row(columns: list[str]) -> str:
    return f"| {' | '.join(columns)} |"


_SUPPORT = {"native": "yes", "emulated": "emulated", "impossible": "no"}
_BROKERS = {"redis": "Redis", "rabbitmq": "RabbitMQ"}


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
