"""What the mini model can draw: every attribute, its values in the prompt's own words, and their colours.

The order of the values is the order of the judge's outputs: append, never reorder.
"""

from __future__ import annotations

RGB = tuple[int, int, int]

HAIR: dict[str, RGB] = {
    "blonde": (250, 214, 96),
    "brown": (132, 84, 50),
    "black": (48, 46, 58),
    "red": (214, 58, 52),
    "blue": (62, 98, 214),
    "aqua": (66, 206, 202),
    "green": (84, 168, 76),
    "pink": (250, 150, 190),
    "silver": (206, 212, 224),
    "purple": (140, 90, 200),
}
EYES: dict[str, RGB] = {
    "red": (214, 40, 48),
    "blue": (40, 90, 230),
    "aqua": (30, 190, 190),
    "green": (52, 150, 60),
    "yellow": (242, 186, 30),
    "purple": (146, 70, 206),
}
CLOTH: dict[str, RGB] = {
    "red": (206, 48, 54),
    "blue": (56, 96, 204),
    "green": (56, 150, 84),
    "yellow": (248, 206, 70),
    "white": (246, 246, 250),
    "black": (52, 52, 62),
    "pink": (248, 158, 190),
    "purple": (138, 80, 188),
}
STYLE = ("short_hair", "long_hair", "twintails", "ponytail", "hair_buns")
KIND = ("serafuku", "t-shirt", "dress", "coat", "sleeveless_shirt")
ACCESSORY = ("none", "cat_ears", "hat", "glasses", "headphones", "scarf", "hair_bow")
POSE = ("standing", "arms_up", "waving", "handshake", "holding_hands", "hug", "sitting")
TOGETHER = ("handshake", "holding_hands", "hug")  # poses of two, said as an interaction
EXPRESSION = ("smile", "sad", "surprised", "angry")
FACING = ("facing_left", "facing_right", "looking_at_viewer", "from_behind")
UNSEEN_FROM_BEHIND = ("eyes", "expression")
GENDER = ("1girl", "1boy")
BACKGROUND = ("night_sky", "beach", "forest", "classroom", "white_background", "sunset", "snow", "city",
              "cherry_blossoms", "mountain", "underwater", "bedroom")
RENDERING = ("cel_shading", "flat_color", "thick_outlines")  # of the whole picture; the first where nothing is said

VALUES: dict[str, tuple[str, ...]] = {
    "gender": GENDER,
    "hair": tuple(HAIR),
    "style": STYLE,
    "eyes": tuple(EYES),
    "cloth": tuple(CLOTH),
    "kind": KIND,
    "accessory": ACCESSORY,
    "pose": POSE,
    "expression": EXPRESSION,
    "facing": FACING,
}

# What a name alone stands for; anything the prompt states wins over it.
NAMED: dict[str, dict[str, str]] = {
    "miku": {"gender": "1girl", "hair": "aqua", "style": "twintails", "eyes": "aqua", "cloth": "white",
             "kind": "sleeveless_shirt", "accessory": "headphones"},
    "kaito": {"gender": "1boy", "hair": "blue", "style": "short_hair", "eyes": "blue", "cloth": "white",
              "kind": "coat", "accessory": "scarf"},
    "rin": {"gender": "1girl", "hair": "blonde", "style": "short_hair", "eyes": "blue", "cloth": "yellow",
            "kind": "serafuku", "accessory": "hair_bow"},
    "luka": {"gender": "1girl", "hair": "pink", "style": "long_hair", "eyes": "blue", "cloth": "black",
             "kind": "dress", "accessory": "headphones"},
    "meiko": {"gender": "1girl", "hair": "brown", "style": "short_hair", "eyes": "red", "cloth": "red",
              "kind": "sleeveless_shirt", "accessory": "none"},
}

# (hair colour, clothing colour) pairs that no training picture shows: the held-out combinations of the model card.
HELD_OUT = frozenset({("blue", "red"), ("red", "green"), ("green", "yellow"), ("pink", "white"), ("blonde", "purple"),
                      ("black", "pink"), ("silver", "blue"), ("brown", "black"), ("purple", "red")})

# What the mini never learned, for LoRAs to teach: the tag that a prompt calls it by, and the field that the tag is in.
# A figure has one where its look has a "concept"; concepts.py draws it.
CONCEPT: dict[str, tuple[str, str]] = {
    "stripes": ("bee_stripes", "clothing"),
    "cone": ("party_cone", "clothing"),
    "tail": ("dragon_tail", "appearance"),
    "skin": ("alien_skin", "appearance"),
    "heart": ("heart_print", "clothing"),
}
