"""Where training pictures and prompts come from: what is drawn, how much people have in common, how much is said.

PLAIN is what the shipped weights learned from. WIDE has all that drawing/ can draw: people of every shape from squat to
tall, seen from behind and sitting, up to eight of them, holding hands and hugging, more backgrounds, and renderings.
LEAKY is as real pictures and their tags are, so that what a neighbour looks like is good evidence of what somebody
unmentioned looks like: a model trained on it confuses people, as big models trained on whole prompts do, and what helps
against that can be measured.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ..drawing.attributes import BACKGROUND, FACING, POSE, RENDERING, VALUES


@dataclass(frozen=True)
class World:
    """Chances and shares; mappings from what is drawn to its weight."""

    poses: Mapping[str, float] = field(  # of those who are alone
        default_factory=lambda: {"standing": 0.4, "arms_up": 0.3, "waving": 0.3})
    together: Mapping[str, float] = field(default_factory=lambda: {"handshake": 1.0})  # poses of two
    together_share: float = 0.2  # of pictures with at least two people
    behind: float = 0.0  # chance that somebody who is alone is seen from behind
    squat: float = 1.0  # share of pictures in which everyone is; in others all are of some shape between squat and tall
    narrowest: float = 77.0  # of a figure, in pixels of a picture of 320; of four or fewer
    most_people: int = 4  # more than four stand in two rows
    two_rows: float = 0.0  # share of pictures of three or four in which they do, too
    laid_out: float = 0.0  # share of pictures whose people stand where the pack's layout puts them
    backgrounds: tuple[str, ...] = BACKGROUND[:8]
    renderings: Mapping[str, float] = field(default_factory=lambda: {RENDERING[0]: 1.0})
    people: Mapping[int, float] = field(default_factory=lambda: {1: 0.4, 2: 0.6, 3: 0.55, 4: 0.45})  # within a group
    alike: Mapping[str, float] = field(default_factory=dict)  # attribute -> chance that a picture's people share it
    left_out: Mapping[float, float] = field(  # chance that a word is left out -> share of prompts
        default_factory=lambda: {0.0: 0.45, 0.12: 0.33, 0.4: 0.15, 0.95: 0.07})
    forms: Mapping[str, float] = field(  # prompts.segments' forms -> share of the prompts that may have any
        default_factory=lambda: {"boxes": 0.25, "xml": 0.5, "json": 0.15, "tags": 0.1})
    placed: float = 0.6  # chance that words say where somebody stands
    wordy: float = 0.0  # share of prompts with system prompt, all meaningless tags, and a caption of nobody's own tags
    apart: float = 0.9  # share read isolated of the prompts whose boxes are stated for it; 0: whole prompts alone
    picture_cut: bool = False  # whether, of those, people are kept apart in the picture too, by any share
    pooled_apart: float = 0.0  # share of the whole prompts whose pooled vector says nothing of the people
    first_group_alone: float = 0.0  # share of the training, from its start, that sees the first group's pictures alone
    isolation: str = "strict"  # what the weights' metadata say of it
    training: str = "whole prompts jointly, and isolated with boxes stated"

    @property
    def values(self) -> dict[str, tuple[str, ...]]:
        """Every attribute's values that are drawn, in the order of attributes.VALUES."""
        poses = tuple(pose for pose in POSE if pose in self.poses or pose in self.together)
        return VALUES | {"pose": poses, "facing": FACING if self.behind else FACING[:3]}


PLAIN = World()
WIDE = World(
    poses={"standing": 0.3, "arms_up": 0.25, "waving": 0.25, "sitting": 0.2},
    together={"handshake": 0.4, "holding_hands": 0.3, "hug": 0.3},
    together_share=0.3,
    behind=0.12,
    squat=0.35,
    narrowest=58.0,
    picture_cut=True,
    most_people=8,
    two_rows=0.15,
    laid_out=0.25,
    backgrounds=BACKGROUND,
    renderings={"cel_shading": 0.76, "flat_color": 0.12, "thick_outlines": 0.12},
    people={1: 0.4, 2: 0.6, 3: 0.55, 4: 0.45, 5: 0.3, 6: 0.3, 7: 0.2, 8: 0.2},
    training="whole prompts jointly, and isolated with boxes stated and people apart in the picture",
)
LEAKY = World(
    people={1: 1.0, 2: 1.0, 3: 0.4, 4: 0.6},
    alike={"gender": 0.5, "cloth": 0.65, "kind": 0.65, "hair": 0.55, "eyes": 0.55, "style": 0.4, "accessory": 0.5,
           "expression": 0.5, "pose": 0.4, "facing": 0.5},
    left_out={0.0: 0.2, 0.12: 0.2, 0.4: 0.45, 0.95: 0.15},
    forms={"xml": 0.68, "json": 0.2, "tags": 0.12},  # boxes in the template alone, as the released weights know them
    placed=0.5,
    wordy=0.35,
    apart=0.0,
    # A pooled vector that learns with the model is a list of all that is in the picture, and far easier to read than
    # the tokens: with it in every prompt, 7,000 steps learned nothing from the tokens at all (23 % of the attributes
    # right from them alone, 42 % from the vector alone). Jina's frozen one says less.
    pooled_apart=0.8,
    first_group_alone=0.3,  # one person: where a model learns what words mean, before it has to tell whose they are
    isolation="gentle",
    training="whole prompts jointly, on people who look alike and prompts that leave much out",
)
