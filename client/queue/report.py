"""What a run looks like: index.html, which opens from the disk and asks nobody, and a contact sheet."""

from __future__ import annotations

import html
import urllib.parse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..picture import write
from .batch import Task
from .manifest import DONE, FAILED, Line, Manifest, pictures

PAGE, SHEET = "index.html", "sheet.jpg"
SIDE = 256  # pixels of a picture on the sheet
MOST_ON_SHEET = 400

STYLE = """
:root { color-scheme: light dark; --line: #8884; --soft: #888; --bad: light-dark(#b22, #f77); }
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 110rem; padding: 0 1.5rem; }
h1 { font-size: 1.5rem; margin: 0; } h2 { font-size: 1.1rem; margin: 2rem 0 .5rem; }
p.about { color: var(--soft); margin: .25rem 0 1.5rem; }
main { display: grid; gap: 1.25rem; grid-template-columns: repeat(auto-fill, minmax(15rem, 1fr)); align-items: start; }
figure { margin: 0; border: 1px solid var(--line); border-radius: .6rem; overflow: hidden; }
figure img { display: block; width: 100%; height: auto; background: var(--line); }
figcaption { padding: .6rem .8rem; font-size: .85rem; }
figcaption b { font-weight: 600; overflow-wrap: anywhere; }
figcaption span { color: var(--soft); display: block; }
details { margin-top: .3rem; } summary { cursor: pointer; color: var(--soft); }
pre { white-space: pre-wrap; overflow-wrap: anywhere; font-size: .8rem; margin: .4rem 0 0; }
li { margin: .4rem 0; } li b { color: var(--bad); }
"""


def page(folder: Path, made: Sequence[Task], kept: Manifest) -> None:
    """Writes index.html: what failed and why, then every picture with its prompt, seed, settings and server."""
    lines = [kept.last.get(task.key, {}) for task in made]
    drawn = [line for line in lines if line.get("state") == DONE]
    failed = [line for line in lines if line.get("state") == FAILED]
    about = f"{len(drawn)} of {len(made)} pictures"
    if drawn:
        last = max(line["at"] for line in drawn)[:16].replace("T", " ")
        about += f", {sum(line['seconds'] for line in drawn):.0f} s of drawing, {last} UTC"
    parts = [f"<h1>{text(folder.resolve().name)}</h1>", f'<p class="about">{about}</p>']
    if failed:
        parts += ["<h2>Not drawn</h2><ul>", *map(failure, failed), "</ul>"]
    parts += ["<main>", *(figure(line, one) for line in drawn for one in pictures(line)), "</main>"]
    head = (
        f'<meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{text(folder.resolve().name)}'
    )
    document = f"<!doctype html><html lang=en><head>{head}</title><style>{STYLE}</style></head><body>"
    document += "\n".join(parts) + "</body></html>\n"
    write(folder / PAGE, document.encode("utf-8", "replace"))


def figure(line: Line, one: Line) -> str:
    address = html.escape(urllib.parse.quote(one["file"]))
    settings = ", ".join(f"{name} {value}" for name, value in line["settings"].items())
    versions = ", ".join(f"{name} {value}" for name, value in line["versions"].items() if value)
    facts = [f"seed {line['seed']}" if line["seed"] is not None else "", settings, f"{line['seconds']:.1f}\u00a0s"]
    return (
        f'<figure><a href="{address}"><img loading="lazy" src="{address}" alt="{text(line["prompt"])}"></a>'
        f"<figcaption><b>{text(one['file'])}</b><span>{text(', '.join(filter(None, facts)))}</span>"
        f"<details><summary>prompt</summary><pre>{text(line['prompt'])}</pre>"
        f"<span>{text(line['from'])}; {text(line['server'])}; {text(versions)}</span></details></figcaption></figure>"
    )


def failure(line: Line) -> str:
    return (
        f"<li><b>{text(line['error'])}</b> <details><summary>{text(line['from'])}, seed {line['seed']}</summary>"
        f"<pre>{text(line['prompt'])}</pre></details></li>"
    )


def text(value: Any) -> str:
    return html.escape(str(value))


def sheet(folder: Path, made: Sequence[Task], kept: Manifest) -> None:
    """Writes sheet.jpg: the pictures in their order, in rows that make it about as wide as high."""
    from PIL import Image

    names = [one["file"] for task in made for one in pictures(kept.last.get(task.key, {}))][:MOST_ON_SHEET]
    names = [name for name in names if (folder / name).is_file()]
    if not names:
        return
    columns = max(1, round(len(names) ** 0.5))
    whole = Image.new("RGB", (columns * SIDE, -(-len(names) // columns) * SIDE), "white")
    for place, name in enumerate(names):
        with Image.open(folder / name) as picture:
            small = picture.convert("RGB")
            small.thumbnail((SIDE, SIDE))
        left, top = place % columns * SIDE, place // columns * SIDE
        whole.paste(small, (left + (SIDE - small.width) // 2, top + (SIDE - small.height) // 2))
    whole.save(folder / SHEET, quality=90)
