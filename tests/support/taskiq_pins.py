# SPDX-License-Identifier: AGPL-3.0-only
"""The environment that holds all six engines has a taskiq-redis older than its taskiq.

taskiq 0.13 has dropped two functions that taskiq-redis 1.0 imports (for schedules, which the tests
do not use); newer ones need a redis-py that arq does not accept.
"""

from taskiq import compat

if not hasattr(compat, "model_dump"):
    compat.model_dump = lambda model: model.model_dump(mode="json")
    compat.model_validate = lambda kind, value: kind.model_validate(value)
