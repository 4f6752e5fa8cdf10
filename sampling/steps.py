"""How far a run has come, in whole steps: what guidance and isolation for a part of the steps both go by.

A sampler may call the model several times in one step (heun, dpm_2, seeds_3 ...), and the last of these calls may be at
the very noise at which the next step begins. So the noise alone doesn't tell the step, only the sampler's own order of
calls does: our guider rehearses the sampler before the run and then knows the step of every call. Under another guider
the sampler is out of reach; then the noise tells the step, and whether calls come in pairs is learned on the way.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from ..sentences import log

STEPS = "newbie_steps"  # of the host's transformer options: the Steps of this run
WHOLE = (0.0, 1.0)  # an interval that holds every step
GUIDANCE_END = 0.75  # at 7.5 to the end, the built-in model loses three points of its attributes (mini/README.md)

Call = tuple[float, float]  # sigma, the fraction of the steps behind it


def check_interval(start: float, end: float, names: tuple[str, str] = ("guidance_start", "guidance_end")) -> None:
    """Raises ValueError for fractions of the steps that hold none."""
    if not 0 <= start < end <= 1:
        raise ValueError(
            f"{names[0]} {start:g} and {names[1]} {end:g} leave no steps between them: choose a start from 0 to 1 "
            "and a larger end."
        )


def same(sigma: float, other: float) -> bool:
    """Up to what float32 and a way there and back through a logarithm make of it."""
    return math.isclose(sigma, other, rel_tol=1e-5)


class Steps:
    """The steps of one run, told call by call. A step begins with its first call and holds to its last."""

    def __init__(self, sigmas: Tensor, rehearsal: Callable[[], list[Call]] = list) -> None:
        """sigmas: [steps + 1], those of the run. rehearsal: -> its calls, none where they can't be known."""
        self.sigmas = sigmas.tolist()
        self.rehearsal = rehearsal
        self.calls: Iterator[Call] | None = None
        self.behind = 0.0  # the fraction of the steps that lies behind the present call
        self.asked: Tensor | None = None
        self.step = 0
        self.paired = False  # the model is called at the end of a step, and again as the next begins
        self.ended = True  # a call at the present noise has ended the step before

    def call(self, timestep: Tensor) -> float:
        """Told before every call of the model, with its sigmas [B]; the same tensor again is the same call."""
        if timestep is not self.asked:
            self.asked = timestep
            self.behind = self.next(float(timestep.max()))
        return self.behind

    def next(self, sigma: float) -> float:
        if self.calls is None:  # the first call that anybody asks about
            calls = self.rehearsal()
            self.calls, self.rehearsed = iter(calls), bool(calls)
        for known, behind in self.calls:
            if same(known, sigma):
                return behind
        if not self.rehearsed:
            self.step = self.by_noise(sigma)
        elif self.ended:  # other calls than rehearsed: an adaptive sampler, which reports a step when it has done it
            self.step, self.ended = self.reached(sigma), False
        return self.step / (len(self.sigmas) - 1)

    def report(self) -> None:
        """Told when the sampler reports a step."""
        self.ended = True

    def reached(self, sigma: float) -> int:
        """The step in which the noise falls to sigma, or that begins with it."""
        return max(sum(one > sigma or same(one, sigma) for one in self.sigmas[:-1]) - 1, 0)

    def by_noise(self, sigma: float) -> int:
        reached = max(self.reached(sigma), self.step)
        if not same(self.sigmas[reached], sigma) or reached == 0:
            return reached
        if reached == self.step:
            self.paired = True
        elif self.paired and self.ended:
            self.ended = False
            return self.step
        self.ended = True
        return reached


def progress(options: dict[str, Any], timestep: Tensor | None) -> float:
    """The fraction of this run's steps that lies behind; 0 in the first step. To be asked in every call of the model.

    options: the host's transformer_options of the run, with sample_sigmas. timestep: [B], the sigmas of the call.
    """
    if STEPS not in options:
        sigmas = options.get("sample_sigmas")
        if sigmas is None or timestep is None or len(sigmas) < 2:
            return 0.0
        options[STEPS] = Steps(sigmas)
    return options[STEPS].call(timestep)


class Rehearsal:
    """Stands in for a guider: notes when the sampler calls the model, and when it reports a step."""

    def __init__(self, guider: Any) -> None:
        self.guider = guider
        self.sigmas: list[float] = []
        self.begun: list[int] = []  # for every step reported, its first call

    def __getattr__(self, name: str) -> Any:
        return getattr(self.guider, name)

    def __call__(self, x: Tensor, timestep: Tensor, model_options: dict[str, Any], seed: int | None = None) -> Tensor:
        self.sigmas.append(float(timestep.max()))
        denoised = 0.5 * x
        for function in model_options.get("sampler_post_cfg_function", ()):  # the cfg_pp samplers take it from there
            denoised = function({"denoised": denoised, "cond_denoised": denoised, "uncond_denoised": denoised})
        return denoised

    def report(self, *_: Any) -> None:
        self.begun.append(len(self.sigmas) - 1)


def rehearse(sampler: Any, guider: Any, sigmas: Tensor, batch: int, seed: int | None) -> list[Call]:
    """The calls that the host's sampler will make in this run; none where it can't be rehearsed.

    The sampler's own code on a latent of one number a picture: milliseconds on the CPU.
    """
    noted, still = Rehearsal(guider), torch.zeros(batch, 1, 1, 1)
    options = {"model_options": {"transformer_options": {}}, "seed": seed}
    try:
        with torch.random.fork_rng(devices=[]):
            sampler.sample(noted, sigmas.cpu(), options, noted.report, still, still, None, True)
    except Exception as problem:  # other packs' samplers may want a real picture
        log.debug("NewBie: this sampler can't be rehearsed (%s); its steps are inferred from the noise.", problem)
        return []
    if not noted.begun:
        return []
    steps = [sum(begun <= call for begun in noted.begun[1:]) for call in range(len(noted.sigmas))]
    return [(sigma, step / len(noted.begun)) for sigma, step in zip(noted.sigmas, steps, strict=True)]
