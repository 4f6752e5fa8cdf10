"""A prompt as tokens: who owns them, where each stands in what its own encoding reads, and how many fit."""

from __future__ import annotations

import random

import pytest
import torch
from newbie_pack.isolation.plan import PADDING
from newbie_pack.lab.training import config, dataset, tokens
from newbie_pack.lab.training.generate import encoder_rules
from newbie_pack.lab.training.world import WIDE
from newbie_pack.xml_prompt import Segment

SEGMENTS = (
    Segment(0, "chibi\n"), Segment(1, "<character_1>\n<n>miku</n>\n"), Segment(2, "<character_2>\n"),
    Segment(0, "beach"), Segment(1, "smile"),
)


def test_isolated_pieces_each_stand_behind_the_shared_prefix(tokenizers):
    made = tokens.tokenize(SEGMENTS, True, tokenizers)
    pieces = [tokenizers.gemma.encode(segment.text) for segment in SEGMENTS]
    prefix, first, second, shared, third = (len(piece) for piece in pieces)
    prefix += 1  # <bos>
    assert made.ids == [2, *(token for piece in pieces for token in piece)]
    assert made.owner == [0] * prefix + [1] * first + [2] * second + [0] * shared + [1] * third
    assert made.segment == [0] * prefix + [2] * first + [3] * second + [4] * shared + [5] * third
    starts = [range(prefix), *(range(prefix, prefix + count) for count in (first, second, shared, third))]
    assert made.position == [place for places in starts for place in places]
    assert made.jina == [0, *tokenizers.jina.encode("".join(s.text for s in SEGMENTS)), 2]
    assert made.jina_shared == [0, *tokenizers.jina.encode("chibi\nbeach"), 2]


def test_a_whole_prompt_belongs_to_nobody(tokenizers):
    made = tokens.tokenize(SEGMENTS, False, tokenizers)
    assert made.ids == [2, *tokenizers.gemma.encode("".join(s.text for s in SEGMENTS))]
    assert made.owner == made.segment == [0] * len(made.ids)
    assert made.position == list(range(len(made.ids)))


def test_encoder_rules():
    """Prefix of two, a piece of two, a piece of one, one of padding."""
    rules = encoder_rules(torch.tensor([[0, 0, 2, 2, 3, PADDING]]))[0].int().tolist()
    assert rules == [
        [1, 0, 0, 0, 0, 0],
        [1, 1, 0, 0, 0, 0],
        [1, 1, 1, 0, 0, 0],
        [1, 1, 1, 1, 0, 0],
        [1, 1, 0, 0, 1, 0],
        [1, 1, 0, 0, 0, 0],
    ]


@pytest.mark.parametrize(
    ("rows", "length", "expected"),
    [([[1, 2], [3]], 3, [[1, 2, 7], [3, 7, 7]]), ([[1, 2, 3]], 2, [[1, 2]]), ([[]], 2, [[7, 7]])],
)
def test_padded(rows, length, expected):
    assert tokens.padded(rows, length, 7) == expected


@pytest.mark.parametrize("name", ["gemma", "jina"])
def test_vocabularies(tokenizers, name):
    processor = getattr(tokenizers, name)
    assert processor.get_piece_size() == config.VOCABULARY
    for text in ("<character_4>", "</general_tags>", "<bbox>", "475,", "1000]"):
        assert len(processor.encode(text)) == 1, text
    specials = {"gemma": (0, 1, 2, 3), "jina": (1, 2, 0, 3)}[name]
    assert (processor.pad_id(), processor.eos_id(), processor.bos_id(), processor.unk_id()) == specials
    assert processor.unk_id() not in processor.encode("初音 miku ünknown")


@pytest.mark.parametrize(
    "group", [*dataset.GROUPS, *dataset.WIDE_GROUPS],
    ids=lambda g: f"{'wide' if g.world is WIDE else 'plain'}-{g.size[0]}x{g.size[1]}-{g.people[0]}",
)
def test_every_prompt_fits_its_group(group, tokenizers):
    """Nothing is cut off, the template form too long for its group having been said as XML."""
    rng = random.Random(3)
    for _ in range(40):
        picture = dataset.sample(group, rng)
        for variant in range(len(dataset.VARIANTS)):
            _, made = dataset.prompt_tokens(picture, variant, group, rng, tokenizers)
            assert len(made.ids) <= group.length
            assert max(len(made.jina), len(made.jina_shared)) <= group.jina_length
            assert (max(made.owner) > 0) == (variant < dataset.ISOLATED)
            if variant < dataset.ISOLATED:  # an isolated prompt states its boxes
                pieces = [tokenizers.gemma.id_to_piece(token) for token in made.ids]
                assert sum(piece.endswith("<bbox>") for piece in pieces) == len(picture.figures)
