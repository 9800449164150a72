# SPDX-License-Identifier: AGPL-3.0-only
"""Litestar's request and connection as all handlers see them: without types for user and state."""

from typing import Any

from litestar import Request
from litestar.connection import ASGIConnection

AnyRequest = Request[Any, Any, Any]
Connection = ASGIConnection[Any, Any, Any, Any]
"""A request, or a WebSocket."""
