# SPDX-License-Identifier: AGPL-3.0-only
"""A real `queuedeck serve` in a process of its own, on a free port, in a folder of the test's."""

import json
import os
import signal
import subprocess
import sys
import time

import httpx

START_S = 30


class ServerProcess:
    """Start, stop, kill and start again on the same folder."""

    def __init__(self, data, **environment):
        self.data = data
        self.environment = {
            **os.environ,
            "QUEUEDECK_DATA": str(data),
            "QUEUEDECK_DSN": "",
            "QUEUEDECK_DATABASE_URL": "",
            **environment,
        }
        self.process = None
        self.url = ""

    def spawn(self, *options):
        self.process = subprocess.Popen(
            [sys.executable, "-m", "queuedeck", "serve", "--port", "0", *options],
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        return self

    def start(self, *options):
        """Spawn, and wait until it is ready."""
        self.spawn(*options)
        until = time.monotonic() + START_S
        while time.monotonic() < until:
            assert self.process.poll() is None, self.process.communicate()
            if self._is_ready():
                return self
            time.sleep(0.02)
        raise AssertionError("the server did not become ready")

    def cli(self, *arguments):
        """The command line on the same folder; its JSON answer."""
        done = subprocess.run(
            [sys.executable, "-m", "queuedeck", *arguments, "--json"],
            env=self.environment,
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )
        return json.loads(done.stdout.strip().splitlines()[-1])

    def stop(self, seconds=10):
        """SIGTERM; the exit code, how long it took, and what it printed."""
        began = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        out, err = self.process.communicate(timeout=seconds)
        return self.process.returncode, time.monotonic() - began, out + err

    def kill(self):
        self.process.kill()
        self.process.communicate(timeout=10)

    def _is_ready(self):
        try:
            address = json.loads((self.data / "server.json").read_text())
            if address["pid"] != self.process.pid:
                return False
            self.url = address["url"]
            return httpx.get(self.url + "/readyz", timeout=5).status_code == 200
        except (OSError, ValueError, httpx.TransportError):
            return False
