# SPDX-License-Identifier: AGPL-3.0-only
"""A consumer with greenlets, as an application starts it: everything is patched before Huey."""

from gevent import monkey

monkey.patch_all()

from huey.bin.huey_consumer import consumer_main  # noqa: E402

consumer_main()
