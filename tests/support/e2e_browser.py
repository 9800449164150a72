# SPDX-License-Identifier: AGPL-3.0-only
"""A headless Chromium that writes down every complaint: console errors, violations of the content
security policy, exceptions, and answers of the server that are errors.
"""

import contextlib
import os
import shutil
from pathlib import Path

from playwright.sync_api import sync_playwright

PROGRAMS = ("/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome")

LISTEN = """
addEventListener('securitypolicyviolation', (event) => {
  console.error('CSP: ' + event.violatedDirective + ' ' + event.blockedURI)
})
"""


@contextlib.contextmanager
def chromium():
    """A browser; fails with the package's name when there is none."""
    named = os.environ.get("QUEUEDECK_TEST_BROWSER") or next(
        (p for p in PROGRAMS if Path(p).exists()), shutil.which("chromium")
    )
    assert named, "There is no browser here: install the Debian package chromium."
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=named, args=["--no-sandbox"])
        try:
            yield browser
        finally:
            browser.close()


@contextlib.contextmanager
def session(browser, base_url, **options):
    """(context, complaints): a browser profile of its own, and what went wrong in it so far."""
    complaints = []
    context = browser.new_context(base_url=base_url, **options)
    context.set_default_timeout(15_000)
    context.add_init_script(LISTEN)
    context.on("page", lambda page: _watch(page, complaints))
    try:
        yield context, complaints
    finally:
        context.close()


def _watch(page, complaints):
    def on_console(message):
        if message.type == "error":
            complaints.append(f"console: {message.text} at {message.location.get('url')}")

    def on_response(response):
        if response.status >= 400:
            complaints.append(f"{response.status} for {response.request.method} {response.url}")

    page.on("console", on_console)
    page.on("pageerror", lambda error: complaints.append(f"exception: {error}"))
    page.on("response", on_response)
