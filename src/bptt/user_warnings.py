"""Warnings that point at the user's line, however deep in the package they are raised."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path

__all__ = ["warn"]

PACKAGE = str(Path(__file__).parent)


def warn(message: str, category: type[Warning] = UserWarning) -> None:
    """Warn of the line that called into the package.

    Python's own `skip_file_prefixes` does the same from 3.12 on.

    Parameters
    ----------
    message : str
    category : type of warning

    Examples
    --------
    >>> import pytest
    >>> with pytest.warns(UserWarning, match="too short"):
    ...     warn("too short")
    """
    level, frame = 2, sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_filename.startswith(PACKAGE):
        level, frame = level + 1, frame.f_back
    warnings.warn(message, category, stacklevel=level)
