"""Whatever attention the host was told to use, isolation comes out the same: none drops the mask."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import nullcontext

import pytest
from host_import import NO_HOST

pytest.importorskip("comfy.options", reason=NO_HOST)

import comfy.ldm.lumina.model as lumina
import torch
from comfy.ldm.modules import attention
from conftest import ROOT
from newbie_pack.isolation.carrier import Pass
from newbie_pack.isolation.nextdit import IsolatedNextDiT
from plans import make_plan
from torch.nn.functional import scaled_dot_product_attention

OWNER = (0,) * 3 + (1,) * 8 + (2,) * 9 + (0,) * 4
PLAN = make_plan(OWNER, (((0.0, 0.0, 0.5, 1.0),), ((0.5, 0.0, 1.0, 1.0),)))
TOLERANCE = {"rtol": 1e-4, "atol": 1e-4}  # float32, two layers, sums in another order


def predicted(network, plan=PLAN):
    """One forward of 10 x 12 latent pixels."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(1, 16, 10, 12, generator=generator)
    context = torch.randn(1, len(OWNER), 48, generator=generator)
    pooled = torch.randn(1, 32, generator=generator)
    isolated = nullcontext({}) if plan is None else IsolatedNextDiT(plan).isolated(Pass(network, x, context, {}))
    with torch.no_grad(), isolated as options:
        return network(
            x, torch.full((1,), 0.7), context, len(OWNER), transformer_options=options, clip_text_pooled=pooled
        )


@pytest.fixture
def network(mini):
    return mini[0].model.diffusion_model


# --- each of the host's functions, the kernels of other packages stood in for ----------------------------------------


def without_masks(calls):
    """A kernel as flash-attn's and older SageAttentions': it has no mask at all."""

    def kernel(q, k, v, tensor_layout="NHD", **_):
        calls.append(q.shape)
        q, k, v = (one if tensor_layout == "HND" else one.transpose(1, 2) for one in (q, k, v))
        out = scaled_dot_product_attention(q, k, v)
        return out if tensor_layout == "HND" else out.transpose(1, 2)

    return kernel


def with_masks(calls):
    """As newer SageAttentions'."""

    def kernel(q, k, v, tensor_layout="NHD", attn_mask=None, **_):
        calls.append(q.shape)
        assert tensor_layout == "HND"
        return scaled_dot_product_attention(q, k, v, attn_mask=attn_mask)

    return kernel


FUNCTIONS = {
    "basic": (attention.attention_basic, {}),
    "sub_quad": (attention.attention_sub_quad, {}),
    "split": (attention.attention_split, {}),
    "flash": (attention.attention_flash, {"flash_attn_func": without_masks}),
    "sage": (attention.attention_sage, {"sageattn": without_masks}),
    "sage_with_masks": (attention.attention_sage, {"sageattn": with_masks}),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_no_function_of_the_hosts_drops_the_mask(network, monkeypatch, name):
    """On NVIDIA in half precision none of them is asked: the fused bias takes the mask's place (isolation/fused.py)."""
    isolated, plain = predicted(network), predicted(network, None)
    function, kernels = FUNCTIONS[name]
    calls: list = []
    for attribute, kernel in kernels.items():
        monkeypatch.setattr(attention, attribute, kernel(calls), raising=False)
    monkeypatch.setattr(attention, "SAGE_ATTENTION_SUPPORTS_MASK", name == "sage_with_masks")
    monkeypatch.setattr(lumina, "optimized_attention_masked", function)
    torch.testing.assert_close(predicted(network, None), plain, **TOLERANCE)
    assert bool(calls) == bool(kernels)  # it is the stand-in that computes what has no mask
    torch.testing.assert_close(predicted(network), isolated, **TOLERANCE)
    assert (isolated - plain).abs().max() > 100 * TOLERANCE["atol"]


# --- the host's command line -----------------------------------------------------------------------------------------

SCRIPT = """
import json, sys
from pathlib import Path
tests, host, weights, out, *flags = sys.argv[1:]
sys.path[:0] = [host, tests, tests + "/isolation"]
sys.argv = ["main.py", "--cpu", *flags]
import comfy.options
comfy.options.enable_args_parsing()
import comfy.cli_args
import conftest, torch
from newbie_pack.model_loader import mini
mini.WEIGHTS = Path(weights)
import comfy.ldm.lumina.model as lumina
import test_attention_flags as ours
torch.save(ours.predicted(mini.load()[0].model.diffusion_model), out)
kernels = [sys.modules[name] for name in ("sageattention", "flash_attn") if name in sys.modules]
print(json.dumps([lumina.optimized_attention_masked.__name__, any(kernel.calls for kernel in kernels)]))
"""

PACKAGES = {  # stand-ins without a mask: the real ones need a GPU
    "--use-flash-attention": ("flash_attn", """
from torch.nn.functional import scaled_dot_product_attention
calls = []
def flash_attn_func(q, k, v, dropout_p=0.0, causal=False, softmax_scale=None):
    calls.append(q.shape)
    q, k, v = (one.transpose(1, 2) for one in (q, k, v))
    return scaled_dot_product_attention(q, k, v, scale=softmax_scale).transpose(1, 2).contiguous()
"""),
    "--use-sage-attention": ("sageattention", """
from torch.nn.functional import scaled_dot_product_attention
calls = []
def sageattn(q, k, v, tensor_layout="HND", is_causal=False, sm_scale=None, smooth_k=True):
    calls.append(q.shape)
    q, k, v = (one if tensor_layout == "HND" else one.transpose(1, 2) for one in (q, k, v))
    out = scaled_dot_product_attention(q, k, v, scale=sm_scale)
    return out if tensor_layout == "HND" else out.transpose(1, 2)
"""),
}


@pytest.mark.parametrize(
    ("flags", "function"),
    [
        ([], "attention_sub_quad"),
        (["--use-split-cross-attention"], "attention_split"),
        (["--use-pytorch-cross-attention"], "attention_pytorch"),
        (["--use-flash-attention"], "attention_flash"),
        (["--use-sage-attention"], "attention_sage"),
    ],
)
def test_the_hosts_flags(network, weights, tmp_path, flags, function):
    """In a process that read them from its command line; the packages that two of them need are stood in for."""
    packages = [PACKAGES[flag] for flag in flags if flag in PACKAGES]
    for name, source in packages:
        (tmp_path / f"{name}.py").write_text(source)
    command = [sys.executable, "-c", SCRIPT, str(ROOT / "tests"), os.environ["NEWBIE_HOST"], str(weights)]
    command += [str(tmp_path / "out.pt"), *flags]
    paths = os.pathsep.join(filter(None, (str(tmp_path), os.environ.get("PYTHONPATH"))))
    env = {**os.environ, "PYTHONPATH": paths}
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, env=env)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == [function, bool(packages)]  # a package computes what has no mask
    out = torch.load(tmp_path / "out.pt", weights_only=True)
    torch.testing.assert_close(out, predicted(network), **TOLERANCE)
