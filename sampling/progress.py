"""How far a run has come: what guidance for a part of the steps and isolation for a part of them both go by."""

from __future__ import annotations

from typing import Any


def progress(options: dict[str, Any]) -> float:
    """The fraction of this run's steps that lies behind: 0 in the first step. Source: the host's sample_sigmas.

    options: the host's transformer_options, with sample_sigmas [steps + 1] of the run and sigmas [B] of the pass.
    """
    sigmas, sigma = options.get("sample_sigmas"), options.get("sigmas")
    if sigmas is None or sigma is None or len(sigmas) < 2:
        return 0.0
    return float((sigmas > sigma.max().to(sigmas) * (1 + 1e-6)).sum()) / (len(sigmas) - 1)
