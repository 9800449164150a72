# SPDX-License-Identifier: AGPL-3.0-only
from huey.contrib.djhuey import task


@task()
def send(letter, password):
    return f"sent {letter}"
