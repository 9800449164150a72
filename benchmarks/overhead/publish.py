# SPDX-License-Identifier: AGPL-3.0-only
"""`python -m benchmarks.overhead.publish MODULE COUNT`: the application of an engine sends."""

import importlib
import sys

if __name__ == "__main__":
    importlib.import_module(sys.argv[1]).publish(int(sys.argv[2]))
