"""Text -> Scene.

parse goes the whole way: prompt_text (places, bounds), document (system prompt, fence, braces, JSON), markup (tags, and
lxml behind them), elements or template (what they say), draft (what is known so far), interactions (who with whom).
plain reads plain words as characters: clauses cuts Chinese, plain_words knows which field a tag belongs to.
"""

from .parse import parse
from .plain import convert

__all__ = ["convert", "parse"]
