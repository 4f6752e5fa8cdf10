"""The scene a prompt describes: frozen data, no behaviour beyond simple questions. Everything else passes it on."""

from __future__ import annotations

from dataclasses import dataclass

from .messages import Message, at_line

GRID = 1000  # boxes are on a 0..1000 grid, whatever the picture's size: the template's own convention


class PromptError(ValueError):
    """A prompt that can't be read. str() is one English sentence or two: where, what is wrong, what to do.

    line and column are 1-based positions in the text as it was given (0 where there is no place to point at);
    source is that line of the text.
    """

    def __init__(self, message: Message, line: int = 0, column: int = 0, source: str = "") -> None:
        self.message, self.line, self.column, self.source = message, line, column, source
        super().__init__(str(at_line(message, line, column)))

    def text(self, language: str) -> str:
        """str() in another of the messages' languages."""
        return at_line(self.message, self.line, self.column).text(language)


@dataclass(frozen=True)
class PromptWarning:
    """Something the reader repaired, guessed or did not know: reported, never raised. Places as in PromptError."""

    line: int
    column: int
    message: Message

    def text(self, language: str = "en") -> str:
        return at_line(self.message, self.line, self.column).text(language)


@dataclass(frozen=True)
class Tag:
    """One tag as typed, without its weight syntax; weight 1.0 is neutral."""

    text: str
    weight: float = 1.0


@dataclass(frozen=True)
class Field:
    """A named list of tags, e.g. appearance: aqua hair, twintails."""

    name: str
    tags: tuple[Tag, ...]


@dataclass(frozen=True)
class Lora:
    """A LoRA that the prompt asks for: its file's name as typed, perhaps without ending, and its strength.

    text: that for the text encoders, where it is another.
    """

    name: str
    strength: float = 1.0
    text: float | None = None

    @property
    def text_strength(self) -> float:
        return self.strength if self.text is None else self.text


@dataclass(frozen=True)
class Box:
    """A rectangle on the 0..GRID grid; x to the right, y down."""

    left: float
    top: float
    right: float
    bottom: float

    @property
    def width(self) -> float:
        return self.right - self.left

    @property
    def height(self) -> float:
        return self.bottom - self.top


@dataclass(frozen=True)
class Character:
    """One <character_N> block. `fields` keeps the prompt order; `box` is the stated bbox, None: layout decides.

    more_boxes: where else in the picture it is, as in a mirror. They count for whose region is whose alone.
    """

    id: str
    name: str = ""
    fields: tuple[Field, ...] = ()
    gender: str | None = None  # "girl", "boy", "other" or None (unknown)
    box: Box | None = None
    negative: tuple[Tag, ...] = ()
    more_boxes: tuple[Box, ...] = ()
    loras: tuple[Lora, ...] = ()  # of this character alone

    def tags(self, field: str) -> tuple[Tag, ...]:
        return next((f.tags for f in self.fields if f.name == field), ())


@dataclass(frozen=True)
class Interaction:
    """What several characters do together; `between` holds character ids."""

    kind: str
    between: tuple[str, ...]


@dataclass(frozen=True)
class Scene:
    """Everything a prompt says."""

    characters: tuple[Character, ...] = ()
    general: tuple[Field, ...] = ()
    caption: str = ""
    system: str = ""
    interactions: tuple[Interaction, ...] = ()
    spacing: str = ""  # as typed: "2", "30%", "1.5m"
    warnings: tuple[PromptWarning, ...] = ()
    loras: tuple[Lora, ...] = ()  # of the whole picture

    def tags(self, field: str) -> tuple[Tag, ...]:
        return next((f.tags for f in self.general if f.name == field), ())
