"""How far a picture decoded in tiles is from the same picture decoded whole, and what each takes.

    ./run bench decode                          the built-in model's autoencoder
    ./run bench decode --flux --latent 128      and FLUX's; on a GPU, or it takes long

FLUX's autoencoder has random weights here (--width 128 is its full size), so its pictures are noise. They are harder on
tiles than real ones may be: its group norms and its attention look at everything a tile shows.
"""

from __future__ import annotations

import argparse
import json
import logging
import time
from collections.abc import Callable
from typing import Any

from .host import add_host

BOUND = 2.0  # of 255, on average


def flux(width: int) -> Any:
    """The host's VAE around a decoder of FLUX's shape with weights as torch initialises them."""
    import torch
    from comfy.ldm.modules.diffusionmodules.model import Decoder
    from comfy.sd import VAE

    torch.manual_seed(0)
    shape = {"z_channels": 16, "ch": width, "ch_mult": [1, 2, 4, 4], "num_res_blocks": 2, "attn_resolutions": []}
    decoder = Decoder(**shape, resolution=256, in_channels=3, out_ch=3, dropout=0.0)
    for module in decoder.modules():
        for kind in (torch.nn.Conv2d, torch.nn.GroupNorm):
            if isinstance(module, kind):
                kind.reset_parameters(module)  # the host's own layers leave it out
    logging.disable(logging.WARNING)  # the encoder is missing, and not needed
    vae = VAE(sd={f"decoder.{name}": tensor for name, tensor in decoder.state_dict().items()})
    logging.disable(logging.NOTSET)
    return vae


def timed(work: Callable[[], Any]) -> tuple[Any, float]:
    begin = time.perf_counter()
    made = work().float().cpu()
    return made, time.perf_counter() - begin


def rows(name: str, vae: Any, side: int, least: int) -> list[dict[str, Any]]:
    import torch

    from ...sampling import decode as decoding

    latent = torch.randn(1, 16, side, side, generator=torch.Generator().manual_seed(0))
    whole, seconds = timed(lambda: vae.decode(latent))
    found = [{"vae": name, "latent": side, "tile": None, "mean": 0.0, "most": 0.0, "seconds": round(seconds, 2)}]
    for tile in decoding.tiles_for(tuple(latent.shape)):
        if tile < least:
            continue
        tiled, seconds = timed(
            lambda tile=tile: vae.decode_tiled(latent, tile_x=tile, tile_y=tile, overlap=tile // decoding.OVERLAP)
        )
        away = 255 * (tiled - whole).abs()
        figures = {"mean": round(away.mean().item(), 3), "most": round(away.max().item(), 1)}
        found.append({"vae": name, "latent": side, "tile": tile, **figures, "seconds": round(seconds, 2)})
    return found


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="./run bench decode", description=__doc__.splitlines()[0])
    parser.add_argument("--latent", type=int, default=64, help="side of the latent; 8 times as many pixels")
    parser.add_argument("--least", type=int, default=0, help="leave out smaller tiles")
    parser.add_argument("--flux", action="store_true", help="FLUX's autoencoder with random weights too")
    parser.add_argument("--width", type=int, default=128, help="of FLUX's first layer")
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    options = parser.parse_args(arguments)
    add_host()
    from ...model_loader import mini

    vaes = {"mini": mini.load_vae}
    if options.flux:
        vaes[f"flux {options.width}"] = lambda: flux(options.width)
    over = False
    if not options.json:
        print(f"{'':10}{'latent':>8}{'tile':>8}{'mean':>9}{'most':>9}{'seconds':>9}")
    for name, load in vaes.items():
        for row in rows(name, load(), options.latent, options.least):
            over = over or row["mean"] > BOUND
            if options.json:
                print(json.dumps(row), flush=True)
            else:
                said = {**row, "tile": row["tile"] or "whole"}
                print("{vae:10}{latent:>8}{tile:>8}{mean:>9.3f}{most:>9.1f}{seconds:>9.2f}".format(**said), flush=True)
    return 1 if over else 0
