# SPDX-License-Identifier: AGPL-3.0-only
"""How long `queuedeck serve` takes to its first answer, and how much memory it holds idle.

Prints one line of JSON: `first_200_s` (empty data folder, migrations included), `second_200_s`
(the same folder again) and `idle_pss_mb` (sum over all processes of the server).
"""

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

import psutil

IDLE_S = 3.0
LIMIT_S = 30.0
POLL_S = 0.005


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="each on a new folder; medians count")
    rounds = [_round() for _ in range(parser.parse_args().rounds)]
    medians = {name: round(statistics.median(one[name] for one in rounds), 3) for name in rounds[0]}
    print(json.dumps(medians))


def _round() -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "data"
        first, _ = _start(data)
        second, memory = _start(data)
    return {"first_200_s": first, "second_200_s": second, "idle_pss_mb": memory}


def _start(data: Path) -> tuple[float, float]:
    """Seconds until the first 200 of /readyz, then megabytes when idle."""
    environment = {**os.environ, "QUEUEDECK_DATA": str(data), "QUEUEDECK_DSN": ""}
    began = time.perf_counter()
    server = subprocess.Popen(
        [sys.executable, "-m", "queuedeck", "serve", "--port", "0"],
        env=environment,
        stdout=subprocess.DEVNULL,
    )
    try:
        url = _first_answer(server, data / "server.json", began + LIMIT_S)
        seconds = time.perf_counter() - began
        time.sleep(IDLE_S)
        _ask(url)
        return seconds, _memory_mb(server.pid)
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(10)


def _first_answer(server: "subprocess.Popen[bytes]", address: Path, until: float) -> str:
    while time.perf_counter() < until and server.poll() is None:
        try:
            url = str(json.loads(address.read_text())["url"])
            if _ask(url):
                return url
        except (OSError, ValueError):
            pass
        time.sleep(POLL_S)
    raise SystemExit("The server did not answer; see its log above.")


def _ask(url: str) -> bool:
    try:
        with urllib.request.urlopen(url + "/readyz", timeout=5) as answer:
            return answer.status == 200
    except urllib.error.URLError:
        return False


def _memory_mb(pid: int) -> float:
    server = psutil.Process(pid)
    processes = [server, *server.children(recursive=True)]
    return sum(process.memory_full_info().pss for process in processes) / 1_000_000


if __name__ == "__main__":
    main()
