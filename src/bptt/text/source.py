"""How a `text` argument is read: as the text itself, or as the name of a file."""

from __future__ import annotations

import logging
import os
import re
from typing import Any

from bptt.text import corpus

__all__ = ["Text", "read"]

Text = str | os.PathLike[str]

logger = logging.getLogger(__name__)

LONGEST_NAME = 4096
# A line that ends as names of files end, or one word with a folder in it.
LIKE_A_NAME = re.compile(r".*\w\.[A-Za-z]\w{0,7}|\S*[/\\]\S*")


def read(text: Any, any_bytes: bool = False) -> str:
    """The text that an argument stands for; the one rule of `CharLM.fit` and `CharLM.evaluate`.

    Parameters
    ----------
    text : str or path
        A str is the text itself; a path object (`pathlib.Path`) is a file or a folder of text files. A str of one line
        that names an existing file or folder is taken for it, and a line of the log says so; one that only looks like
        the name of a file is refused, because few mean the letters of the name.
    any_bytes : bool
        As in `corpus.read`.

    Raises
    ------
    TypeError
        text is neither.
    ValueError
        text is a str that looks like the name of a file, and there is no such file.
    OSError, ValueError
        As `corpus.read` raises them.

    Examples
    --------
    >>> read("to be or not to be")
    'to be or not to be'
    """
    if isinstance(text, str):
        if not 0 < len(text) < LONGEST_NAME or not text.isprintable():
            return text
        if os.path.exists(text):
            logger.warning(
                "text %r is the name of a file: its content is used (a pathlib.Path avoids this message)", text
            )
        elif LIKE_A_NAME.fullmatch(text):
            raise ValueError(
                f"text {text!r} looks like the name of a file, but no such file exists; to pass it as a text, "
                "end it with a line feed"
            )
        else:
            return text
    elif not isinstance(text, os.PathLike):
        raise TypeError(f"text must be a str (the text itself) or a pathlib.Path (a file); got {type(text).__name__}")
    return corpus.read(text, any_bytes=any_bytes)
