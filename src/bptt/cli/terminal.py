"""Untrusted text on standard output: characters that a terminal cannot show or would interpret are escaped."""

from __future__ import annotations

import re
import sys

__all__ = ["Printer"]

# Control characters would move the cursor or change the terminal's settings; a line feed and a tab are meant.
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]|[\u202a-\u202e\u2066-\u2069]")


class Printer:
    """Writes parts of a text to standard output as they come.

    On a terminal, control characters are shown as escapes; elsewhere they are written as they are. Characters that the
    output's encoding lacks become "?"; `close` says how many.
    """

    def __init__(self) -> None:
        self.encoding = sys.stdout.encoding or "utf-8"
        self.escape = sys.stdout.isatty()
        self.replaced = 0

    def write(self, text: str) -> None:
        """Write immediately."""
        if self.escape:
            text = CONTROL.sub(lambda match: ascii(match[0])[1:-1], text)
        try:
            text.encode(self.encoding)
        except UnicodeEncodeError:
            shown = text.encode(self.encoding, "replace").decode(self.encoding)
            self.replaced += sum(one != other for one, other in zip(text, shown, strict=False))
            text = shown
        sys.stdout.write(text)
        sys.stdout.flush()

    def close(self) -> None:
        """End the line; a word on standard error where something was replaced."""
        self.write("\n")
        if self.replaced:
            print(
                f"bptt: {self.replaced} characters that {self.encoding} lacks were written as '?'; "
                "PYTHONIOENCODING=utf-8 writes them",
                file=sys.stderr,
            )
