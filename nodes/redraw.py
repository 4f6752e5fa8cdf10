"""Stage 6: one character of a finished picture drawn anew."""

from __future__ import annotations

from typing import Any

from comfy.model_patcher import ModelPatcher
from comfy.sd import VAE
from comfy_api.latest import io
from torch import Tensor
from torch.nn.functional import interpolate, pad

from ..isolation.plan import PIXELS, fractions
from ..sampling.decode import decode
from ..sampling.redraw import noise_mask, put_back, region_of, share_of
from ..sampling.sample import sample
from ..xml_prompt import Scene, layout, regions
from .common import CATEGORY, SceneSocket, checked, eta_input, guidance_end_input, guidance_input
from .masks import inside, masks_of


def masks_for(scene: Scene, masks: Tensor | None, height: int, width: int) -> list[Tensor]:
    """[H, W] for each character: a mask, or the box of the layout where it is empty or missing. Raises ValueError."""
    where = fractions(regions(scene, layout(scene, width / height)))
    found = [inside(one[:1], height, width) for one in where]
    for number, mask in enumerate(masks_of(masks, len(found))):
        if mask is not None:
            found[number] = interpolate(mask[None, None].float().cpu(), (height, width), mode="bilinear")[0, 0]
    return found


def picture_of(vae: VAE, image: Tensor | None, latent: dict[str, Any] | None) -> tuple[Tensor, dict[str, Any]]:
    """The picture [B, H, W, 3] and its latent, of whole cells: beyond the picture's edge its last pixels go on.

    Raises ValueError.
    """
    if image is None and latent is None:
        raise ValueError("No picture is connected: connect its image, or the latent that it was decoded from.")
    if image is None:
        return decode(vae, latent["samples"]), latent
    old = image[..., :3].expand(-1, -1, -1, 3)
    height, width = old.shape[1:3]
    cells = -(-height // PIXELS), -(-width // PIXELS)
    if latent is None:
        beyond = (0, cells[1] * PIXELS - width, 0, cells[0] * PIXELS - height)
        whole = pad(old.movedim(-1, 1), beyond, mode="replicate").movedim(1, -1)
        return old, {"samples": vae.encode(whole)}
    if latent["samples"].shape[-2:] != cells or len(latent["samples"]) != len(old):
        raise ValueError("image and latent belong to different pictures: connect a matching pair, or only one.")
    return old, latent


class NewBieRedrawCharacter(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="NewBieRedrawCharacter",
            display_name="NewBie Redraw Character",
            category=CATEGORY,
            description="Redraws one character of a picture. Everything else stays the same, bit for bit.",
            search_aliases=["redraw", "inpaint", "character", "fix one character", "replace character"],
            inputs=[
                io.Model.Input("model", tooltip="The model, from NewBie Loader."),
                io.Vae.Input("vae", tooltip="The VAE, from NewBie Loader."),
                io.Conditioning.Input("positive", tooltip="The prompt, including what should be different."),
                io.Conditioning.Input("negative", tooltip="What to avoid."),
                SceneSocket.Input("scene", tooltip="The picture's own scene, which says where the characters are."),
                io.Int.Input(
                    "character", default=1, min=1, max=99, tooltip="The character to redraw, in the prompt's order."
                ),
                io.Int.Input(
                    "seed", default=0, min=0, max=0xFFFFFFFFFFFFFFFF, control_after_generate=True,
                    tooltip="A different seed draws the character differently.",
                ),
                io.Int.Input(
                    "steps", default=28, min=1, max=1000, tooltip="More steps give finer detail but take longer."
                ),
                guidance_input(),
                eta_input(),
                guidance_end_input(),
                io.Float.Input(
                    "denoise", default=1.0, min=0.0, max=1.0, step=0.01,
                    tooltip="How much of the character is redrawn. 1: everything; lower values keep more of the old "
                    "one.",
                ),
                io.Float.Input(
                    "margin", default=0.04, min=0.0, max=0.5, step=0.01, advanced=True,
                    tooltip="How far around the character the picture may change, as a fraction of its shorter side. "
                    "The new picture fades into the old one there. 0 (neutral): not at all.",
                ),
                io.Image.Input("image", optional=True, tooltip="The picture. Unconnected: the latent is decoded."),
                io.Latent.Input(
                    "latent", optional=True, tooltip="The latent of the picture. Unconnected: the image is encoded."
                ),
                io.Mask.Input(
                    "masks", optional=True,
                    tooltip="From NewBie Character Masks: silhouettes instead of boxes, one per character. A "
                    "character whose mask is empty or missing keeps its box.",
                ),
            ],
            outputs=[
                io.Image.Output("redrawn", display_name="image"),
                io.Latent.Output("redrawn_latent", display_name="latent"),
                io.Mask.Output("changed", display_name="mask", tooltip="Where the picture may have changed."),
            ],
        )

    @classmethod
    @checked
    def execute(
        cls, model: ModelPatcher, vae: VAE, positive: list, negative: list, scene: Scene, character: int,
        margin: float = 0.04, image: Tensor | None = None, latent: dict[str, Any] | None = None,
        masks: Tensor | None = None, **settings: Any,
    ) -> io.NodeOutput:
        if character > len(scene.characters):
            raise ValueError(f"character is {character}, but the scene has {len(scene.characters)}: choose another.")
        old, latent = picture_of(vae, image, latent)
        height, width = old.shape[1:3]
        pixels = round(margin * min(height, width))
        region = region_of(masks_for(scene, masks, height, width), character - 1, pixels)
        drawn = sample(model, positive, negative, {**latent, "noise_mask": noise_mask(region)}, **settings)
        kept = {key: value for key, value in drawn.items() if key != "noise_mask"}
        new = decode(vae, drawn["samples"])[:, :height, :width]
        return io.NodeOutput(put_back(old, new, share_of(region, pixels)), kept, region[None])
