"""Stage 4 in parts: NewBie Sample's sampler, for SamplerCustomAdvanced and other packs' samplers."""

from __future__ import annotations

from comfy_api.latest import io

from ..sampling.samplers import WITH_ETA, check_eta, sampler_for, samplers
from ..sentences import loggable
from .common import CATEGORY
from .inputs import checked, problem_of


def sampler_input() -> io.Combo.Input:
    return io.Combo.Input(
        "sampler",
        options=samplers(),
        default="euler_ancestral",
        tooltip="euler_ancestral uses eta; with eta 0 it is euler. cfg_pp samplers need guidance 1-2 and always run "
        "both passes.",
    )


def eta_input() -> io.Float.Input:
    return io.Float.Input(
        "eta",
        default=0.3,
        min=0.0,
        max=1.0,
        step=0.05,
        round=0.01,
        tooltip="How much fresh noise each step adds. 0 (neutral): none, the same picture every time. Only samplers "
        "with ancestral, sde or seeds in their name use it.",
    )


def s_noise_input() -> io.Float.Input:
    return io.Float.Input(
        "s_noise",
        default=1.0,
        min=0.0,
        max=2.0,
        step=0.01,
        round=0.001,
        optional=True,  # graphs saved before it was here stay valid
        advanced=True,
        tooltip="Scales the noise that eta adds: less smooths, more gives texture. 1 is neutral.",
    )


def problem_of_eta(sampler: object, eta: object) -> bool | str:
    """What validate_inputs answers: a sentence where eta would be ignored, before anything runs.

    A linked input is None here, and is looked at when the node runs. That eta is no number, the host says by itself.
    """
    if not isinstance(eta, int | float | None):
        return True
    for item, value in ((sampler_input(), sampler), (eta_input(), eta)):
        if value is not None and (problem := problem_of(value, item)):
            return loggable(f"{item.id} {problem}")
    try:
        check_eta(sampler or WITH_ETA[0], eta or 0.0)
    except ValueError as problem:
        return str(problem)
    return True


class NewBieSampler(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="NewBieSampler",
            display_name="NewBie Sampler",
            category=CATEGORY,
            description="NewBie Sample's sampler as a SAMPLER: one of ComfyUI's, with eta and s_noise.",
            search_aliases=["sampler select", "ksampler select", "euler ancestral", "eta"],
            inputs=[sampler_input(), eta_input(), s_noise_input()],
            outputs=[io.Sampler.Output()],
        )

    @classmethod
    def validate_inputs(cls, sampler: str | None, eta: float | None) -> bool | str:
        return problem_of_eta(sampler, eta)

    @classmethod
    @checked
    def execute(cls, sampler: str, eta: float, s_noise: float = 1.0) -> io.NodeOutput:
        return io.NodeOutput(sampler_for(sampler, eta, s_noise))
