"""The backgrounds."""

from __future__ import annotations

import random

import numpy as np

from .attributes import RGB
from .brush import SUPERSAMPLE, Brush, puff


class Scenery:
    """One picture's background: brush, size in pixels, horizon (y), unit (1 at 320 pixels) and its own randomness."""

    def __init__(self, image: np.ndarray, horizon: float, rng: random.Random) -> None:
        self.height, self.width = image.shape[0] / SUPERSAMPLE, image.shape[1] / SUPERSAMPLE
        self.unit = min(self.width, self.height) / 320
        self.brush, self.horizon, self.rng = Brush(image, line=1.6 * self.unit), horizon, rng

    def sky(self, top: RGB, bottom: RGB) -> None:
        self.brush.gradient(top, bottom, 0, self.horizon + 1)

    def ground(self, top: RGB, bottom: RGB, lift: float = 0.0) -> None:
        self.brush.gradient(top, bottom, self.horizon - lift * self.unit, self.height)

    def clouds(self, count: int, colour: RGB) -> None:
        """Flat-bottomed puffs in the upper half of the sky, one per column."""
        for index in range(count):
            x = self.width * (index + self.rng.uniform(0.2, 0.8)) / count
            y = self.horizon * self.rng.uniform(0.14, 0.5)
            puff(self.brush, x, y, 24 * self.unit * self.rng.uniform(0.8, 1.2), colour)


def night_sky(scene: Scenery) -> None:
    scene.sky((18, 22, 70), (86, 74, 152))
    brush, rng, unit = scene.brush, scene.rng, scene.unit
    for index in range(18):
        x, y = scene.width * (index + rng.random()) / 18, scene.horizon * rng.uniform(0.03, 0.85)
        radius = unit * rng.choice((1.4, 1.8, 2.6))
        brush.shape([(x, y - 2 * radius), (x + 0.5 * radius, y - 0.5 * radius), (x + 2 * radius, y),
                     (x + 0.5 * radius, y + 0.5 * radius), (x, y + 2 * radius), (x - 0.5 * radius, y + 0.5 * radius),
                     (x - 2 * radius, y), (x - 0.5 * radius, y - 0.5 * radius)], (255, 250, 214))
    x, y = scene.width * rng.uniform(0.12, 0.88), scene.horizon * rng.uniform(0.16, 0.3)
    brush.oval(x, y, 22 * unit, 22 * unit, (255, 240, 176))
    brush.oval(x + 9 * unit, y - 5 * unit, 18 * unit, 18 * unit, (30, 32, 84))
    scene.ground((46, 62, 104), (34, 46, 84))
    middle = scene.width * rng.uniform(0.2, 0.8)
    brush.oval(middle, scene.horizon + 8 * unit, scene.width * 0.5, 30 * unit, (46, 62, 104))


def beach(scene: Scenery) -> None:
    scene.sky((104, 196, 250), (206, 240, 254))
    brush, rng, unit = scene.brush, scene.rng, scene.unit
    brush.oval(scene.width * rng.uniform(0.12, 0.88), scene.horizon * 0.2, 20 * unit, 20 * unit, (255, 236, 130))
    scene.clouds(2, (255, 255, 255))
    sea = scene.horizon - 26 * unit
    brush.gradient((40, 150, 214), (88, 212, 222), sea, scene.horizon + 14 * unit)
    x = np.linspace(0, scene.width, 40)
    shore = scene.horizon + 12 * unit + 3 * unit * np.sin(x / (26 * unit) + rng.uniform(0, 6))
    brush.shape([*zip(x, shore, strict=True), (scene.width, scene.height), (0, scene.height)], (250, 226, 166))
    brush.stroke(np.stack([x, shore], 1), (255, 255, 255), 3)


def forest(scene: Scenery) -> None:
    scene.sky((206, 238, 206), (160, 214, 160))
    brush, rng, unit = scene.brush, scene.rng, scene.unit
    for leaf, reach, step in (((116, 186, 112), 0.86, 50), ((64, 140, 76), 0.66, 84)):
        x = rng.uniform(-30, 10) * unit
        while x < scene.width + 30 * unit:
            top, base = scene.horizon * (1 - reach), scene.horizon + 6 * unit
            brush.shape([(x - 6 * unit, base), (x + 6 * unit, base), (x + 4 * unit, top), (x - 4 * unit, top)],
                        (122, 88, 62))
            for dx, dy, radius in ((-18, 12, 25), (18, 8, 26), (0, -16, 28)):
                brush.oval(x + dx * unit, top + (dy + 24) * unit, radius * unit, radius * unit, leaf)
            x += rng.uniform(0.85, 1.15) * step * unit
    scene.ground((128, 196, 92), (92, 162, 74))


def classroom(scene: Scenery) -> None:
    scene.sky((250, 238, 210), (244, 226, 192))
    scene.ground((206, 156, 106), (182, 132, 88))
    brush, rng, unit = scene.brush, scene.rng, scene.unit
    for row in range(1, 6):
        y = scene.horizon + (scene.height - scene.horizon) * row / 6
        brush.stroke([(0, y), (scene.width, y)], (166, 118, 76), 0.7)
    brush.stroke([(0, scene.horizon), (scene.width, scene.horizon)], (150, 104, 66), 3)
    left = scene.width * rng.uniform(0.06, 0.2)
    right, top, bottom = left + scene.width * 0.72, scene.horizon * 0.14, scene.horizon * 0.74
    frame = 5 * unit
    brush.shape([(left - frame, top - frame), (right + frame, top - frame), (right + frame, bottom + frame),
                 (left - frame, bottom + frame)], (160, 108, 64))
    brush.shape([(left, top), (right, top), (right, bottom), (left, bottom)], (50, 112, 88))
    for row in range(3):
        y = top + (bottom - top) * (row + 1) / 4
        end = left + (right - left) * rng.uniform(0.4, 0.9)
        x = np.linspace(left + 14 * unit, end, 24)
        brush.stroke(np.stack([x, y + 3 * unit * np.sin(x / (5 * unit))], 1), (214, 232, 222), 1.2)


def white_background(scene: Scenery) -> None:
    scene.brush.image[:] = 252


def sunset(scene: Scenery) -> None:
    scene.sky((126, 78, 164), (255, 160, 96))
    brush, rng, unit = scene.brush, scene.rng, scene.unit
    x = scene.width * rng.uniform(0.25, 0.75)
    brush.oval(x, scene.horizon - 6 * unit, 52 * unit, 52 * unit, (255, 226, 128))
    for index in range(3):
        middle = scene.width * (index + rng.uniform(0.1, 0.9)) / 3
        brush.oval(middle, scene.horizon * rng.uniform(0.12, 0.55), 46 * unit, 6 * unit, (250, 156, 150))
    scene.ground((150, 84, 112), (96, 58, 98))
    for row, half in enumerate((44, 34, 22)):
        y = scene.horizon + (10 + 14 * row) * unit
        brush.oval(x, y, half * unit, 3 * unit, (255, 190, 120))


def snow(scene: Scenery) -> None:
    scene.sky((164, 200, 236), (222, 236, 250))
    brush, rng, unit = scene.brush, scene.rng, scene.unit
    x = rng.uniform(-14, 20) * unit
    while x < scene.width + 20 * unit:
        size, base = unit * rng.uniform(0.95, 1.3), scene.horizon + 8 * unit
        for tier in range(3):
            half, y = (30 - 7 * tier) * size, base - 26 * tier * size
            brush.shape([(x - half, y), (x + half, y), (x, y - 42 * size)], (82, 142, 138))
            brush.shape([(x - half * 0.45, y - 23 * size), (x + half * 0.45, y - 23 * size), (x, y - 42 * size)],
                        (248, 252, 255))
        x += rng.uniform(64, 96) * unit
    scene.ground((240, 247, 255), (224, 236, 250))
    middle = scene.width * rng.uniform(0.2, 0.8)
    brush.oval(middle, scene.horizon + 8 * unit, scene.width * 0.6, 16 * unit, (240, 247, 255))
    for index in range(16):
        x, y = scene.width * (index + rng.random()) / 16, scene.height * rng.uniform(0.02, 0.6)
        brush.oval(x, y, 2.8 * unit, 2.8 * unit, (255, 255, 255))


def city(scene: Scenery) -> None:
    scene.sky((130, 196, 246), (222, 240, 252))
    brush, rng, unit = scene.brush, scene.rng, scene.unit
    scene.clouds(2, (255, 255, 255))
    x = rng.uniform(-30, 0) * unit
    walls = ((164, 170, 196), (204, 176, 170), (140, 156, 190), (210, 198, 176))
    index = rng.randrange(4)
    while x < scene.width:
        wide, high = rng.uniform(46, 66) * unit, scene.horizon * rng.uniform(0.4, 0.82)
        top = scene.horizon - high
        foot = scene.horizon + 2
        brush.shape([(x, foot), (x + wide, foot), (x + wide, top), (x, top)], walls[index % 4])
        for row in np.arange(top + 10 * unit, scene.horizon - 14 * unit, 22 * unit):
            for column in np.linspace(x + 8 * unit, x + wide - 18 * unit, 3):
                brush.shape([(column, row), (column + 10 * unit, row), (column + 10 * unit, row + 12 * unit),
                             (column, row + 12 * unit)], (255, 240, 176))
        x, index = x + wide + 3 * unit, index + 1
    scene.ground((156, 158, 168), (134, 136, 148))
    brush.stroke([(0, scene.horizon + 2 * unit), (scene.width, scene.horizon + 2 * unit)], (226, 226, 230), 3)
    middle = scene.horizon + (scene.height - scene.horizon) * 0.62
    for left in np.arange(rng.uniform(-60, 0) * unit, scene.width, 80 * unit):
        brush.stroke([(left, middle), (left + 40 * unit, middle)], (240, 236, 214), 2.4)


def cherry_blossoms(scene: Scenery) -> None:
    scene.sky((176, 218, 248), (250, 228, 238))
    brush, rng, unit = scene.brush, scene.rng, scene.unit
    x = rng.uniform(-20, 30) * unit
    while x < scene.width + 40 * unit:
        base, top = scene.horizon + 8 * unit, scene.horizon * rng.uniform(0.2, 0.36)
        brush.shape([(x - 8 * unit, base), (x + 8 * unit, base), (x + 4 * unit, top), (x - 4 * unit, top)],
                    (118, 84, 74))
        for dx, dy, radius, blossom in ((-30, 18, 30, (246, 176, 204)), (32, 14, 31, (246, 176, 204)),
                                        (0, -10, 36, (252, 196, 218)), (-14, 8, 18, (255, 220, 234))):
            brush.oval(x + dx * unit, top + dy * unit, radius * unit, radius * unit * 0.86, blossom)
        x += rng.uniform(96, 130) * unit
    scene.ground((168, 214, 132), (128, 188, 104))
    for index in range(22):
        x, y = scene.width * (index + rng.random()) / 22, scene.height * rng.uniform(0.05, 0.97)
        brush.oval(x, y, 3.4 * unit, 2.2 * unit, (255, 190, 214), angle=rng.uniform(0, 3))


def mountain(scene: Scenery) -> None:
    scene.sky((120, 178, 236), (226, 240, 252))
    brush, rng, unit = scene.brush, scene.rng, scene.unit
    for low, colour, cap in ((0.5, (136, 160, 204), 0.30), (0.34, (98, 122, 168), 0.26)):
        x = rng.uniform(-70, 0) * unit
        while x < scene.width + 60 * unit:
            half, top = rng.uniform(70, 100) * unit, scene.horizon * (1 - low - rng.uniform(0.1, 0.34))
            foot = scene.horizon + 4 * unit
            brush.shape([(x - half, foot), (x, top), (x + half, foot)], colour)
            edge = top + (foot - top) * cap
            steps = ((-1.0, 0.0), (-0.45, 0.1), (-0.1, -0.02), (0.3, 0.12), (1.0, 0.0))
            brush.shape([(x, top), *((x + dx * half * cap, edge + dy * half) for dx, dy in steps)], (250, 252, 255))
            x += half * rng.uniform(1.1, 1.5)
    scene.ground((124, 182, 112), (92, 150, 92))


def underwater(scene: Scenery) -> None:
    scene.brush.gradient((92, 206, 226), (22, 86, 158), 0, scene.height)
    brush, rng, unit = scene.brush, scene.rng, scene.unit
    for index in range(3):
        x, wide = scene.width * (index + rng.uniform(0.1, 0.7)) / 3, rng.uniform(16, 30) * unit
        brush.shape([(x, 0), (x + wide, 0), (x + wide * 0.2, scene.horizon), (x - wide * 1.6, scene.horizon)],
                    (126, 218, 234))
    brush.gradient((222, 206, 150), (196, 174, 118), scene.horizon + 6 * unit, scene.height)
    for index in range(5):
        x = scene.width * (index + rng.uniform(0.1, 0.9)) / 5
        high, sway = rng.uniform(46, 96) * unit, rng.uniform(-12, 12) * unit
        brush.stroke([(x, scene.horizon + 10 * unit), (x + sway, scene.horizon - high * 0.4),
                      (x - sway * 0.6, scene.horizon - high)], (44, 148, 104), 5)
    for index in range(14):
        x, y = scene.width * (index + rng.random()) / 14, scene.height * rng.uniform(0.04, 0.7)
        radius = unit * rng.choice((3, 4.5, 6))
        brush.oval(x, y, radius, radius, (164, 232, 244), (232, 250, 255), 0.8)


def bedroom(scene: Scenery) -> None:
    scene.sky((236, 222, 246), (226, 208, 240))
    scene.ground((214, 178, 142), (188, 148, 114))
    brush, rng, unit = scene.brush, scene.rng, scene.unit
    for x in np.arange(rng.uniform(0, 26) * unit, scene.width, 26 * unit):
        brush.stroke([(x, 0), (x, scene.horizon)], (218, 198, 234), 1.4)
    brush.shape([(0, scene.horizon - 8 * unit), (scene.width, scene.horizon - 8 * unit),
                 (scene.width, scene.horizon + 2 * unit), (0, scene.horizon + 2 * unit)], (250, 246, 252))
    left, top = scene.width * rng.uniform(0.08, 0.5), scene.horizon * 0.16
    wide, high = scene.width * 0.36, scene.horizon * 0.46
    brush.shape([(left - 6 * unit, top - 6 * unit), (left + wide + 6 * unit, top - 6 * unit),
                 (left + wide + 6 * unit, top + high + 6 * unit), (left - 6 * unit, top + high + 6 * unit)],
                (252, 250, 252))
    brush.shape([(left, top), (left + wide, top), (left + wide, top + high), (left, top + high)], (150, 212, 250))
    brush.shape([(left + wide / 2 - 3 * unit, top), (left + wide / 2 + 3 * unit, top),
                 (left + wide / 2 + 3 * unit, top + high), (left + wide / 2 - 3 * unit, top + high)], (252, 250, 252))
    for side, start in ((1, left - 10 * unit), (-1, left + wide + 10 * unit)):
        brush.shape([(start, top - 10 * unit), (start + side * wide * 0.3, top - 10 * unit),
                     (start + side * wide * 0.12, top + high + 12 * unit), (start, top + high + 12 * unit)],
                    (240, 150, 176))
    brush.oval(scene.width / 2, scene.height * 0.86, scene.width * 0.42, 26 * unit, (230, 142, 164))


PAINTERS = {"night_sky": night_sky, "beach": beach, "forest": forest, "classroom": classroom,
            "white_background": white_background, "sunset": sunset, "snow": snow, "city": city,
            "cherry_blossoms": cherry_blossoms, "mountain": mountain, "underwater": underwater, "bedroom": bedroom}


def paint_background(image: np.ndarray, background: str, horizon: float, rng: random.Random) -> None:
    """Covers a supersampled image [H * 2, W * 2, 3] with one of attributes.BACKGROUND; horizon in picture pixels."""
    PAINTERS[background](Scenery(image, horizon, rng))
