# SPDX-License-Identifier: Apache-2.0
"""`python manage.py queuedeck_check`: what is connected to Queuedeck, or why not."""

import argparse
from typing import Any

import msgspec
from django.core.management.base import BaseCommand

from queuedeck_agent.frameworks.django import findings
from queuedeck_agent.version import VERSION


class Command(BaseCommand):
    """Prints one finding a step; exit code 0 when all is well, else 1."""

    help = "Says what of this project is connected to Queuedeck, or why not."
    requires_system_checks = ()  # what is wrong with the project is said by the findings

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """One option, for machines."""
        parser.add_argument("--json", action="store_true", help="print the findings as JSON")

    def handle(self, *_: Any, **options: Any) -> None:
        """Each finding as soon as it is made: some wait for the network."""
        found: list[findings.Finding] = []
        for finding in findings.look():
            found.append(finding)
            if not options["json"]:
                self._say(finding)
        ok = all(finding.ok for finding in found)
        if options["json"]:
            steps = [finding._asdict() for finding in found]
            answer = {"ok": ok, "version": VERSION, "steps": steps}
            self.stdout.write(msgspec.json.encode(answer).decode())
        else:
            end = "All is well." if ok else "Solve the first problem, then run it again."
            self.stdout.write(end)
        if not ok:
            raise SystemExit(1)

    def _say(self, finding: findings.Finding) -> None:
        mark = "ok     " if finding.ok else "problem"
        self.stdout.write(f"{mark}  {finding.step}: {finding.text}")
        if not finding.ok and finding.todo:
            self.stdout.write(f"         -> {finding.todo}")
        self.stdout.flush()
