"""The mini's latents: scaled as FLUX's, with colours of their own for the host's quick previews."""

from __future__ import annotations

from comfy.latent_formats import Flux

# Least squares from latents to colours in -1..1 on drawn pictures; tests/lab/test_previews.py refits them.
FACTORS = (
    (0.022, 0.003, -0.070),
    (-0.018, 0.035, -0.045),
    (-0.089, 0.007, -0.117),
    (-0.176, -0.187, -0.294),
    (0.107, -0.089, 0.020),
    (0.002, -0.150, -0.053),
    (0.142, 0.097, 0.083),
    (0.106, 0.115, -0.120),
    (0.052, 0.229, 0.183),
    (-0.003, -0.007, 0.086),
    (-0.187, -0.117, -0.221),
    (-0.047, -0.097, -0.087),
    (-0.141, -0.006, 0.062),
    (-0.162, -0.006, -0.211),
    (0.009, -0.084, -0.079),
    (-0.082, 0.016, -0.107),
)
BIAS = (0.164, 0.172, 0.167)


class MiniLatents(Flux):
    def __init__(self) -> None:
        super().__init__()
        self.latent_rgb_factors = [list(row) for row in FACTORS]
        self.latent_rgb_factors_bias = list(BIAS)
        self.taesd_decoder_name = None  # FLUX's tiny decoder reads other latents
