"""The brush that everything is painted with, curves, and shades of colours."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

import cv2
import numpy as np

from .attributes import RGB

SUPERSAMPLE = 2
SUBPIXEL_BITS = 4
CIRCLE = np.stack([np.cos(np.linspace(0, 2 * math.pi, 37)[:-1]), np.sin(np.linspace(0, 2 * math.pi, 37)[:-1])], 1)
Point = tuple[float, float]
Points = Sequence[Point] | np.ndarray
Bend = Callable[[np.ndarray], np.ndarray]  # points [..., 2] -> points [..., 2]
INK: RGB = (20, 18, 26)


def shade(colour: RGB, keep: float) -> RGB:
    """The colour with its brightness multiplied by keep (0..1)."""
    return tuple(int(value * keep) for value in colour)


def tint(colour: RGB, white: float) -> RGB:
    """The colour mixed with a share of white (0..1)."""
    return tuple(int(value + (255 - value) * white) for value in colour)


def path(start: Point, *bends: tuple[Point, Point], steps: int = 8) -> np.ndarray:
    """Points [N, 2] along quadratic curves: each bend is (control point, end point)."""
    pieces = [np.asarray([start], float)]
    t = np.linspace(0, 1, steps + 1)[1:, None]
    here = np.asarray(start, float)
    for control, end in bends:
        bend, there = np.asarray(control, float), np.asarray(end, float)
        pieces.append((1 - t) ** 2 * here + 2 * t * (1 - t) * bend + t * t * there)
        here = there
    return np.concatenate(pieces)


def mirrored(points: Points) -> np.ndarray:
    """The points with x negated."""
    return np.asarray(points, float) * (-1, 1)


def arc(x: float, y: float, a: float, b: float, start: float, stop: float, steps: int = 20) -> np.ndarray:
    """Points [steps, 2] of an ellipse with radii a, b between two angles in radians (clockwise from the right)."""
    t = np.linspace(start, stop, steps)
    return np.stack([x + a * np.cos(t), y + b * np.sin(t)], 1)


def fixed(pixels: np.ndarray) -> np.ndarray:
    """Picture pixels as the fixed-point integers that OpenCV draws with."""
    return np.round(pixels * (SUPERSAMPLE << SUBPIXEL_BITS)).astype(np.int32)


class Brush:
    """Paints on a supersampled image [H * 2, W * 2, 3] in its own coordinates: pixel = origin + scale * bend(point).

    rendering: of attributes.RENDERING. Outlines are left out of flat_color, and heavy and black in thick_outlines.
    """

    def __init__(self, image: np.ndarray, origin: Point = (0.0, 0.0), scale: Point = (1.0, 1.0), line: float = 1.5,
                 rendering: str = "cel_shading", bend: Bend | None = None, girth: float = 1.0,
                 instead: Mapping[RGB, RGB] = MappingProxyType({})) -> None:
        """instead: what some colours are painted in."""
        self.image, self.line, self.rendering = image, line, rendering  # line: width of an outline in pixels
        self.instead = instead
        self.origin, self.scale, self.bend = np.asarray(origin, float), np.asarray(scale, float), bend
        self.unit = abs(float(self.scale[0])) * girth  # pixels per unit for widths and radii

    def framed(self, origin: Point, scale: Point, bend: Bend | None = None, girth: float = 1.0) -> Brush:
        """A brush whose coordinates lie inside this one's, which is not bent."""
        return Brush(self.image, self.pixels(origin), tuple(self.scale * scale), self.line, self.rendering, bend, girth,
                     self.instead)

    def pixels(self, points: Points | Point) -> np.ndarray:
        """Points in picture pixels."""
        points = np.asarray(points, float)
        return self.origin + (points if self.bend is None else self.bend(points)) * self.scale

    def shape(self, points: Points, fill: RGB | None, outline: RGB | None = None, line: float = 1.0) -> None:
        """A filled polygon; line: outline width as a multiple of the brush's."""
        self._polygon(self.pixels(points), fill, outline, line)

    def _polygon(self, pixels: np.ndarray, fill: RGB | None, outline: RGB | None, line: float) -> None:
        corners = fixed(pixels)
        fill, outline = self.instead.get(fill, fill), self.instead.get(outline, outline)
        if fill is not None:
            cv2.fillPoly(self.image, [corners], fill, cv2.LINE_AA, SUBPIXEL_BITS)
            outline = self.inked(outline)
        if outline is not None:
            cv2.polylines(self.image, [corners], True, outline, self.thickness(line), cv2.LINE_AA, SUBPIXEL_BITS)

    def stroke(self, points: Points, colour: RGB, line: float = 1.0) -> None:
        """An open line."""
        corners, colour = fixed(self.pixels(points)), self.instead.get(colour, colour)
        cv2.polylines(self.image, [corners], False, colour, self.thickness(line), cv2.LINE_AA, SUBPIXEL_BITS)

    def oval(self, x: float, y: float, a: float, b: float, fill: RGB | None, outline: RGB | None = None,
             line: float = 1.0, angle: float = 0.0) -> None:
        """An ellipse with radii a, b, turned by angle radians; a bent brush moves it and leaves its shape."""
        points = CIRCLE * (a, b)
        if angle:
            cos, sin = math.cos(angle), math.sin(angle)
            points = points @ np.array([[cos, sin], [-sin, cos]])
        self._polygon(self.pixels((x, y)) + points * np.sign(self.scale) * self.unit, fill, outline, line)

    def limbs(self, lines: Sequence[Points], width: float, fill: RGB, outline: RGB | None) -> None:
        """Thick lines (width in units) with one common outline."""
        corners = [fixed(self.pixels(points)) for points in lines]
        inner = max(1, round(width * self.unit * SUPERSAMPLE))
        fill, outline = self.instead.get(fill, fill), self.inked(self.instead.get(outline, outline))
        if outline is not None:
            outer = inner + 2 * self.thickness(1.0)
            cv2.polylines(self.image, corners, False, outline, outer, cv2.LINE_AA, SUBPIXEL_BITS)
        cv2.polylines(self.image, corners, False, fill, inner, cv2.LINE_AA, SUBPIXEL_BITS)

    def inked(self, outline: RGB | None) -> RGB | None:
        """The colour in which the outline of a filled shape is drawn, if it is."""
        if outline is None or self.rendering == "cel_shading":
            return outline
        return None if self.rendering == "flat_color" else INK

    def thickness(self, line: float) -> int:
        """Outline width in supersampled pixels."""
        heavy = 1.7 if self.rendering == "thick_outlines" else 1.0
        return max(1, round(self.line * line * heavy * SUPERSAMPLE))

    def gradient(self, top: RGB, bottom: RGB, start: float, stop: float) -> None:
        """Rows start..stop (picture pixels) from one colour to another."""
        first, last = int(start * SUPERSAMPLE), min(self.image.shape[0], int(stop * SUPERSAMPLE))
        if last <= first:
            return
        t = np.linspace(0, 1, last - first)[:, None]
        rows = (np.asarray(top) * (1 - t) + np.asarray(bottom) * t).astype(np.uint8)
        self.image[first:last] = rows[:, None]


def puff(brush: Brush, x: float, y: float, size: float, colour: RGB, outline: RGB | None = None) -> None:
    """A small cloud about 3 sizes wide."""
    parts = ((-0.85, 0.1, 0.55, 0.38), (0.85, 0.1, 0.55, 0.38), (-0.25, -0.15, 0.62, 0.55), (0.4, -0.05, 0.55, 0.45),
             (0.0, 0.18, 1.2, 0.32))
    if outline is not None:
        for dx, dy, a, b in parts:
            brush.oval(x + dx * size, y + dy * size, a * size, b * size, None, outline, 2.0)
    for dx, dy, a, b in parts:
        brush.oval(x + dx * size, y + dy * size, a * size, b * size, colour)
