"""What a picture's prompt may say: the drawn scene as a Scene of the pack, complete or with things left out.

The text itself comes from the pack's own renderers, so that training reads what the pack writes.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

from ...xml_prompt import (
    GRID,
    Box,
    Character,
    Field,
    Interaction,
    Scene,
    Segment,
    Tag,
    render_json,
    render_tags,
    render_xml,
    tag_text,
)
from ..drawing.attributes import CONCEPT, NAMED, RENDERING, UNSEEN_FROM_BEHIND, VALUES
from ..drawing.scenes import SQUAT, TALL, Figure, Picture
from .world import PLAIN, World

SYSTEM = (
    "You are an assistant designed to generate high-quality anime images with the highest degree of image-text "
    "alignment based on xml format textual prompts. <Prompt Start>"
)
OTHER_NAMES = ("aoi", "hana", "yuki", "sora", "ren", "kai", "mio", "nao", "emi", "haru", "alice", "leo", "luna", "max")
TOGETHER = {  # pose -> what it is called, the usual word first
    "handshake": ("handshake", "handshake", "handshake", "shaking_hands"),
    "holding_hands": ("holding_hands",),
    "hug": ("hug", "hug", "hugging"),
}
FLUFF = {
    "quality": ("high_resolution, detailed", "masterpiece, best_quality", "detailed"),
    "atmosphere": ("cheerful", "calm", "dreamy"),
}


CHIBI = 0.58  # width : height above which everyone may be called chibi


@dataclass(frozen=True)
class Description:
    """A prompt for a picture: the scene it states, one box a character (in the scene's order), and who is who."""

    scene: Scene
    boxes: tuple[Box, ...]
    order: tuple[int, ...]  # order[k] is the figure that character_{k+1} describes
    stated: tuple[frozenset[str], ...]  # attributes said, one set a character


def figure_box(figure: Figure, picture: Picture) -> Box:
    x, y = GRID / picture.width, GRID / picture.height
    return Box(figure.x * x, figure.y * y, (figure.x + figure.width) * x, (figure.y + figure.height) * y)


def loosened(box: Box, aspect: float, rng: random.Random) -> Box:
    """A box as people draw them: a little off, or of a shape that nobody has, in whose middle the person stands."""
    grow_x, grow_y = 0.0, 0.0
    if rng.random() < 0.3:
        grow_x = rng.uniform(0, 0.8) if aspect > 0.97 * SQUAT else 0.0
        grow_y = rng.uniform(0, 0.2) if aspect < 1.03 * TALL else 0.0
    off = [rng.gauss(0, 0.02) for _ in range(4)]
    left = box.left - box.width * (grow_x / 2 + off[0])
    right = box.right + box.width * (grow_x / 2 + off[1])
    top, bottom = box.top - box.height * (grow_y + off[2] / 2), box.bottom + box.height * off[3] / 2
    return Box(max(0.0, left), max(0.0, top), min(float(GRID), right), min(float(GRID), bottom))


def position_words(box: Box, rng: random.Random) -> str:
    x, y = (box.left + box.right) / 2 / GRID, (box.top + box.bottom) / 2 / GRID
    word = "left" if x < 0.34 else "center_left" if x < 0.45 else "center" if x < 0.55 else "center_right"
    word = "right" if x > 0.66 else word
    vertical = "top" if y < 0.42 else "center_y" if y < 0.62 else "bottom"
    return f"{word}, {vertical}" if rng.random() < 0.4 else word


def describe(picture: Picture, rng: random.Random, complete: bool = False, world: World = PLAIN) -> Description:
    """complete: everything stated, in a fixed order, as evaluation does it; otherwise the world's habits at random."""
    figures = picture.figures
    order = list(range(len(figures)))
    if not complete and rng.random() < 0.35:
        rng.shuffle(order)
    drop = 0.0 if complete else rng.choices(list(world.left_out), list(world.left_out.values()))[0]
    wordy = not complete and world.wordy > 0 and rng.random() < world.wordy
    spaces = not complete and rng.random() < 0.25
    pairs = sorted({tuple(sorted((i, f.partner))) for i, f in enumerate(figures) if f.partner is not None})
    as_interaction = bool(pairs) and (complete or rng.random() < 0.92)
    characters, boxes, stated = [], [], []
    for k, index in enumerate(order):
        box = figure_box(figures[index], picture)
        boxes.append(box if complete else loosened(box, figures[index].width / figures[index].height, rng))
        character, said = _character(figures[index], f"character_{k + 1}", box, rng, complete, drop, spaces,
                                     as_interaction, world.placed)
        characters.append(character)
        stated.append(said)
    where = {index: f"character_{k + 1}" for k, index in enumerate(order)}
    interactions = []
    for pair in pairs:
        words = TOGETHER[figures[pair[0]].look["pose"]]
        kind = words[0] if complete else rng.choice(words)
        interactions.append(Interaction(kind, tuple(sorted(where[i] for i in pair))))
    scene = Scene(
        characters=tuple(characters),
        general=_general(picture, rng, complete, drop, spaces, wordy, len(world.renderings) > 1),
        caption=nobodys_tags(picture, rng, spaces) if wordy else "",
        system=SYSTEM if not complete and rng.random() < (1.0 if wordy else 0.2) else "",
        interactions=tuple(interactions) if as_interaction else (),
    )
    return Description(scene, tuple(boxes), tuple(order), tuple(stated))


def _character(
    figure: Figure,
    identity: str,
    box: Box,
    rng: random.Random,
    complete: bool,
    drop: float,
    spaces: bool,
    as_interaction: bool,
    placed: float,
) -> tuple[Character, frozenset[str]]:
    look, usual = figure.look, NAMED.get(figure.name, {})
    said: set[str] = set()

    def say(attribute: str) -> bool:
        """A named one's usual look often goes without saying; what differs from it never does."""
        if look["facing"] == "from_behind" and attribute in UNSEEN_FROM_BEHIND:
            return False
        chance = drop
        if usual.get(attribute) == look[attribute]:
            chance = max(drop, 0.0 if complete else 0.6)
        elif usual and attribute in usual:
            chance = 0.0
        if rng.random() < chance:
            return False
        said.add(attribute)
        return True

    concept, where = CONCEPT.get(look.get("concept", ""), ("", ""))
    appearance = [f"{look['hair']}_hair"] if say("hair") else []
    appearance += [look["style"]] if say("style") else []
    appearance += [f"{look['eyes']}_eyes"] if say("eyes") else []
    cloth, kind = say("cloth"), say("kind")
    clothing = [f"{look['cloth']}_{look['kind']}"] if cloth and kind else []
    clothing += [f"{look['cloth']}_clothes"] if cloth and not kind else []
    clothing += [look["kind"]] if kind and not cloth else []
    if look["accessory"] != "none" and say("accessory"):
        (clothing if look["accessory"] in ("hat", "scarf") else appearance).append(look["accessory"])
    if concept:
        (clothing if where == "clothing" else appearance).append(concept)
    expression = [look["expression"]] if say("expression") else []
    action = []
    together = look["pose"] in TOGETHER
    if not together:
        action += [look["pose"]] if say("pose") else []
    elif not as_interaction:
        action += [look["pose"]]
    elif rng.random() < 0.5:
        action += ["standing"]
    if together:
        said.add("pose")
    action += [look["facing"]] if say("facing") else []
    if not complete:
        for tags in (appearance, clothing, action):
            if rng.random() < 0.5:
                rng.shuffle(tags)
    name = figure.name
    if not name and not complete:
        name = rng.choices(("", rng.choice(OTHER_NAMES), f"${identity}$"), (0.45, 0.4, 0.15))[0]
    gender = [look["gender"]] if say("gender") else []
    position = [position_words(box, rng)] if complete or rng.random() < placed else []
    parts = [("gender", gender), ("appearance", appearance), ("clothing", clothing), ("expression", expression),
             ("action", action), ("position", position)]
    fields = tuple(Field(name_, _tags(words, spaces)) for name_, words in parts if words)
    return Character(identity, name, fields), frozenset(said)


def _tags(words: list[str], spaces: bool) -> tuple[Tag, ...]:
    return tuple(Tag(word.replace("_", " ") if spaces else word) for word in words)


def nobodys_tags(picture: Picture, rng: random.Random, spaces: bool) -> str:
    """Most of the hair and clothes in the picture, as tags of the whole: whose they are is not said."""
    looks = [figure.look for figure in picture.figures]
    words = {f"{look['hair']}_hair" for look in looks} | {f"{look['cloth']}_{look['kind']}" for look in looks}
    said = [word for word in sorted(words) if rng.random() < 0.7]
    rng.shuffle(said)
    return tag_text(_tags(said, spaces))


def _general(
    picture: Picture, rng: random.Random, complete: bool, drop: float, spaces: bool, wordy: bool, several: bool
) -> tuple[Field, ...]:
    counts = []
    for gender in VALUES["gender"]:
        people = sum(figure.look["gender"] == gender for figure in picture.figures)
        counts += [gender if people == 1 else f"{people}{gender[1:]}s"] if people else []
    parts = [("count", counts if complete or rng.random() >= drop else []),
             ("style", _style(picture, rng, complete, drop, several))]
    for name, choices in FLUFF.items():
        parts.append((name, [rng.choice(choices)] if not complete and rng.random() < (1.0 if wordy else 0.25) else []))
    parts.insert(2, ("background", [picture.background] if complete or rng.random() >= drop else []))
    return tuple(Field(name, _tags(words, spaces)) for name, words in parts if words)


def _style(picture: Picture, rng: random.Random, complete: bool, drop: float, several: bool) -> list[str]:
    """The rendering, which goes without saying where it is the usual one; whether people are chibi; what says nothing.

    several: whether there are renderings to tell apart.
    """
    usual = picture.rendering == RENDERING[0]
    chance = 0.0 if not several else 1.0 if complete else 0.3 if usual else min(1.0, 1.35 - drop)
    said = [picture.rendering] if rng.random() < chance else []
    if complete:
        return said
    said += ["anime_style"] if rng.random() < 0.15 else []
    squat = all(figure.width / figure.height > CHIBI for figure in picture.figures)
    said += ["chibi"] if squat and rng.random() < 0.5 else []
    rng.shuffle(said)
    return said


def segments(description: Description, form: str) -> tuple[Segment, ...]:
    """form: "boxes" (XML, every box stated), "xml", "json" (the template, boxes stated) or "tags"."""
    scene, boxes = description.scene, description.boxes
    if form == "boxes":
        return render_xml(scene, boxes)
    if form == "json":
        return render_json(scene, boxes)
    return render_xml(scene) if form == "xml" else render_tags(scene)
