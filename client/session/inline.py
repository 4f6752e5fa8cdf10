"""Pictures in the terminal itself, in the three ways that terminals know.

    kitty    https://sw.kovidgoyal.net/kitty/graphics-protocol/        the PNG, in base64, in pieces
    iterm2   https://iterm2.com/documentation-images.html              the PNG, in base64
    sixel    https://vt100.net/docs/vt3xx-gp/chapter14.html            bands of six lines, up to 256 colours

Which one is there is asked of the terminal, where it can be; iTerm2's is known by the program's name alone.
"""

from __future__ import annotations

import base64
import contextlib
import io
import os
import re
import select
import shutil
import sys
import time
from collections.abc import Callable, Mapping

ANSWER = 0.5  # seconds that a terminal has to say what it can do
PIECE = 4096  # characters of base64 in one of kitty's commands
ROWS = 24  # at most; a picture shall leave room for the words about it
CELL = 20  # pixels of a row's height, where the terminal does not say
COLOURS = 255
ITERM2 = ("iTerm.app", "iTerm2", "WezTerm", "mintty")
# Does it know kitty's pictures? Then, as every terminal answers that: what can it do at all?
QUESTION = "\x1b_Gi=31,s=1,v=1,a=q,t=d,f=24;AAAA\x1b\\\x1b[c"
RUN = re.compile(r"(.)\1{3,}")
ATTRIBUTES = re.compile(r"\x1b\[\?([\d;]*)c")

Encoder = Callable[[bytes], str]  # a PNG's bytes to what is written to the terminal


def encoder(environment: Mapping[str, str] = os.environ) -> Encoder | None:
    """How this terminal shows pictures; None where it shows none."""
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        return None
    return chosen(environment, answer())


def chosen(environment: Mapping[str, str], answered: str) -> Encoder | None:
    """By what the terminal answered, or else by its program's name, which inside of tmux and screen is another's."""
    if "\x1b_Gi=31;OK" in answered:
        return kitty
    multiplexed = environment.get("TMUX") or environment.get("TERM", "").startswith(("screen", "tmux"))
    named = {environment.get("TERM_PROGRAM"), environment.get("LC_TERMINAL")}
    if not multiplexed and named.intersection(ITERM2):
        return iterm2
    attributes = ATTRIBUTES.search(answered)
    return sixel if attributes and "4" in attributes[1].split(";") else None


def answer() -> str:
    """What the terminal says to QUESTION; empty where it can't be asked."""
    try:
        import termios
        import tty
    except ImportError:  # Windows
        return ""
    descriptor = sys.stdin.fileno()
    before = termios.tcgetattr(descriptor)
    said, end = b"", time.monotonic() + ANSWER
    try:
        tty.setcbreak(descriptor)
        sys.stdout.write(QUESTION)
        sys.stdout.flush()
        while not ATTRIBUTES.search(said.decode("latin-1")):
            if not select.select([descriptor], [], [], max(0.0, end - time.monotonic()))[0]:
                break
            said += os.read(descriptor, 1024)
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)
        sys.stdout.write("\r\x1b[K")  # a terminal that does not know the question may have written it out
        sys.stdout.flush()
    return said.decode("latin-1")


def rows() -> int:
    return max(1, min(ROWS, shutil.get_terminal_size().lines - 4))


def kitty(png: bytes) -> str:
    data = base64.b64encode(png).decode("ascii")
    pieces = [data[start : start + PIECE] for start in range(0, len(data), PIECE)]
    first = f"a=T,f=100,q=2,r={rows()},"  # q=2: no answer, which would be read as typed
    return "".join(
        f"\x1b_G{first if n == 0 else ''}m={int(n < len(pieces) - 1)};{piece}\x1b\\" for n, piece in enumerate(pieces)
    )


def iterm2(png: bytes) -> str:
    data = base64.b64encode(png).decode("ascii")
    return f"\x1b]1337;File=inline=1;size={len(png)};height={rows()};preserveAspectRatio=1:{data}\x07"


def sixel(png: bytes) -> str:
    import numpy
    from PIL import Image

    image = Image.open(io.BytesIO(png)).convert("RGB")
    image.thumbnail((10**6, rows() * cell_height()))
    image = image.quantize(COLOURS)
    pixels = numpy.asarray(image)  # [height, width], numbers of colours
    colours = numpy.asarray(image.getpalette()).reshape(-1, 3) * 100 // 255  # percent
    out = [f'\x1bPq"1;1;{image.width};{image.height}']
    out += [f"#{n};2;{r};{g};{b}" for n, (r, g, b) in enumerate(colours)]
    for top in range(0, image.height, 6):
        band = pixels[top : top + 6]
        bits = 1 << numpy.arange(len(band))[:, None]
        for colour in numpy.unique(band):
            columns = bytes(((band == colour) * bits).sum(0).astype("uint8") + 63).decode("ascii")
            runs = RUN.sub(lambda run: f"!{len(run[0])}{run[1]}", columns)
            out.append(f"#{colour}{runs}$")
        out.append("-")
    return "".join(out) + "\x1b\\"


def cell_height() -> int:
    """Pixels of a row, as the terminal states them."""
    with contextlib.suppress(ImportError, OSError):
        import fcntl
        import struct
        import termios

        lines, _, _, height = struct.unpack("HHHH", fcntl.ioctl(sys.stdout.fileno(), termios.TIOCGWINSZ, bytes(8)))
        if lines and height:
            return height // lines
    return CELL
