"""What keeps one prompt's characters apart: plain data, made once by encode and read by every forward of the model.

strict   for models trained with isolated characters (the built-in mini)
gentle   for models trained on whole prompts (docs/gentle.md)
off      ComfyUI's own way
auto     what the checkpoint says: the loader notes it on the text encoders' module, which CLIP.clone() and LoRA nodes
         share, so the word survives every node between loader and encoder

At the end stand the rules as boolean matrices, for hard boxes and full strength: what training uses, and what the tests
hold the bias (bias.py) against. Pure torch, no host.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from ..sampling.steps import check_interval
from ..xml_prompt import GRID, SHARED, Box

if TYPE_CHECKING:  # the lab reads plans without a host
    from comfy.sd import CLIP

# The modes, and what a user may change about them

AUTO, STRICT, GENTLE, OFF = "auto", "strict", "gentle", "off"
MODES = (AUTO, STRICT, GENTLE, OFF)
BY_MODE, CLOSED, OPEN = "as the mode", "closed", "open"
LEAKS = (BY_MODE, CLOSED, OPEN)

_ATTRIBUTE = "newbie_isolation"  # on clip.cond_stage_model


@dataclass(frozen=True)
class Options:
    """What a user may change about a mode; the values here are neutral."""

    strength: float = 1.0  # 1 cuts what isolation forbids; less lets 1 - strength of it through; 0 is none
    start: float = 0.0  # fraction of the steps before which there is no isolation; weights and genders hold always
    end: float = 1.0  # and after which there is none
    soft_edge: float = 0.0  # of the picture's shorter side: how far a box's edge reaches out
    gender_strength: float = 0.0  # 1 hides tokens of another gender from a character's region; 0 is none
    apart: float = 0.0  # 1 keeps the places of two characters alone from reading each other; 0 is none
    swapped: float = 0.0  # share of the negative that is the same prompt with the characters exchanged
    # The ways from one character to another, each one of LEAKS. closed:
    encoder: str = BY_MODE  # every character is encoded alone
    joint_layers: str = BY_MODE  # a character's text and its place in the picture see no other's
    context_refiner: str = BY_MODE  # the model's layers over the text alone are isolated
    pooled: str = BY_MODE  # the pooled vector is of the shared text alone


NEUTRAL = Options()
WAYS = {
    STRICT: {"encoder": CLOSED, "joint_layers": CLOSED, "context_refiner": CLOSED, "pooled": OPEN},
    GENTLE: {"encoder": OPEN, "joint_layers": CLOSED, "context_refiner": OPEN, "pooled": OPEN},
}


def settled(options: Options, mode: str) -> Options:
    """The options with every way closed or open. mode: strict or gentle. Raises ValueError if no step is isolated."""
    check_interval(options.start, options.end, ("start", "end"))
    return replace(options, **{way: to for way, to in WAYS[mode].items() if getattr(options, way) == BY_MODE})


def check_for_clip_text(options: Options) -> None:
    """Raises ValueError for what can't be changed with the encoders of SD1.5, SD2 and SDXL."""
    changed = [name for name in ("encoder", "context_refiner", "pooled") if getattr(options, name) != BY_MODE]
    if changed:
        raise ValueError(
            f"SD1.5, SD2 and SDXL always read each character's tags alone, so {' and '.join(changed)} can't be "
            f'changed: choose "{BY_MODE}" in NewBie Isolation Options.'
        )
    if options.apart > 0:
        raise ValueError("apart works only with NewBie and Lumina 2: set it to 0 in NewBie Isolation Options.")


def declare(clip: CLIP, mode: str) -> None:
    """Note on the text encoders what "auto" means for them; anything but "strict" means gentle."""
    setattr(clip.cond_stage_model, _ATTRIBUTE, mode)


def resolve(clip: CLIP, mode: str) -> str:
    """The mode to use: what the user chose, or for "auto" what the checkpoint was trained for."""
    if mode not in MODES:
        raise ValueError(f"Unknown isolation mode {mode!r}: choose one of {', '.join(MODES)}.")
    if mode != AUTO:
        return mode
    return STRICT if getattr(clip.cond_stage_model, _ATTRIBUTE, GENTLE) == STRICT else GENTLE


# What is known of the prompt's tokens, and where everybody is

Rectangle = tuple[float, float, float, float]  # left, top, right, bottom as fractions of the picture
Region = tuple[Rectangle | Tensor, ...]  # all of its parts; a tensor is a mask [h, w], 0..1, of any size
WHOLE: Rectangle = (0.0, 0.0, 1.0, 1.0)
SQUARE = (1, 1)
KEY = "newbie_isolation"  # what a CONDITIONING's isolation is called among its model_conds, and its wrapper in a run
ALIKE_SHAPES = 0.02  # difference of width / height that nobody sees
PIXELS = 8  # a side of one latent cell; in NewBie, Lumina 2 and SD alike
HINT = 256  # pixels a side of the picture of coordinates that upscalers cut up
PADDING = -1  # the owner of what is no token at all


@dataclass(frozen=True)
class CaptionToken:
    """All that is known of one token of the caption."""

    owner: int = SHARED  # or r, the r-th character
    weight: float = 1.0  # above 0; how many times the picture counts it
    gender: str = ""  # girl or boy, where the token names one


@dataclass(frozen=True)
class Plan:
    """The caption's tokens and the characters' regions; independent of the picture's size.

    options: settled, and read here; "as the mode" counts as closed.
    """

    tokens: tuple[CaptionToken, ...]
    regions: tuple[Region, ...]  # one a character
    genders: tuple[str, ...] = ()  # one a character, "" where unknown; none at all where genders are not masked
    options: Options = NEUTRAL
    size: tuple[int, int] | None = None  # height and width of the latent that the regions were laid out for, if known

    @property
    def owners(self) -> tuple[int, ...]:
        return tuple(token.owner for token in self.tokens)

    @property
    def joint(self) -> bool:
        """Whether the joint layers are isolated."""
        return self.options.joint_layers != OPEN

    @property
    def refiner(self) -> bool:
        """Whether the context refiner is isolated."""
        return self.options.context_refiner != OPEN

    @property
    def divides(self) -> bool:
        """Whether owners matter at all."""
        return self.options.strength > 0 and any(token.owner for token in self.tokens)

    @property
    def weighs(self) -> bool:
        return any(token.weight != 1 for token in self.tokens)

    @property
    def masks_genders(self) -> bool:
        named = any(token.gender for token in self.tokens)
        return self.options.gender_strength > 0 and named and any(self.genders)

    @property
    def parts(self) -> bool:
        """Whether places in the picture are kept from each other."""
        return self.options.apart > 0 and len(self.regions) > 1 and self.joint

    @property
    def neutral(self) -> bool:
        """Whether the picture is the host's own under it, bit for bit."""
        isolated = self.divides and (self.joint or self.refiner)
        return not (isolated or self.weighs or self.masks_genders or self.parts)

    def released(self) -> Plan:
        """What is left of it where isolation is off: everyone reads everything; weights and genders hold."""
        return replace(self, options=replace(self.options, strength=0.0, apart=0.0, start=0.0, end=1.0))


def misfit(made_for: tuple[int, int] | None, drawn: Sequence[int]) -> str | None:
    """A sentence where the boxes were laid out for a picture of another shape than is drawn, or a larger one.

    made_for, drawn: height and width of the latents.
    """
    if made_for is None:
        return None
    (rows, columns), (height, width) = made_for, drawn
    if abs(columns * height - rows * width) <= ALIKE_SHAPES * rows * width and height >= rows and width >= columns:
        return None
    if made_for == SQUARE:
        laid_out = "a square picture (no latent was connected)"
    else:
        laid_out = f"{PIXELS * columns} x {PIXELS * rows} pixels"
    return (
        f"The characters' boxes were laid out for {laid_out}, but {PIXELS * width} x {PIXELS * height} are being "
        "drawn: connect the latent that is drawn to Encode Characters, too."
    )


# --- regions ---------------------------------------------------------------------------------------------------------


def fractions(regions: Sequence[Sequence[Box]]) -> tuple[tuple[Rectangle, ...], ...]:
    """Boxes on the 0..GRID grid -> fractions."""
    return tuple(
        tuple((b.left / GRID, b.top / GRID, b.right / GRID, b.bottom / GRID) for b in rectangles)
        for rectangles in regions
    )


def distances(rectangle: Rectangle, rows: int, columns: int) -> tuple[Tensor, Tensor]:
    """[rows], [columns]: from every row and column of cells to the rectangle's own, in cells; 0 where they overlap."""
    left, top, right, bottom = rectangle
    x, y = torch.arange(columns), torch.arange(rows)
    beside = torch.maximum(left * columns - (x + 1), x - right * columns)  # below 0 where they overlap
    above = torch.maximum(top * rows - (y + 1), y - bottom * rows)
    across = torch.where(beside < 0, 0.0, beside.clamp(min=1e-6))
    down = torch.where(above < 0, 0.0, above.clamp(min=1e-6))
    return down, across


def seen_from(place: Rectangle, part: Rectangle | Tensor) -> Rectangle | Tensor:
    """The part of a region as fractions of a place in the picture, instead of all of it."""
    if place == WHOLE:
        return part
    left, top, right, bottom = place
    if isinstance(part, Tensor):
        height, width = part.shape
        rows = slice(math.floor(top * height + 1e-6), max(1, math.ceil(bottom * height - 1e-6)))
        columns = slice(math.floor(left * width + 1e-6), max(1, math.ceil(right * width - 1e-6)))
        return part[rows, columns]
    across, down = right - left, bottom - top
    return (part[0] - left) / across, (part[1] - top) / down, (part[2] - left) / across, (part[3] - top) / down


def coverage(
    region: Region, rows: int, columns: int, soft_edge: float = 0.0, place: Rectangle = WHOLE
) -> Tensor:
    """-> [rows * columns] in 0..1: how much of every image token is the region's, the most that any part covers.

    A token that a rectangle touches is covered whole; outside, coverage falls to 0 over `soft_edge` of the picture's
    shorter side. A mask covers a token by its mean there, soft_edge or not: it has edges of its own.
    place: what of the picture the tokens are, as a tiled sampler draws it.
    """
    covered = torch.zeros(rows, columns)
    ramp = soft_edge * min(rows / (place[3] - place[1]), columns / (place[2] - place[0]))  # in cells
    for part in (seen_from(place, part) for part in region):
        if isinstance(part, Tensor):
            one = F.interpolate(part[None, None].float().cpu(), size=(rows, columns), mode="area")[0, 0].clamp(0, 1)
        else:
            down, across = distances(part, rows, columns)
            if ramp > 0:
                one = (1 - torch.hypot(down[:, None], across) / ramp).clamp(min=0)
            else:
                one = ((down == 0)[:, None] & (across == 0)).float()
        covered = torch.maximum(covered, one)
    return covered.flatten()


# --- tiles -----------------------------------------------------------------------------------------------------------
#
# Samplers and upscalers that draw a picture tile by tile cut the tile out of every control's hint, too. So the control
# that brings the isolation has a picture of coordinates for a hint: whatever part of it comes back, and however it was
# resized, says which part of the picture is drawn.


def coordinates(picture: Tensor) -> Tensor:
    """[B, 3, h, w], of which the values don't matter -> where each of its pixels is: x, y in 0..1, and nothing."""
    height, width = picture.shape[-2:]
    x = ((torch.arange(width) + 0.5) / width).expand(height, width)
    y = ((torch.arange(height) + 0.5) / height)[:, None].expand(height, width)
    return torch.stack([x, y, torch.zeros(height, width)]).expand(len(picture), -1, -1, -1).to(picture.device)


def places_in(hint: Tensor) -> list[Rectangle] | None:
    """hint: cut out of coordinates, and perhaps resized -> each one's place; None where it is not a part of it."""
    if hint.ndim != 4 or hint.shape[1] != 3 or min(hint.shape[-2:]) < 2:
        return None
    sides = []
    for values in (hint[:, 0, 0], hint[:, 1, :, 0]):  # [B, w], [B, h]
        values = values.detach().float().cpu()
        steps = values.diff(dim=1)
        uneven = (steps < 0).any(1) | (steps.amax(1) <= 0)
        if uneven.any():  # rolled around, or mirrored
            return None
        pixel = torch.stack([one[one > one.max() / 4].mean() for one in steps])  # resized, several have the same value
        sides.append((values[:, 0] - pixel / 2, values[:, -1] + pixel / 2))
    (left, right), (top, bottom) = sides
    places = torch.stack([left, top, right, bottom], 1)
    whole = ((places - torch.tensor(WHOLE)).abs() < 1e-3).all(1)
    return [WHOLE if all_of_it else tuple(place) for place, all_of_it in zip(places.tolist(), whole, strict=True)]


def on_grid(place: Rectangle, height: int, width: int) -> Rectangle:
    """The place of a tile of height x width latent cells, moved onto the cells of the whole picture's latent."""
    if place == WHOLE:
        return WHOLE
    sides = []
    for low, high, cells in ((place[0], place[2], width), (place[1], place[3], height)):
        whole = max(cells, round(cells / (high - low)))
        first = min(round(low * whole), whole - cells)
        sides.append((first / whole, (first + cells) / whole))
    (left, right), (top, bottom) = sides
    return left, top, right, bottom


# --- rules: True means "may attend" ----------------------------------------------------------------------------------


def caption_rules(owner: Tensor) -> Tensor:
    """owner [B, L] -> [B, L, L]: what a caption token (row) may read of the caption (column)."""
    q, k = owner[:, :, None], owner[:, None, :]  # [B, L, 1], [B, 1, L]
    return (k != PADDING) & ((k == SHARED) | (k == q))


def image_to_caption_rules(owner: Tensor, covers: Tensor) -> Tensor:
    """owner [B, L], covers [B, R, N] (character r covers image token n) -> [B, N, L]."""
    shared = covers.new_ones(covers.shape[0], 1, covers.shape[2])  # reaches everyone
    everyone = torch.cat([shared, covers], 1)  # [B, 1+R, N]
    index = owner.clamp(min=SHARED)[:, :, None].expand(-1, -1, covers.shape[2])  # [B, L, N]
    return (everyone.gather(1, index) & (owner != PADDING)[:, :, None]).transpose(1, 2)


def joint_rules(owner: Tensor, covers: Tensor) -> Tensor:
    """owner [B, L], covers [B, R, N] -> [B, L+N, L+N] for the joint layers, caption tokens first."""
    image_reads_caption = image_to_caption_rules(owner, covers)  # [B, N, L]
    shared_or_padding = (owner <= SHARED)[:, :, None]
    caption_reads_image = image_reads_caption.transpose(1, 2) | shared_or_padding  # [B, L, N]
    count = covers.shape[2]
    image_reads_image = owner.new_ones((owner.shape[0], count, count), dtype=torch.bool)
    return torch.cat(
        [
            torch.cat([caption_rules(owner), caption_reads_image], 2),
            torch.cat([image_reads_caption, image_reads_image], 2),
        ],
        1,
    )
