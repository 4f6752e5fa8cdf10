"""The one error a person sees: a plain sentence that says what is wrong and what to do, and no traceback."""

from __future__ import annotations


class Problem(Exception):
    """Ends a command with its sentence."""
