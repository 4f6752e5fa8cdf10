"""The page on the prompt language as HTML. Of Markdown it knows what these pages use; all else stays text."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from pathlib import Path

FOLDER = Path(__file__).resolve().parent.parent / "web" / "docs"
PAGES = {"language": "en", "language.zh": "zh"}  # the file's name without .md -> its language
_FENCE = re.compile(r"(```|~~~)")
_RULE = re.compile(r"\|[\s:|-]+\|$")
_SPAN = re.compile(r"`([^`]+)`|\*\*([^*]+)\*\*|\*([^*\s][^*]*)\*|\[([^\]]+)\]\(([^)\s]+)\)")
_CELL = re.compile(r"(?<!\\)\|")
_STYLE = """
:root { color-scheme: light dark; }
body { max-width: 46em; margin: 2em auto; padding: 0 1em; font: 16px/1.6 system-ui, sans-serif; }
pre { padding: .7em 1em; overflow: auto; border-radius: 6px; background: color-mix(in srgb, CanvasText 8%, Canvas); }
code { font: .9em ui-monospace, Consolas, monospace; }
table { border-collapse: collapse; display: block; overflow: auto; }
td, th { padding: .3em .6em; border: 1px solid color-mix(in srgb, CanvasText 20%, Canvas); text-align: left; }
"""


def page(name: str) -> str:
    """One of PAGES as a whole document. Raises KeyError and OSError."""
    body = "\n".join(blocks((FOLDER / f"{name}.md").read_text(encoding="utf-8").splitlines()))
    return (
        f'<!doctype html><html lang="{PAGES[name]}"><meta charset="utf-8"><title>NewBie XML</title>'
        f"<style>{_STYLE}</style><body>{body}</body></html>"
    )


def blocks(lines: list[str]) -> Iterator[str]:
    """Headings, fences, tables, lists and paragraphs, in order."""
    at = 0
    while at < len(lines):
        line, begin = lines[at], at
        at += 1
        if fence := _FENCE.match(line):
            while at < len(lines) and lines[at].rstrip() != fence[1]:
                at += 1
            code = "\n".join(lines[begin + 1 : at])
            yield f"<pre><code>{html.escape(code)}</code></pre>"
            at += 1
        elif heading := re.match(r"(#{1,4}) (.*)", line):
            yield f"<h{len(heading[1])}>{spans(heading[2])}</h{len(heading[1])}>"
        elif line.startswith("|"):
            at = _end(lines, at, r"\|")
            yield _table(lines[begin:at])
        elif line.startswith("- "):
            at = _end(lines, at, r"- |  ")
            items = re.split(r"^- ", "\n".join(lines[begin:at]), flags=re.MULTILINE)[1:]
            yield "<ul>" + "".join(f"<li>{spans(item)}</li>" for item in items) + "</ul>"
        elif line.strip():
            at = _end(lines, at, r"(?!```|~~~|#|\||- )\S")
            yield f"<p>{spans(' '.join(lines[begin:at]))}</p>"


def spans(text: str) -> str:
    """Code, bold, italics and links. Only links to these pages, within the page and to https are made."""

    def span(match: re.Match[str]) -> str:
        code, bold, italic, label, target = match.groups()
        if code:
            return f"<code>{html.escape(code)}</code>"
        if bold or italic:
            return f"<b>{spans(bold)}</b>" if bold else f"<i>{spans(italic)}</i>"
        address = target.removesuffix(".md")
        if address not in PAGES and not address.startswith(("https://", "#")):
            return spans(label)
        return f'<a href="{html.escape(address)}">{spans(label)}</a>'

    made, at = [], 0
    for match in _SPAN.finditer(text):
        made += [html.escape(text[at : match.start()]), span(match)]
        at = match.end()
    return "".join([*made, html.escape(text[at:])])


def _end(lines: list[str], at: int, going_on: str) -> int:
    while at < len(lines) and re.match(going_on, lines[at]):
        at += 1
    return at


def _table(lines: list[str]) -> str:
    def row(line: str, cell: str) -> str:
        cells = (spans(text.strip().replace(r"\|", "|")) for text in _CELL.split(line.strip().strip("|")))
        return "<tr>" + "".join(f"<{cell}>{text}</{cell}>" for text in cells) + "</tr>"

    rows = [line for line in lines if not _RULE.match(line.strip())]
    return "<table>" + row(rows[0], "th") + "".join(row(line, "td") for line in rows[1:]) + "</table>"
