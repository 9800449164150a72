# SPDX-License-Identifier: AGPL-3.0-only
"""How Python prints the frames of a traceback, and which of them belong to a library. Pure."""

import re

FRAME = re.compile(
    r'^[ \t]*File "(?P<file>[^"\n]*)", line (?P<line>\d+)(?:, in (?P<name>.*))?$', re.M
)
CHAINED = re.compile(
    r"^(?:During handling of the above|The above exception was the direct cause)", re.M
)
"""Begins the line between two tracebacks of one chain; the newer stands below."""
PYTHON = "Python"
_PACKAGE = re.compile(r"[/\\](?:site|dist)-packages[/\\]([^/\\.]+)")
_STANDARD = re.compile(r"[/\\]lib[/\\]python3[^/\\]*[/\\]")


def library_of(file: str) -> tuple[str, str]:
    """(package, path inside of the packages); the package is empty for the application's own."""
    installed = _PACKAGE.search(file)
    if installed:
        return installed[1], file[installed.start(1) :]
    if file.startswith("<") or _STANDARD.search(file):
        return PYTHON, file
    return "", file
