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
    vocabulary()           the names that the reader knows

Errors and warnings carry a Message: text(language) tells it in English or Chinese.

Other rooms import from here alone. Inside: reading/ (text -> Scene), layout/ (Scene -> boxes, regions), and for both
of them scene (the data), words and tags (the language); render and report are ways out.
"""

from __future__ import annotations

from .layout import layout, regions
from .messages import Message, at_line, language_of, system_language
from .reading import convert, with_system, without_system
from .reading import parse as parse
from .render import (
    BOX_STEP,
    SHARED,
    Segment,
    TagRun,
    WeightedSpan,
    negative_tag_runs,
    render_json,
    render_negatives,
    render_tags,
    render_xml,
    swapped,
    tag_runs,
    tag_text,
    text_of,
    to_xml,
)
from .report import report, vocabulary
from .scene import GRID, Box, Character, Field, Interaction, Lora, PromptError, PromptWarning, Scene, Tag
from .words import ROOTS, UNSTATED, gender_of, gender_spans

__all__ = [
    "BOX_STEP",
    "GRID",
    "ROOTS",
    "SHARED",
    "UNSTATED",
    "Box",
    "Character",
    "Field",
    "Interaction",
    "Lora",
    "Message",
    "PromptError",
    "PromptWarning",
    "Scene",
    "Segment",
    "Tag",
    "TagRun",
    "WeightedSpan",
    "at_line",
    "convert",
    "gender_of",
    "gender_spans",
    "language_of",
    "layout",
    "negative_tag_runs",
    "parse",
    "regions",
    "render_json",
    "render_negatives",
    "render_tags",
    "render_xml",
    "report",
    "swapped",
    "system_language",
    "tag_runs",
    "tag_text",
    "text_of",
    "to_xml",
    "vocabulary",
    "with_system",
    "without_system",
]
