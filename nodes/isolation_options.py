"""Stage 3: how strictly characters are kept apart, for those who want to know."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io

from ..isolation.options import BY_MODE, LEAKS, Options
from ..sampling.steps import check_interval
from .common import CATEGORY, OptionsSocket
from .inputs import checked


def share(name: str, default: float, tooltip: str) -> io.Float.Input:
    return io.Float.Input(name, default=default, min=0.0, max=1.0, step=0.01, tooltip=tooltip)


def way(name: str, tooltip: str) -> io.Combo.Input:
    """From one character to another, to be closed or opened by itself."""
    return io.Combo.Input(
        name, options=list(LEAKS), default=BY_MODE, advanced=True, tooltip=f"{tooltip} Neutral: *{BY_MODE}*."
    )


class NewBieIsolationOptions(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="NewBieIsolationOptions",
            display_name="NewBie Isolation Options",
            category=CATEGORY,
            description="How strictly NewBie Encode Characters keeps characters apart. All defaults are neutral.",
            search_aliases=["isolation strength", "soft edge", "gender", "swapped negative", "bleed"],
            inputs=[
                share("strength", 1.0, "How strictly characters are separated: 1 (neutral) fully, 0.9 lets 10 % "
                      "through."),
                share("start", 0.0, "Where isolation begins, as a fraction of the steps. 0 (neutral): with the first."),
                share("end", 1.0, "Where isolation ends, as a fraction of the steps. 1 (neutral): with the last."),
                share("soft_edge", 0.0, "Lets each box fade out beyond its edge, by this fraction of the picture's "
                      "shorter side. 0 (neutral): hard edges."),
                share("gender_strength", 0.0, "Hides words of the other gender inside a character's box: 0 (neutral) "
                      "not at all, 1 completely."),
                share("apart", 0.0, "Keeps a character's part of the picture from copying unstated details from "
                      "another's: 0 (neutral) not at all, 0.9 almost fully. At 1 the boxes' edges can show. Not for SD "
                      "checkpoints."),
                share("swapped", 0.0, "Share of the negative made of this prompt with its characters swapped, to "
                      "discourage mix-ups. 0 (neutral) is off; at 0.25 a guided step takes 1.5 times as long."),
                way("encoder", "closed: each character's text is encoded on its own. open: the whole prompt at once."),
                way("joint_layers", "closed: a character's text and its part of the picture do not see anyone else's."),
                way("context_refiner", "closed: the model's text layers are isolated, too."),
                way("pooled", "closed: the summary of the prompt is made from the shared text alone."),
            ],
            outputs=[OptionsSocket.Output(display_name="isolation")],
        )

    @classmethod
    @checked
    def execute(cls, **options: Any) -> io.NodeOutput:
        check_interval(options["start"], options["end"], ("start", "end"))
        return io.NodeOutput(Options(**options))
