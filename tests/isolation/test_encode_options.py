"""What the options of Encode Characters change, and that nothing changes where they are neutral."""

from __future__ import annotations

import math
from dataclasses import fields

import pytest
from host_import import NO_HOST

pytest.importorskip("comfy.options", reason=NO_HOST)

import comfy.hooks
import torch
from conditionings import entry, plan_of
from newbie_pack.isolation.encode import encode, encode_negative, segments_of
from newbie_pack.isolation.gemma_text import SPACE, token_bytes, tokens_of
from newbie_pack.isolation.plan import CLOSED, GENTLE, OFF, OPEN, STRICT, Options, check_for_clip_text, settled
from newbie_pack.nodes.encode import NewBieEncodeCharacters, NewBieIsolationOptions
from newbie_pack.nodes.masks import masks_of, with_mask_boxes
from newbie_pack.xml_prompt import layout, parse, render_xml, text_of
from plans import genders_named

SCENE = parse(
    "<character_1><n>miku</n><gender>1girl</gender></character_1>"
    "<character_2><n>kaito</n><gender>1boy</gender><negative>scarf, girl</negative></character_2>"
    "<general_tags><count>1girl, 1boy</count></general_tags><interaction>handshake</interaction>"
)
BOXES = layout(SCENE)


@pytest.fixture
def clip(mini):
    return mini[1]


def test_every_leak_opens_and_closes_its_own_way(clip):
    strict, gentle = (encode(clip, SCENE, BOXES, mode) for mode in (STRICT, GENTLE))

    def features(mode, **options):
        return encode(clip, SCENE, BOXES, mode, Options(**options))[0]

    assert torch.equal(features(STRICT, encoder=OPEN)[0], gentle[0][0])
    assert torch.equal(features(GENTLE, encoder=CLOSED)[0], strict[0][0])
    shared = text_of(segment for segment in render_xml(SCENE, BOXES) if segment.owner == 0)
    pooled = clip.encode_from_tokens(tokens_of(clip, shared), return_dict=True)["pooled_output"]
    assert torch.equal(features(STRICT, pooled=CLOSED)[1]["pooled_output"], pooled)
    assert not torch.equal(strict[0][1]["pooled_output"], pooled)
    opened = plan_of(encode(clip, SCENE, BOXES, STRICT, Options(joint_layers=OPEN, context_refiner=OPEN)))
    assert (opened.joint, opened.refiner) == (False, False) and opened.neutral
    closed = plan_of(encode(clip, SCENE, BOXES, GENTLE, Options(context_refiner=CLOSED)))
    assert (closed.joint, closed.refiner) == (True, True)


@pytest.mark.parametrize("mode", [STRICT, GENTLE])
@pytest.mark.parametrize("options", [Options(start=1.0), Options(start=0.3, end=0.2)])
def test_a_start_behind_the_end_is_said(options, mode):
    with pytest.raises(ValueError, match="leave no steps between them"):
        settled(options, mode)


def test_numbers_reach_the_plan(clip):
    options = Options(strength=0.9, start=0.1, end=0.8, soft_edge=0.05)
    plan = plan_of(encode(clip, SCENE, BOXES, STRICT, options))
    assert plan.options == settled(options, STRICT)


@pytest.mark.parametrize("mode", [STRICT, GENTLE])
def test_words_of_gender_are_found_among_the_tokens(clip, mode):
    plan = plan_of(encode(clip, SCENE, BOXES, mode, Options(gender_strength=1.0)))
    assert plan.genders == ("girl", "boy") and plan.masks_genders
    segments = segments_of(SCENE, BOXES, mode == STRICT)
    texts = [text_of(segments)] if mode == GENTLE else [segment.text for segment in segments]
    pieces = token_bytes(clip, [t for text in texts for t, _ in tokens_of(clip, text)["gemma"][0][1:]])
    named = {"girl": "", "boy": ""}
    for piece, gender in zip(pieces, genders_named(plan)[1:], strict=True):
        if gender:
            named[gender] += piece.decode()
    assert named["girl"].replace(SPACE, "").count("girl") == named["boy"].count("boy") == 2  # the field and the count
    assert not any(genders_named(plan_of(encode(clip, SCENE, BOXES, mode))))


def test_negatives_keep_their_words_of_gender(clip):
    plan = plan_of(encode_negative(clip, SCENE, BOXES, STRICT, "", Options(gender_strength=1.0)))
    assert not plan.masks_genders


def test_a_mask_is_the_region_and_its_box_is_in_the_text(clip):
    masks = torch.zeros(2, 100, 50)
    masks[0, 20:60, 10:20] = 1  # the second stays empty
    painted = masks_of(masks, 2)
    scene = with_mask_boxes(SCENE, painted)
    boxes = layout(scene)
    first = boxes[0]
    assert (first.left, first.top, first.right, first.bottom) == (200, 200, 400, 600)
    plan = plan_of(encode(clip, scene, boxes, STRICT, masks=painted))
    assert plan.regions[0][0] is painted[0]
    assert plan.regions[0][1:] == plan.regions[1][1:] != ()  # the gap between them, for the handshake
    (mine,) = (node for node in [NewBieEncodeCharacters.execute(clip, SCENE, STRICT, "", masks=masks)])
    assert torch.equal(mine.args[0][0][0], encode(clip, scene, boxes, STRICT)[0][0])
    assert torch.equal(plan_of(mine.args[0]).regions[0][0], painted[0])


def test_without_isolation_a_mask_changes_nothing(clip):
    """Off is the prompt as written, and the box around a mask is not."""
    masks = torch.zeros(2, 100, 50)
    masks[0, 20:60, 10:20] = 1
    with_masks, without = (NewBieEncodeCharacters.execute(clip, SCENE, OFF, "", masks=m).args[0] for m in (masks, None))
    assert torch.equal(entry(with_masks)[0], entry(without)[0])


def test_a_faint_mask_is_refused():
    masks = torch.zeros(2, 8, 8)
    masks[1, 2, 2] = 0.4
    with pytest.raises(ValueError, match="Mask 2 is too faint"):
        masks_of(masks, 2)


@pytest.mark.parametrize("mode", [STRICT, GENTLE])
def test_a_schedule_on_the_encoder_is_refused(clip, mode):
    scheduled = clip.clone()
    scheduled.use_clip_schedule = True
    scheduled.patcher.forced_hooks = comfy.hooks.HookGroup()
    with pytest.raises(ValueError, match="can't follow a schedule on the text encoder: turn schedule_clip"):
        encode(scheduled, SCENE, BOXES, mode)


def test_a_checkpoint_without_text_encoders_is_said():
    with pytest.raises(ValueError, match="clip is empty: connect the CLIP"):
        NewBieEncodeCharacters.execute(None, SCENE, GENTLE, "")


def test_too_many_masks_are_refused():
    with pytest.raises(ValueError, match="3 masks for 2 characters"):
        masks_of(torch.ones(3, 8, 8), 2)
    assert masks_of(None, 2) == ()


def test_the_options_node_is_neutral_as_it_stands_and_refuses_what_it_cannot_be():
    defaults = {item.id: item.default for item in NewBieIsolationOptions.define_schema().inputs}
    assert NewBieIsolationOptions.execute(**defaults).result == (Options(),)
    assert {field.name for field in fields(Options)} == set(defaults)
    for wrong in ({"strength": math.nan}, {"soft_edge": 2.0}, {"pooled": "ajar"}, {"start": 0.6, "end": 0.6}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            NewBieIsolationOptions.execute(**{**defaults, **wrong})


def test_something_else_than_options_is_refused(clip):
    with pytest.raises(ValueError, match="connect NewBie Isolation Options, or nothing"):
        NewBieEncodeCharacters.execute(clip=clip, scene=SCENE, mode=GENTLE, negative="", isolation={"strength": 1})


def test_what_chunks_cannot_obey_is_said():
    check_for_clip_text(Options(joint_layers=OPEN, strength=0.5))
    with pytest.raises(ValueError, match="encoder and pooled can't be changed"):
        check_for_clip_text(Options(encoder=OPEN, pooled=CLOSED))
    with pytest.raises(ValueError, match="apart works only with NewBie and Lumina 2"):
        check_for_clip_text(Options(apart=0.1))
