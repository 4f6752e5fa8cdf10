"""What the pack's own reader says to a prompt, before a host is asked: the host's nodes read it with the same one."""

from __future__ import annotations

from collections.abc import Callable

from ...xml_prompt import PromptError, Scene, at_line, convert, layout, parse, system_language
from ..problem import Problem, shown
from ..workflow import Prompt, Settings, prompt_places

Reader = Callable[[str], Scene]
READERS: dict[str, Reader] = {"NewBieXMLPrompt": parse, "NewBieTextToXML": convert}


def readers_of(graph: Prompt, settings: Settings) -> tuple[Reader, ...]:
    """How the nodes that get the prompt read it. A node of others says itself what it thinks of it."""
    kinds = dict.fromkeys(graph[node]["class_type"] for node, _ in prompt_places(graph, settings))
    return tuple(READERS[kind] for kind in kinds if kind in READERS)


def check(text: str, readers: tuple[Reader, ...]) -> list[str]:
    """The reader's warnings. Raises Problem, with the line and a caret under the place, for what can't be drawn."""
    language = system_language()
    warnings = []
    for reader in readers:
        try:
            scene = reader(text)
            layout(scene)  # boxes that contradict each other are an error too
        except PromptError as error:
            sentence = at_line(error.message, error.line, error.column).text(language)
            place = f"\n{pointed(error.source, error.column)}" if error.source and error.line else ""
            raise Problem(sentence + place.rstrip("\n")) from error
        warnings += [at_line(one.message, one.line, one.column).text(language) for one in scene.warnings]
    return list(dict.fromkeys(warnings))


def pointed(source: str, column: int) -> str:
    """The line with a caret below the column; of a long line only what is near."""
    start = max(0, column - 60)
    before = shown(source[start : column - 1])
    lead = "".join(c if c == "\t" else "\u3000" if ord(c) > 0x2E7F else " " for c in before)
    return f"    {shown(source[start : start + 100])}\n    {lead}^\n"
