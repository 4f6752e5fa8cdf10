"""Text -> Scene.

parse goes the whole way: it asks of each element what it is. document knows places and bounds and takes away what is
not the prompt; markup finds the elements (lxml behind it), template makes them of JSON. fields says what an element
means and keeps what is known so far; interactions are settled there, and panels read, when everybody is known. plain
reads plain words as characters: labels cuts them, plain_words knows whose field a tag is.
"""

from .document import with_system, without_system
from .parse import parse
from .plain import convert

__all__ = ["convert", "parse", "with_system", "without_system"]
