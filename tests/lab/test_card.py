"""The model card says what the code does."""

from __future__ import annotations

from pathlib import Path

from newbie_pack.lab.drawing import attributes
from newbie_pack.lab.judging.judge import Judge
from newbie_pack.lab.training import prompts
from newbie_pack.lab.training.course import Course
from newbie_pack.lab.training.dataset import WIDE_GROUPS
from newbie_pack.lab.training.generate import Networks
from newbie_pack.lab.training.model import Autoencoder
from newbie_pack.lab.training.world import WIDE

CARD = (Path(prompts.__file__).parents[2] / "mini" / "README.md").read_text(encoding="utf-8")
ROWS = {line.split("|")[1].strip(): line for line in CARD.splitlines() if line.startswith("|")}


def test_every_value_stands_in_its_row():
    rows = {"gender": "Gender", "hair": "Hair colour", "style": "Hair style", "eyes": "Eye colour",
            "cloth": "Colour of clothes", "kind": "Clothes", "accessory": "Accessory (one)", "pose": "Pose",
            "expression": "Expression", "facing": "Direction", "background": "Background (shared)"}
    for attribute, values in (WIDE.values | {"background": WIDE.backgrounds}).items():
        stated = ROWS[rows[attribute]].split("|")[3].replace(",", " ").split()
        assert [word.strip("`") for word in stated if word.startswith("`")][: len(values)] == \
            [value for value in values if value != "none"] + ["none"] * ("none" in values)


def test_names_stand_for_what_the_card_says():
    for name, look in attributes.NAMED.items():
        words = [look["gender"], f"{look['hair']}_hair", look["style"], f"{look['eyes']}_eyes",
                 f"{look['cloth']}_{look['kind']}"]
        words += [look["accessory"]] if look["accessory"] != "none" else []
        assert ROWS[f"`{name}`"].split("|")[2].strip() == ", ".join(f"`{word}`" for word in words)


def test_held_out_pairs_are_listed():
    text = " ".join(CARD.split())
    assert all(f"{hair} and {cloth}" in text for hair, cloth in attributes.HELD_OUT)


def test_parameters_are_counted():
    networks = Networks()
    parts = {"diffusion_model": networks.diffusion, "gemma": networks.gemma, "jina": networks.jina,
             "vae": Autoencoder(), "judge": Judge(WIDE)}
    for name, part in parts.items():
        assert ROWS[f"`{name}`"].split("|")[4].strip() == f"{sum(p.numel() for p in part.parameters()):,}"


def test_times_and_counts_are_the_courses():
    course = Course()
    assert f"{course.pictures:,} pictures" in CARD
    for stage, seconds in (("Autoencoder", course.autoencoder_seconds), ("Judge", course.judge_seconds),
                           ("Picture judge", course.picture_judge_seconds),
                           ("Diffusion model and text encoders", course.diffusion_seconds)):
        assert ROWS[stage].split("|")[2].strip() == f"{seconds:.0f} s"
    assert all(f"{width} x {height}" in CARD for width, height in (group.size for group in WIDE_GROUPS))
