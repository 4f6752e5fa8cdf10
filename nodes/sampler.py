"""Stage 4 in parts: NewBie Sample's sampler, for SamplerCustomAdvanced and other packs' samplers."""

from __future__ import annotations

from comfy_api.latest import io

from ..sampling.samplers import check_eta, sampler_for, samplers
from .common import CUSTOM, checked, eta_input, problem_of, s_noise_input, sampler_input


class NewBieSampler(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="NewBieSampler",
            display_name="NewBie Sampler (custom)",
            category=CUSTOM,
            description="NewBie Sample's sampler as a SAMPLER: one of ComfyUI's, with eta and s_noise.",
            search_aliases=["sampler select", "ksampler select", "euler ancestral", "eta"],
            inputs=[sampler_input(samplers()), eta_input(), s_noise_input()],
            outputs=[io.Sampler.Output()],
        )

    @classmethod
    def validate_inputs(cls, sampler: str | None, eta: float | None) -> bool | str:
        return problem_of(lambda: check_eta(sampler, eta))

    @classmethod
    @checked
    def execute(cls, sampler: str, eta: float, s_noise: float = 1.0) -> io.NodeOutput:
        return io.NodeOutput(sampler_for(sampler, eta, s_noise))
