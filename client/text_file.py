"""Reading a prompt from a file or from standard input."""

from __future__ import annotations

import sys
from pathlib import Path

from .problem import Problem


def read_text(source: Path | str) -> str:
    """UTF-8 text; "-" is standard input. Raises Problem."""
    try:
        data = sys.stdin.buffer.read() if source == "-" else Path(source).read_bytes()
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise Problem(f"{source} is not UTF-8 text: save it as UTF-8.") from None
    except OSError as error:
        raise Problem(f"{source} cannot be read: {error.strerror or error}.") from error
