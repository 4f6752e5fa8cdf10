"""Every form of LoRA that can be split by token, against the host's own arithmetic on the weight in float64."""

from __future__ import annotations

from dataclasses import replace

import pytest
from host_import import NO_HOST

pytest.importorskip("comfy.options", reason=NO_HOST)

import comfy.lora
import comfy.ops
import torch
from comfy.quant_ops import QUANT_ALGOS, QuantizedTensor
from newbie_pack.isolation.lora import HostWeights, Stack, acting_on, checked_split, found_in, layer_name, split
from newbie_pack.isolation.lora_layers import CAPTION, IMAGE, Gates, Target, WithLoras, exchanged, layer_of, shares

OUT, IN, RANK = 24, 16, 3
LINEAR, CONV = (OUT, IN), (OUT, IN, 3, 3)


def random(*shape):
    return torch.randn(*shape, dtype=torch.float64)


def tensors(kind, stem, shape):
    """A file's tensors for one layer, as trainers name them."""
    out, into, kernel = shape[0], shape[1:].numel(), shape[2:]
    plain = {"lora_up.weight": random(out, RANK), "lora_down.weight": random(RANK, into), "alpha": torch.tensor(2.0)}
    if kernel:
        plain |= {"lora_up.weight": random(out, RANK, 1, 1), "lora_down.weight": random(RANK, *shape[1:])}
    loha = {f"hada_w{i}_{side}": random(*size) for i in (1, 2) for side, size in (("a", (out, 2)), ("b", (2, into)))}
    lokr = {"lokr_w1": random(4, 4), "lokr_w2": random(out // 4, shape[1] // 4, *kernel)}
    forms = {
        "lora": plain,
        "lora without alpha": {k: v for k, v in plain.items() if k != "alpha"},
        "dora": plain | {"dora_scale": random(out, *[1] * (len(shape) - 1)).abs()},
        "loha": loha | {"alpha": torch.tensor(1.0)},
        "loha, decomposed": loha | {"alpha": torch.tensor(1.0), "dora_scale": random(out, 1).abs()},
        "lokr": lokr | {"alpha": torch.tensor(1.0)},
        "lokr of products": {
            "lokr_w1_a": random(4, 2), "lokr_w1_b": random(2, 4), "lokr_w2_a": random(out // 4, 2),
            "lokr_w2_b": random(2, into // 4), "alpha": torch.tensor(1.0),
        },
        "lokr, decomposed": lokr | {"dora_scale": random(out, *[1] * (len(shape) - 1)).abs()},
        "difference": {"diff": random(*shape)},
        "locon": {"lora_up.weight": random(out, RANK, 1, 1), "lora_mid.weight": random(RANK, RANK, 3, 3),
                  "lora_down.weight": random(RANK, shape[1], 1, 1)},
        "loha of Tucker": {
            **{f"hada_w{i}_a": random(2, out) for i in (1, 2)}, **{f"hada_w{i}_b": random(2, shape[1]) for i in (1, 2)},
            "hada_t1": random(2, 2, 3, 3), "hada_t2": random(2, 2, 3, 3), "alpha": torch.tensor(1.0),
        },
    }
    return {f"{stem}.{name}": value for name, value in forms[kind].items()}


def merged(weight, files, strengths):
    """What the host makes of the weight: each file on top of the one before, in float64."""
    weight = weight.clone()
    for file, strength in zip(files, strengths, strict=True):
        patch = comfy.lora.load_lora(dict(file), {"layer": "layer.weight"})["layer.weight"]
        weight = comfy.lora.calculate_weight(
            [(strength, patch, 1.0, None, None)], weight, "layer.weight", intermediate_dtype=torch.float64
        )
    return weight


def make(shape):
    torch.manual_seed(0)
    layers = comfy.ops.manual_cast  # the host's: a decomposed LoRA asks it for the layer's weight
    module = layers.Linear(IN, OUT) if shape == LINEAR else layers.Conv2d(IN, OUT, 3, padding=1, stride=2)
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter)
    return module.double().requires_grad_(False)


def target_of(files):
    return Target("", layer_of([
        (number, split("a", stem, found)) for number, file in enumerate(files) for stem, found in found_in(file).items()
    ]))


class Given(Gates):
    def __init__(self, table):
        super().__init__(table[:1] * 0)
        self.given = table

    def table(self, place, out):
        return self.given if out.ndim == 3 else self.given.T.unflatten(1, tuple(out.shape[2:]))


LINEAR_KINDS = ["lora", "lora without alpha", "dora", "loha", "loha, decomposed", "lokr", "lokr of products",
                "lokr, decomposed", "difference"]
CONV_KINDS = ["lora", "lora without alpha", "dora", "loha", "lokr", "lokr, decomposed", "difference", "locon",
              "loha of Tucker"]


@pytest.mark.parametrize(
    ("kind", "shape"), [(k, LINEAR) for k in LINEAR_KINDS] + [(k, CONV) for k in CONV_KINDS], ids=str
)
def test_each_token_has_the_layer_with_the_loras_of_its_own(kind, shape):
    """Tokens with one LoRA, with another, with both, with half of one and with none; batch of 2."""
    module, shape = make(shape), torch.Size(shape)
    files = [tensors(kind, "layer", shape), tensors("lora", "layer", shape)]
    x = random(2, 6, IN) if len(shape) == 2 else random(2, IN, 4, 6)  # 6 tokens either way: a stride of 2
    table = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.7, 0.0], [0.0, 0.0], [0.0, -0.5], [1.0, 0.0]], dtype=torch.float64)
    with acting_on([(module, target_of(files), IMAGE)], Given(table)):
        got = module(x)
    got = got if len(shape) == 2 else got.flatten(2).transpose(1, 2)
    for token, strengths in enumerate(table.tolist()):
        used = [(f, s) for f, s in zip(files, strengths, strict=True) if s]
        weight = merged(module.weight, [f for f, _ in used], [s for _, s in used])
        expected = torch.nn.functional.linear(x, weight, module.bias) if len(shape) == 2 else (
            torch.nn.functional.conv2d(x, weight, module.bias, 2, 1).flatten(2).transpose(1, 2))
        # Magnitudes are divided by lengths in float32, and products of LoHa are made in it: 24 bits.
        tolerance = 1e-5 if "decomposed" in kind or kind in ("dora", "loha", "loha of Tucker", "lokr of products",
                                                             "locon") else 1e-12
        torch.testing.assert_close(got[:, token], expected[:, token], rtol=tolerance, atol=tolerance * 10)


def quantised(algorithm, full_precision, out=128, into=256):
    """A layer of the host's mixed precision in one of its formats; full_precision: it does not round its input too."""
    torch.manual_seed(0)
    layer = comfy.ops.mixed_precision_ops({}, torch.float32).Linear(into, out, device="cpu")
    layout = QUANT_ALGOS[algorithm]["comfy_tensor_layout"]
    weight = QuantizedTensor.from_float(torch.randn(out, into) * into**-0.5, layout)
    layer.quant_format, layer.layout_type, layer._full_precision_mm = algorithm, layout, full_precision
    layer.weight = torch.nn.Parameter(weight, requires_grad=False)
    torch.nn.init.normal_(layer.bias.data)
    return layer


ROUNDING = sorted(name for name, how in QUANT_ALGOS.items() if not how.get("quantize_input", True))  # in the product


@pytest.mark.parametrize("kind", ["lora", "dora", "loha", "lokr"])
@pytest.mark.parametrize("algorithm", sorted(set(QUANT_ALGOS) - set(ROUNDING)))
def test_a_quantised_layer_takes_it_and_stays_as_it_is(algorithm, kind):
    """The layer with the weights that its bits stand for, merged with the LoRA. float32, numbers of about 10."""
    module = quantised(algorithm, full_precision=True)
    x = torch.randn(1, 3, module.in_features)
    file = {name: value.float() for name, value in tensors(kind, "layer", module.weight.shape).items()}
    before, bits, target = module(x), module.weight.dequantize().clone(), target_of([file])
    Stack(["a"], [{}], bool).check(target.layer, module.weight, None, "layer")  # its size is that of the matrix
    with acting_on([(module, target, IMAGE)], Given(torch.tensor([[1.0], [0.0], [0.5]]))):
        got = module(x)
    for token, strength in enumerate((1.0, 0.0, 0.5)):
        weight = merged(bits.double(), [file], [strength]).float()
        expected = torch.nn.functional.linear(x[:, token], weight, module.bias)
        torch.testing.assert_close(got[:, token], expected, rtol=1e-4, atol=1e-3)
    assert torch.equal(module(x), before) and torch.equal(module.weight.dequantize(), bits)


@pytest.mark.parametrize("kind", ["lora", "dora", "loha", "lokr"])
@pytest.mark.parametrize("algorithm", ["float8_e4m3fn", "nvfp4", *ROUNDING])
def test_a_layer_that_rounds_its_input_adds_to_the_input_as_it_came(algorithm, kind):
    """DoRA brings the layer's own output, as rounded as it is, to another length."""
    module = quantised(algorithm, full_precision=False)
    file = {name: value.float() for name, value in tensors(kind, "layer", module.weight.shape).items()}
    x = torch.randn(1, 2, module.in_features)
    before, bits = module(x), module.weight.dequantize()
    with acting_on([(module, target_of([file]), IMAGE)], Given(torch.tensor([[1.0], [0.0]]))):
        got = module(x)
    assert torch.equal(got[:, 1], before[:, 1])
    full = merged(bits.double(), [file], [1.0]).float()
    grown = file["layer.dora_scale"].flatten() / bits.norm(dim=1) if kind == "dora" else torch.ones(len(bits))
    expected = grown * (before[:, 0] - module.bias) + torch.nn.functional.linear(x[:, 0], full - grown[:, None] * bits)
    torch.testing.assert_close(got[:, 0] - module.bias, expected, rtol=1e-4, atol=2e-3)


@pytest.mark.parametrize(
    ("kind", "rows"),
    [*((kind, None) for kind in LINEAR_KINDS), *((kind, (8, OUT)) for kind in ("lora", "lokr", "dora"))],
)
def test_one_graph_takes_all_loras_of_a_form(kind, rows):
    """What hooks do, as a module in the layer's place that is compiled; rows: a part of the layer's outputs."""
    torch.compiler.reset()
    graphs, place = [], torch.nn.ModuleDict({"layer": make(LINEAR)})

    def backend(graph, _inputs):
        graphs.append(graph)
        return graph.forward

    compiled = torch.compile(lambda parent, x: parent["layer"](x), backend=backend, fullgraph=True)
    module, table, x = place["layer"], Given(torch.tensor([[1.0], [0.0], [0.5]]).double()), random(2, 3, IN)
    if rows is not None:
        module = place["layer"] = comfy.ops.manual_cast.Linear(IN, OUT + 16).double().requires_grad_(False)
        torch.nn.init.normal_(module.weight)
        torch.nn.init.normal_(module.bias)
    for _ in range(3):
        target = replace(target_of([tensors(kind, "layer", torch.Size(LINEAR))]), rows=rows)
        with acting_on([(module, target, IMAGE)], table):
            expected = module(x)
        gates = [table.of(IMAGE, x, spread) for spread in target.layer.spreads]
        with exchanged([(place, "layer", WithLoras(module, [(target, gates)], HostWeights()))]):
            torch.testing.assert_close(compiled(place, x), expected, rtol=1e-9, atol=1e-9)
        assert place["layer"] is module
    assert len(graphs) == 1


@pytest.mark.parametrize(("shape", "rows"), [(LINEAR, None), (CONV, None), ((OUT + 16, IN), (8, OUT))])
def test_pefts_dora_divides_by_the_lengths_of_the_changed_rows(shape, rows):
    """As PEFT merges it into a weight: m * (W + s B A) / its rows' lengths. Lengths in float32."""
    torch.manual_seed(2)
    layers = comfy.ops.manual_cast
    linear = len(shape) == 2
    module = layers.Linear(IN, shape[0]) if linear else layers.Conv2d(IN, OUT, 3, padding=1, stride=2)
    for parameter in module.double().requires_grad_(False).parameters():
        torch.nn.init.normal_(parameter)
    file, lengths = tensors("lora", "layer", torch.Size((OUT, *shape[1:]))), 0.5 + random(OUT).abs()
    ((stem, found),) = found_in(file).items()
    made = checked_split("a", stem, found, lengths if linear else lengths.view(1, -1, 1, 1))
    x = random(2, 6, IN) if linear else random(2, IN, 4, 6)
    table = torch.tensor([[1.0], [0.0], [0.5], [1.0], [0.0], [-1.0]], dtype=torch.float64)
    with acting_on([(module, Target("", layer_of([(0, made)]), rows), IMAGE)], Given(table)):
        got = module(x)
    got = got if linear else got.flatten(2).transpose(1, 2)
    part = slice(None) if rows is None else slice(rows[0], sum(rows))
    own = module.weight[part]
    changed = own + 2 / RANK * (file["layer.lora_up.weight"].flatten(1) @ file["layer.lora_down.weight"].flatten(1)
                                ).view_as(own)
    merged_rows = changed * (lengths / changed.flatten(1).norm(dim=1)).view(-1, *[1] * (own.ndim - 1))
    for token, (strength,) in enumerate(table.tolist()):
        weight = module.weight.clone()
        weight[part] = own + strength * (merged_rows - own)
        expected = torch.nn.functional.linear(x, weight, module.bias) if linear else (
            torch.nn.functional.conv2d(x, weight, module.bias, 2, 1).flatten(2).transpose(1, 2))
        torch.testing.assert_close(got[:, token], expected[:, token], rtol=1e-5, atol=1e-4)


def test_a_dora_that_changes_little_does_so_in_bfloat16():
    """Rows are to be half a percent longer. Rounded to bfloat16 first, they would be .8 % longer."""
    torch.manual_seed(3)
    module = comfy.ops.manual_cast.Linear(IN, OUT, bias=False).requires_grad_(False)
    torch.nn.init.normal_(module.weight)
    module = module.bfloat16()
    lengths = module.weight.float().norm(dim=1, keepdim=True)
    file = {"layer.lora_up.weight": torch.zeros(OUT, 1), "layer.lora_down.weight": torch.zeros(1, IN),
            "layer.dora_scale": 1.005 * lengths}
    x = torch.randn(64, 64, IN).bfloat16()
    before = module(x).float()
    with acting_on([(module, target_of([file]), IMAGE)], Given(torch.ones(64, 1).bfloat16())):
        after = module(x).float()
    assert abs((after * before).sum() / before.square().sum() - 1.005) < 0.001


@pytest.mark.parametrize("rows", [(0, OUT), (8, OUT), (16, OUT)])
@pytest.mark.parametrize("kind", LINEAR_KINDS)
def test_a_part_of_a_layers_outputs_is_changed_alone(kind, rows):
    """Queries, keys or values of a matrix that holds all three, as the host patches them: a slice of the weight.

    Tolerances as above.
    """
    torch.manual_seed(1)
    module = comfy.ops.manual_cast.Linear(IN, OUT + 16).double().requires_grad_(False)
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter)
    file, x = tensors(kind, "layer", torch.Size(LINEAR)), random(2, 3, IN)
    table = torch.tensor([[1.0], [0.0], [0.5]], dtype=torch.float64)
    with acting_on([(module, replace(target_of([file]), rows=rows), IMAGE)], Given(table)):
        got = module(x)
    part = slice(rows[0], sum(rows))
    for token, (strength,) in enumerate(table.tolist()):
        weight = module.weight.clone()
        if strength:
            weight[part] = merged(weight[part], [file], [strength])
        expected = torch.nn.functional.linear(x[:, token], weight, module.bias)
        torch.testing.assert_close(got[:, token], expected, rtol=1e-5, atol=1e-4)


def test_two_loras_of_one_token_add_up():
    module, files = make(LINEAR), [tensors("lora", "layer", torch.Size(LINEAR)) for _ in range(3)]
    x, table = random(1, 2, IN), torch.tensor([[1.0, 0.5, 0.0], [0.0, 0.25, -1.0]], dtype=torch.float64)
    with acting_on([(module, target_of(files), CAPTION)], Given(table)):
        got = module(x)
    for token, strengths in enumerate(table.tolist()):
        expected = torch.nn.functional.linear(x, merged(module.weight, files, strengths), module.bias)
        torch.testing.assert_close(got[:, token], expected[:, token], rtol=1e-12, atol=1e-12)


def test_the_layer_is_as_it_was_afterwards_also_after_a_failure():
    module, x = make(LINEAR), random(1, 2, IN)
    before, weight = module(x), module.weight.clone()
    found = [(module, target_of([tensors("lora", "layer", torch.Size(LINEAR))]), IMAGE)]
    with pytest.raises(KeyError), acting_on(found, Given(torch.ones(2, 1).double())):
        assert not torch.equal(module(x), before)
        raise KeyError
    assert torch.equal(module(x), before) and torch.equal(module.weight, weight)


@pytest.mark.parametrize("kind", ["oft_blocks", "input magnitude"])
def test_what_cannot_be_split_by_token_is_refused_with_a_way_out(kind):
    file = tensors("lora", "layer", torch.Size(LINEAR)) | {"layer.dora_scale": random(1, IN)}
    if kind == "oft_blocks":
        file = {"layer.oft_blocks": random(4, 6, 6), "layer.alpha": torch.tensor(1.0)}
    ((stem, found),) = found_in(file).items()
    with pytest.raises(ValueError, match=r"layer.*LoraLoader"):
        split("a.safetensors", stem, found)


def test_who_takes_how_much():
    """Shared on top of one's own; where two wearers overlap the stronger; fractions of coverage count as such."""
    inside = torch.tensor([[1.0, 0.5, 0.0, 1.0], [0.0, 0.0, 1.0, 1.0]])
    worn = [{0: 0.25}, {1: 0.8}, {1: 0.5, 2: -0.75}, {0: 0.1, 2: 1.0}]
    expected = torch.tensor([[0.25] * 4, [0.8, 0.4, 0, 0.8], [0.5, 0.25, -0.75, -0.75], [0.1, 0.1, 1.1, 1.1]]).T
    torch.testing.assert_close(shares(worn, inside), expected)


@pytest.mark.parametrize("name", [
    "diffusion_model.layers.0.attention.qkv", "lora_unet_layers_0_attention_qkv", "layers.0.attention.qkv",
    "transformer.layers.0.attention.qkv", "base_model.model.layers.0.attention.qkv", "lycoris_layers_0_attention_qkv",
])
def test_one_layer_has_one_name_whoever_wrote_the_file(name):
    assert layer_name(name) == "layers_0_attention_qkv"
