"""A figure that a notebook shows by itself; apart, so that matplotlib is imported only to draw."""

from __future__ import annotations

import io

from matplotlib.figure import Figure

__all__ = ["Picture"]


class Picture(Figure):
    """A figure of matplotlib that is a picture as the last line of a cell, with `%matplotlib inline` and without."""

    def _repr_png_(self) -> bytes:
        """What IPython asks an object for that it has no other way to show."""
        file = io.BytesIO()
        self.savefig(file, format="png", dpi=100)
        return file.getvalue()
