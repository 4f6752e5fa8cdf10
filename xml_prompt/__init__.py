"""The prompt language: text -> Scene -> layout -> the segments that the encoders read. Pure Python and lxml.

    parse(text)            Scene, with warnings; PromptError for text that can't be read
    convert(text)          the same for plain words, with the characters that they describe
    layout(scene, aspect)  every character's Box on a 0..1000 grid
    render_xml / _json / _tags(scene, boxes), render_negatives(scene, boxes, text)
                           segments, each owned by one character or shared, in the order the models were trained on
    regions(scene, boxes)  which rectangles belong to whom
    swapped(scene)         the same scene with everybody looking as the next one should
    to_xml(scene)          the canonical document; parse reads it back as the same scene
    report(scene, boxes)   all of it as plain lists and dicts

On the way into a Scene: source (places, bounds), document (system prompt, fence, braces, JSON), markup (tags, and lxml
behind them), names and tags and positions (the words), parse (all of these together);
plain and plain_words (plain words to characters).
"""

from __future__ import annotations

from .layout import layout
from .parse import parse
from .plain import convert
from .regions import regions
from .render import SHARED, Segment, render_json, render_negatives, render_tags, render_xml, text_of
from .report import report
from .scene import GRID, Box, Character, Field, Interaction, PromptError, Scene, Tag, Warning
from .swap import swapped
from .write import to_xml

__all__ = [
    "GRID",
    "SHARED",
    "Box",
    "Character",
    "Field",
    "Interaction",
    "PromptError",
    "Scene",
    "Segment",
    "Tag",
    "Warning",
    "convert",
    "layout",
    "parse",
    "regions",
    "render_json",
    "render_negatives",
    "render_tags",
    "render_xml",
    "report",
    "swapped",
    "text_of",
    "to_xml",
]
