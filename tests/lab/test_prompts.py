"""What a picture's prompt says, and of whom."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace

import pytest
from newbie_pack.lab.drawing import attributes
from newbie_pack.lab.drawing.scenes import SQUAT, Figure, Picture, sample_picture
from newbie_pack.lab.training import prompts
from newbie_pack.lab.training.world import PLAIN, WIDE
from newbie_pack.xml_prompt import GRID, Box

LOOK = {"gender": "1girl", "hair": "red", "style": "ponytail", "eyes": "green", "cloth": "blue", "kind": "dress",
        "accessory": "hat", "pose": "waving", "expression": "sad", "facing": "facing_left"}


def figure(left: float, name: str = "", **look: str) -> Figure:
    return Figure(left, 40, 240 * SQUAT, 240, LOOK | look, name)


def words_of(description: prompts.Description, character: int) -> set[str]:
    return {tag.text for field in description.scene.characters[character].fields for tag in field.tags}


def described(count: int, complete: bool = False, **changes: object):
    rng = random.Random(11)
    for i in range(count):
        picture = replace(sample_picture(rng, people=i % 4 + 1, world=WIDE), **changes)
        yield picture, prompts.describe(picture, rng, complete, WIDE)


@pytest.mark.parametrize("form", ["boxes", "xml", "json", "tags"])
def test_each_segment_belongs_to_whom_it_describes(form):
    for picture, description in described(60):
        segments = prompts.segments(description, form)
        people = len(picture.figures)
        assert {s.owner for s in segments if s.owner} == set(range(1, people + 1))
        for owner in range(1, people + 1):
            own = "".join(s.text for s in segments if s.owner == owner)
            character = description.scene.characters[owner - 1]
            for word in words_of(description, owner - 1):
                assert word in own or (form == "tags" and word in {t.text for t in character.tags("position")})
            if form != "tags":
                assert f"character_{owner}" in own
                assert not any(f"character_{other}" in own for other in range(1, people + 1) if other != owner)


def test_shared_segments_name_nobodys_look():
    looks = {f"{colour}_hair" for colour in attributes.HAIR} | {f"{colour}_eyes" for colour in attributes.EYES}
    for _, description in described(40):
        shared = "".join(s.text for s in prompts.segments(description, "boxes") if s.owner == 0)
        assert not any(word in shared or word.replace("_", " ") in shared for word in looks)


def test_complete_boxes_are_the_drawn_ones():
    picture = Picture(320, 320, "beach", (figure(16), figure(160)), 1)
    description = prompts.describe(picture, random.Random(0), complete=True)
    assert description.order == (0, 1)
    assert description.boxes[0] == Box(50, 125, 550, 875)
    assert description.boxes[1] == Box(500, 125, 1000, 875)
    text = "".join(s.text for s in prompts.segments(description, "boxes") if s.owner == 1)
    assert "<bbox>[50, 125, 550, 875]</bbox>" in text


def test_boxes_follow_the_order_in_which_people_are_described():
    shuffled = 0
    for picture, description in described(200):
        shuffled += description.order != tuple(range(len(picture.figures)))
        for index, box in zip(description.order, description.boxes, strict=True):
            assert 0 <= box.left < box.right <= GRID and 0 <= box.top < box.bottom <= GRID
            true = prompts.figure_box(picture.figures[index], picture)
            # loosened: up to 0.8 of the width wider, and 4.5 sigma of 0.02 of the width
            assert abs(box.left + box.right - true.left - true.right) / 2 <= 0.55 * true.width
            assert true.width * 0.8 <= box.width <= true.width * 2.0
    assert shuffled > 10


def test_complete_prompts_state_everything():
    for picture, description in described(60, complete=True):
        for index, said in zip(description.order, description.stated, strict=True):
            left_out = {"accessory"} if picture.figures[index].look["accessory"] == "none" else set()
            if picture.figures[index].look["facing"] == "from_behind":
                left_out |= set(attributes.UNSEEN_FROM_BEHIND)
            assert said == set(attributes.VALUES) - left_out


def test_where_all_pictures_have_one_rendering_it_is_never_said():
    rng = random.Random(2)
    for _ in range(60):
        for complete in (True, False):
            description = prompts.describe(sample_picture(rng), rng, complete, PLAIN)
            text = "".join(s.text for s in prompts.segments(description, "boxes"))
            assert not any(word in text.replace(" ", "_") for word in attributes.RENDERING)


def test_words_of_a_complete_character():
    picture = Picture(320, 320, "beach", (figure(16),), 1)
    said = words_of(prompts.describe(picture, random.Random(0), complete=True), 0)
    assert said - {"left", "left, center_y"} == {
        "1girl", "red_hair", "ponytail", "green_eyes", "blue_dress", "hat", "sad", "waving", "facing_left"
    }
    assert len(said) == 10  # and one position


def test_what_differs_from_a_named_ones_usual_look_is_always_stated():
    usual = attributes.NAMED["miku"]
    changed = {"hair": "red", "eyes": "green", "kind": "dress", "accessory": "hat"}
    picture = Picture(320, 320, "beach", (figure(80, "miku", **{**usual, **changed}),), 1)
    silent = set()
    for seed in range(300):
        description = prompts.describe(picture, random.Random(seed))
        assert set(changed) <= description.stated[0]
        words = {word.replace(" ", "_") for word in words_of(description, 0)}
        assert {"red_hair", "green_eyes", "hat"} <= words and any(word.endswith("dress") for word in words)
        silent |= set(usual) - description.stated[0]
    assert silent == set(usual) - set(changed)  # the rest of what the name says often goes without saying


@pytest.mark.parametrize("pose", attributes.TOGETHER)
def test_an_interaction_joins_the_two_who_do_it(pose):
    pair = (replace(figure(20, pose=pose), partner=1), replace(figure(170, pose=pose), partner=0))
    description = prompts.describe(Picture(384, 256, "city", pair, 1), random.Random(0), complete=True)
    (interaction,) = description.scene.interactions
    assert interaction.kind == pose and interaction.between == ("character_1", "character_2")


def test_a_rendering_that_is_not_the_usual_one_is_said():
    said = Counter()
    for picture, description in described(300):
        style = " ".join(tag.text for field in description.scene.general if field.name == "style" for tag in field.tags)
        named = picture.rendering in style.replace(" ", "_")
        said[picture.rendering == attributes.RENDERING[0], named] += 1
        if "chibi" in style:
            assert all(f.width / f.height > prompts.CHIBI for f in picture.figures)
    assert said[False, True] > 6 * said[False, False] and said[True, True] < said[True, False]


@pytest.mark.parametrize(
    ("left", "top", "horizontal", "vertical"),
    [(0, 0, "left", "top"), (200, 400, "left", "center_y"), (300, 600, "center_left", "bottom"),
     (400, 300, "center", "center_y"), (500, 0, "center_right", "top"), (700, 600, "right", "bottom")],
)
def test_position_words(left, top, horizontal, vertical):
    box = Box(left, top, left + 200, top + 300)
    said = {prompts.position_words(box, random.Random(seed)) for seed in range(30)}
    assert said == {horizontal, f"{horizontal}, {vertical}"}
