"""A list of seeds: the host runs whatever is behind it once for each, so that every picture is the one drawn alone."""

from __future__ import annotations

from comfy_api.latest import io

from .common import CATEGORY, checked

SEEDS = 2**64


class NewBieSeeds(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="NewBieSeeds",
            display_name="NewBie Seeds",
            category=CATEGORY,
            description="Several seeds for one seed input: the nodes after it run once for each seed.",
            search_aliases=["seed list", "contact sheet", "several seeds", "variations"],
            inputs=[
                io.Int.Input(
                    "seed", default=0, min=0, max=SEEDS - 1, control_after_generate=True,
                    tooltip="The first seed; each further one is 1 higher.",
                ),
                io.Int.Input("count", default=4, min=1, max=100, tooltip="How many pictures. 1 is neutral."),
            ],
            outputs=[io.Int.Output("seeds", is_output_list=True)],
        )

    @classmethod
    @checked
    def execute(cls, seed: int, count: int) -> io.NodeOutput:
        return io.NodeOutput([(seed + i) % SEEDS for i in range(count)])
