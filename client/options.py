"""The options that demo and create share."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable

from .workflow import Settings, parse_size

SEED_END = 1 << 64


def add_drawing_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--seed", type=_integer(0, SEED_END - 1), help="the random seed (default: the workflow's)")
    parser.add_argument("--steps", type=_integer(1, 1000), help="sampling steps (default: 28)")
    parser.add_argument("--guidance", type=_number, help="how strongly the prompt is followed (default: 7.5)")
    parser.add_argument("--eta", type=_number, help="fresh noise at every step, 0 for none (default: 0.3)")
    parser.add_argument("--size", type=size, metavar="WxH", help="size in pixels (default: the workflow's)")


def settings_of(options: argparse.Namespace, xml: str | None = None) -> Settings:
    return Settings(xml, options.seed, options.steps, options.guidance, options.eta, options.size)


def _integer(least: int, most: int) -> Callable[[str], int]:
    def integer(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number") from None
        if not least <= value <= most:
            raise argparse.ArgumentTypeError(f"{value} is not between {least} and {most}")
        return value

    return integer


def _number(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number") from None
    if not math.isfinite(value) or value < 0:
        raise argparse.ArgumentTypeError(f"{text} is not 0 or more")
    return value


def size(text: str) -> tuple[int, int]:
    try:
        return parse_size(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
