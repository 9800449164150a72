# SPDX-License-Identifier: AGPL-3.0-only
"""How Postgres carried out what it was asked: the plans that were really used, with the rows and
pages that they touched, as its own module `auto_explain` tells them.
"""

import json
from dataclasses import dataclass, field

TELL = """
LOAD 'auto_explain';
SET auto_explain.log_min_duration = 0;
SET auto_explain.log_analyze = on;
SET auto_explain.log_buffers = on;
SET auto_explain.log_timing = off;
SET auto_explain.log_format = json;
SET auto_explain.log_level = notice;
SET client_min_messages = notice
"""


@dataclass
class Cost:
    """Of some statements together."""

    statements: int = 0
    rows: int = 0
    """That were read of tables and indexes, whether they were wanted or not."""
    pages: int = 0
    scanned: set[str] = field(default_factory=set)
    """Tables that were read from end to end."""
    plans: list[str] = field(default_factory=list)


class Watched:
    """A connection of the history that tells what its statements cost."""

    def __init__(self, db):
        self.db = db
        db.script(TELL)
        db._connection.add_log_listener(self._heard)
        self._plans = []

    def _heard(self, _connection, message):
        _, begin, plan = message.message.partition("plan:\n")
        if begin:
            self._plans.append(json.loads(plan))

    def cost_of(self, act):
        """What `act` asks for with the connection, and its answer."""
        self._settle()
        self._plans.clear()
        answer = act(self.db)
        self._settle()
        cost = Cost()
        for plan in self._plans:
            if "pg_sleep" not in plan["Query Text"]:
                _add(cost, plan)
        return cost, answer

    def analyze(self):
        self.db.script("ANALYZE")

    def _settle(self):
        """What was said is heard when the connection's loop runs the next time."""
        for _ in range(2):
            self.db.script("SELECT pg_sleep(0)")

    def close(self):
        self.db.close()


def _add(cost, plan):
    cost.statements += 1
    top = plan["Plan"]
    cost.pages += top["Shared Hit Blocks"] + top["Shared Read Blocks"]
    cost.plans.append(plan["Query Text"])
    _walk(cost, top, 0)


def _walk(cost, node, depth):
    kind = node["Node Type"]
    loops = node["Actual Loops"]
    met = node["Actual Rows"] + sum(
        node.get(f"Rows Removed by {why}", 0) for why in ("Filter", "Index Recheck", "Join Filter")
    )
    if "Relation Name" in node:
        cost.rows += met * loops
        if kind == "Seq Scan" and loops:
            cost.scanned.add(node["Relation Name"])
    where = node.get("Index Name") or node.get("Relation Name") or ""
    why = node.get("Index Cond", "")
    cost.plans.append(f"{'  ' * depth}{kind} {where} {why} rows {met} x {loops}")
    for one in node.get("Plans", ()):
        _walk(cost, one, depth + 1)
