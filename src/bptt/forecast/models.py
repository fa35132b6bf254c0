"""The models by the names that files know them by."""

from __future__ import annotations

from typing import Any

MODELS: dict[str, Any] = {}
