"""Where in the picture a tile lies, for samplers and upscalers that draw a picture tile by tile.

They cut a tile out of every control's hint, too. So the control that brings the isolation has a picture of coordinates
for a hint: whatever part of it comes back, and however it was resized, says which part of the picture is drawn.
"""

from __future__ import annotations

import torch
from torch import Tensor

from .plan import WHOLE, Rectangle

HINT = 256  # pixels a side of the picture of coordinates that upscalers cut up


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
