"""Stage 2: a LoRA for one character."""

from __future__ import annotations

from dataclasses import replace

import folder_paths
from comfy_api.latest import io

from ..xml_prompt import Lora, Scene, to_xml
from .common import CATEGORY, SceneSocket, checked, scene_outputs

EVERYONE = 0


def with_lora(scene: Scene, character: int, lora: Lora) -> Scene:
    """character: by its place in the prompt, from 1; EVERYONE: the whole picture. Raises ValueError."""
    if character == EVERYONE:
        return replace(scene, loras=(*scene.loras, lora))
    if character > len(scene.characters):
        raise ValueError(
            f"character is {character}, but the scene has {len(scene.characters)}: choose one of them, or "
            f"{EVERYONE} for the whole picture."
        )
    people = list(scene.characters)
    chosen = people[character - 1]
    people[character - 1] = replace(chosen, loras=(*chosen.loras, lora))
    return replace(scene, characters=tuple(people))


def strength(name: str, of: str) -> io.Float.Input:
    return io.Float.Input(
        name, default=1.0, min=-10.0, max=10.0, step=0.05, tooltip=f"How strongly the LoRA acts on {of}. 0: not at all."
    )


class NewBieCharacterLoRA(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="NewBieCharacterLoRA",
            display_name="NewBie Character LoRA",
            category=CATEGORY,
            description="Applies a LoRA to one character alone.",
            search_aliases=["lora", "character lora", "regional lora", "lora for one character", "load lora"],
            inputs=[
                SceneSocket.Input("scene", tooltip="The scene from a prompt node, or from another of these nodes."),
                io.Int.Input(
                    "character", default=1, min=EVERYONE, max=99,
                    tooltip="Which character, in the prompt's order from 1. 0: the whole picture.",
                ),
                io.Combo.Input(
                    "lora", options=folder_paths.get_filename_list("loras"), tooltip="A file in models/loras."
                ),
                strength("strength_model", "the picture"),
                strength("strength_text", "how the character's text is read, if it has layers for that"),
            ],
            outputs=scene_outputs(id="scene_with_lora", scene="The scene with the LoRA."),
        )

    @classmethod
    @checked
    def execute(
        cls, scene: Scene, character: int, lora: str, strength_model: float, strength_text: float
    ) -> io.NodeOutput:
        added = Lora(lora, strength_model, None if strength_text == strength_model else strength_text)
        done = with_lora(scene, character, added)
        return io.NodeOutput(done, to_xml(done))
