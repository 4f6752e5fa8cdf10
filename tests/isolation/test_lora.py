"""LoRAs of characters, from a prompt's scene through the host's sampler: whose they are, and that nothing stays."""

from __future__ import annotations

import os
from dataclasses import replace

import pytest
from host_import import NO_HOST

pytest.importorskip("comfy.options", reason=NO_HOST)

import comfy.sample
import comfy.sd
import torch
from comfy.model_patcher import ModelPatcher
from comfy_api.torch_helpers import set_torch_compile_wrapper
from comfy_extras.nodes_torch_compile import skip_torch_compile_dict
from loras import listed, listed_anew, lora_for
from newbie_pack.isolation.encode import encode, encode_negative
from newbie_pack.isolation.plan import Options
from newbie_pack.nodes.prompt import NewBieCharacterLoRA
from newbie_pack.xml_prompt import Lora, layout, parse
from safetensors.torch import load_file, save_file

PROMPT = (
    "<character_1><n>miku</n><appearance>blue hair</appearance><position>left</position></character_1>"
    "<character_2><n>kaito</n><appearance>red dress</appearance><position>right</position></character_2>"
    "<general_tags><background>night_sky</background></general_tags>"
)
STEPS = {"steps": 2, "cfg": 4.0, "sampler_name": "euler", "scheduler": "simple", "disable_pbar": True}


@pytest.fixture(scope="module")
def folder(tmp_path_factory, mini):
    """Two LoRAs of all the tokens' layers of the random mini, in the host's list; and one with modulation too."""
    path = tmp_path_factory.mktemp("loras")
    network = mini[0].model.diffusion_model

    def has_tokens(name):
        return "adaLN" not in name and name.startswith(("layers", "context", "noise", "cap", "x_emb"))

    for seed, name in enumerate(("cone", "tail")):
        tensors = lora_for(network, "diffusion_model.", seed=seed, only=has_tokens)
        save_file(tensors, path / f"{name}.safetensors")
    save_file(lora_for(network, "diffusion_model.", seed=5), path / "all.safetensors")
    tensors = lora_for(network, "transformer.", only=lambda n: n.startswith("layers") and n.endswith("attention.out"))
    queries = {name.replace("attention.out", "attention.to_q"): value for name, value in tensors.items()}
    save_file(queries, path / "queries.safetensors")
    te = lora_for(mini[1].cond_stage_model, "text_encoders.", seed=7, only=lambda n: "layers" in n)
    save_file(te, path / "text.safetensors")
    with listed(path):
        yield path


def scene_with(first=(), second=(), shared=(), prompt=PROMPT):
    scene = parse(prompt)
    people = (replace(one, loras=tuple(own)) for one, own in zip(scene.characters, (first, second), strict=True))
    return replace(scene, loras=tuple(shared), characters=tuple(people))


def draw(model, positive, negative, size=(12, 16), seed=1, batch=1, **changed):
    latent = torch.zeros(batch, 16, *size)
    noise = comfy.sample.prepare_noise(latent, seed)
    return comfy.sample.sample(model, noise, positive=positive, negative=negative, latent_image=latent, seed=seed,
                               **{**STEPS, **changed})


def pictures(mini, scene, mode="strict", **changed):
    model, clip = mini[:2]
    boxes = layout(scene, 4 / 3)
    negative = encode_negative(clip, scene, boxes, mode, "")
    return draw(model, encode(clip, scene, boxes, mode), negative, **changed)


@pytest.mark.parametrize("mode", ["strict", "gentle", "off"])
def test_strength_0_is_the_picture_without_bit_for_bit(mini, folder, mode):
    none = scene_with([Lora("cone", 0.0)], shared=[Lora("tail", 0.0)])
    assert torch.equal(pictures(mini, none, mode), pictures(mini, scene_with(), mode))


def test_a_shared_lora_is_what_the_hosts_loader_makes_of_it(mini, folder):
    """Within float32's rounding: the host adds up the weights first, in float32; through two steps."""
    model, clip = mini[:2]
    scene, boxes = scene_with(), layout(scene_with(), 4 / 3)
    patched, _ = comfy.sd.load_lora_for_models(model, None, load_file(folder / "all.safetensors"), 0.8, 0)
    expected = draw(patched, encode(clip, scene, boxes, "strict"), encode_negative(clip, scene, boxes, "strict", ""))
    got = pictures(mini, scene_with(shared=[Lora("all", 0.8, 0.0)]))
    plain = pictures(mini, scene_with())
    assert (got - expected).norm() < 0.02 * (plain - expected).norm()  # the host rounds the sum to bfloat16


def test_the_model_is_as_it_was_for_the_next_prompt(mini, folder):
    before = pictures(mini, scene_with())
    weights = {k: v.clone() for k, v in mini[0].model.state_dict().items()}
    changed = pictures(mini, scene_with([Lora("cone")], [Lora("tail")]))
    assert not torch.allclose(before, changed)
    assert torch.equal(pictures(mini, scene_with()), before)
    assert all(torch.equal(v, weights[k]) for k, v in mini[0].model.state_dict().items())
    assert not any(m._forward_hooks for m in mini[0].model.modules())


def by_hand(network, files, tokens):
    """Hooks that compute every layer anew for each token with the weights of its own LoRAs merged, as the host would.

    tokens: path of a layer -> one set of numbers of files a token, or None where the layer has no tokens.
    """
    handles = []
    for path, module in network.named_modules():
        if not isinstance(module, torch.nn.Linear) or f"diffusion_model.{path}.lora_A.weight" not in files[0]:
            continue

        def hook(module, inputs, out, path=path):
            x, whose = inputs[0], tokens(path)
            made = torch.empty_like(out)
            for token in range(x.shape[1]):
                weight = module.weight.to(x)
                for number in whose[token]:
                    a, b = (files[number][f"diffusion_model.{path}.lora_{side}.weight"].to(x) for side in "AB")
                    weight = weight + b @ a
                bias = None if module.bias is None else module.bias.to(x)
                made[:, token] = torch.nn.functional.linear(x[:, token], weight, bias)
            return made

        handles.append(module.register_forward_hook(hook))
    return handles


@pytest.mark.parametrize(("mode", "batch"), [("strict", 1), ("gentle", 2)])
def test_every_token_meets_the_loras_of_its_owner_and_no_others(mini, folder, mode, batch):
    """Against merged weights, token by token, in float32 (2e-5 of the change through 2 steps of 6 blocks)."""
    model, clip = mini[:2]
    bare, dressed = scene_with(), scene_with([Lora("cone")], [Lora("tail")])
    boxes = layout(bare, 4 / 3)
    rows, columns = 6, 8

    def negative(scene):
        return encode_negative(clip, scene, boxes, mode, "ugly")

    positive = encode(clip, bare, boxes, mode)
    owners = positive[0][1]["model_conds"]["newbie_isolation"].cond.forward.plan.owners
    unwanted = negative(bare)[0][0].shape[1]

    def image_tokens():
        for row in range(rows):
            for column in range(columns):
                yield {
                    number for number, box in enumerate(boxes)
                    if box.left / 1000 * columns < column + 1 and column < box.right / 1000 * columns
                    and box.top / 1000 * rows < row + 1 and row < box.bottom / 1000 * rows
                }

    caption = {len(owners): [{owner - 1} - {-1} for owner in owners], unwanted: [set()] * unwanted}
    image = list(image_tokens())
    length = []  # of the caption of the pass going on

    def tokens(path):
        if path.startswith(("context", "cap")):
            return caption[length[-1]]
        return image if path.startswith(("noise", "x_")) else caption[length[-1]] + image

    network = model.model.diffusion_model
    files = [load_file(folder / f"{name}.safetensors") for name in ("cone", "tail")]
    handles = by_hand(network, files, tokens)
    handles.append(network.cap_embedder.register_forward_pre_hook(lambda _, inputs: length.append(inputs[0].shape[1])))
    try:
        expected = draw(model, positive, negative(bare), batch=batch)
    finally:
        for handle in handles:
            handle.remove()
    got = draw(model, encode(clip, dressed, boxes, mode), negative(dressed), batch=batch)
    plain = draw(model, positive, negative(bare), batch=batch)
    assert (got - expected).norm() < 2e-5 * (plain - expected).norm()


def test_two_of_the_same_lora_are_one_and_each_entry_has_its_own(mini, folder):
    """Both wear it: as it is for each alone, in a run of several entries."""
    model, clip = mini[:2]
    boxes = layout(scene_with(), 4 / 3)
    both = encode(clip, scene_with([Lora("cone")], [Lora("cone")]), boxes, "strict")
    loras = both[0][1]["control"].isolation.forward.loras
    assert loras.weights.names == ("cone.safetensors",) and loras.worn == ({1: 1.0, 2: 1.0},)
    plain = encode(clip, scene_with(), boxes, "strict")
    negative = encode_negative(clip, scene_with(), boxes, "strict", "")
    mean = (draw(model, both, negative, steps=1, cfg=1.0) + draw(model, plain, negative, steps=1, cfg=1.0)) / 2
    torch.testing.assert_close(draw(model, both + plain, negative, steps=1, cfg=1.0), mean, rtol=1e-4, atol=1e-5)


def test_the_host_loads_the_weights_once_for_all_entries(mini, folder):
    model, clip = mini[:2]
    scene = scene_with([Lora("cone")], [Lora("tail")])
    boxes = layout(scene, 4 / 3)
    options = Options(swapped=0.25)
    entries = encode(clip, scene, boxes, "strict") + encode_negative(clip, scene, boxes, "strict", "", options)
    assert len(entries) == 3
    patchers = {patcher for _, extra in entries for patcher in extra["control"].get_models()}
    assert len(patchers) == 1 and len(list(patchers.pop().model.parameters())) > 20
    worn = [extra["control"].isolation.forward.loras.worn for _, extra in entries]
    assert worn == [({1: 1.0}, {2: 1.0}), ({1: 1.0}, {2: 1.0}), ({2: 1.0}, {1: 1.0})]  # exchanged with the characters


def test_an_interrupted_run_leaves_no_hook(mini, folder, monkeypatch):
    network = mini[0].model.diffusion_model
    layer = network.layers[-1]

    def stop(*_args, **_kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(layer, "forward", stop)
    with pytest.raises(KeyboardInterrupt):
        pictures(mini, scene_with([Lora("cone")]))
    assert not any(module._forward_hooks for module in network.modules())


def test_layers_without_tokens_take_shared_loras_alone(mini, folder, caplog):
    """A character's LoRA with modulation is the one without it, and that is said."""
    tensors = load_file(folder / "all.safetensors")
    others = ("adaLN", "t_embedder", "time_text", "pooled")
    tokens = {k: v for k, v in tensors.items() if not any(word in k for word in others)}
    assert 0 < len(tokens) < len(tensors)
    save_file(tokens, folder / "tokens.safetensors")
    listed_anew()
    with caplog.at_level("INFO"):
        got = pictures(mini, scene_with([Lora("all")]))
    assert "modulation" in caplog.text
    assert torch.equal(got, pictures(mini, scene_with([Lora("tokens")])))
    everyones = [pictures(mini, scene_with(shared=[Lora(name)])) for name in ("all", "tokens")]
    assert not torch.equal(*everyones)


def test_loras_of_the_text_encoders_change_their_owners_text_alone(mini, folder):
    clip = mini[1]
    boxes = layout(scene_with(), 4 / 3)
    plain = encode(clip, scene_with(), boxes, "strict")
    got = encode(clip, scene_with([Lora("text")]), boxes, "strict")
    owners = torch.tensor(plain[0][1]["model_conds"]["newbie_isolation"].cond.forward.plan.owners)
    same = (got[0][0] == plain[0][0]).all(-1)[0]
    assert not same[owners == 1].any() and same[owners != 1].all()
    assert torch.equal(got[0][1]["pooled_output"], plain[0][1]["pooled_output"])
    assert torch.equal(encode(clip, scene_with(), boxes, "strict")[0][0], plain[0][0])  # afterwards too
    neither = encode(clip, scene_with([Lora("text", 1.0, 0.0)]), boxes, "strict")
    assert torch.equal(neither[0][0], plain[0][0])


def test_gentle_gates_the_text_encoders_by_token(mini, folder):
    """In the one text that is read at once, all before the owner's first token is as it was (Gemma is causal)."""
    clip = mini[1]
    boxes = layout(scene_with(), 4 / 3)
    plain = encode(clip, scene_with(), boxes, "gentle")
    got = encode(clip, scene_with((), [Lora("text")]), boxes, "gentle")
    owners = torch.tensor(plain[0][1]["model_conds"]["newbie_isolation"].cond.forward.plan.owners)
    first = int((owners == 2).nonzero()[0])
    same = (got[0][0] == plain[0][0]).all(-1)[0]
    assert same[:first].all() and not same[owners == 2].any()


def test_a_shared_lora_of_the_text_encoders_is_the_hosts(mini, folder):
    clip = mini[1]
    scene, boxes = scene_with(), layout(scene_with(), 4 / 3)
    _, patched = comfy.sd.load_lora_for_models(None, clip, load_file(folder / "text.safetensors"), 0, 0.5)
    expected, plain = (encode(one, scene, boxes, "gentle")[0] for one in (patched, clip))
    got = encode(clip, scene_with(shared=[Lora("text", 0.0, 0.5)]), boxes, "gentle")[0]
    for key in (0, 1):
        one, other, third = (e[0] if key == 0 else e[1]["pooled_output"] for e in (got, expected, plain))
        assert (one - other).norm() < 0.02 * (third - other).norm()  # the host rounds the sum to bfloat16


@pytest.mark.parametrize(("name", "sentence"), [
    ("cones", "no LoRA called cones: did you mean cone"),
    ("zzz", "put the file into"),
])
def test_a_name_that_is_none_is_told_with_the_nearest(mini, folder, name, sentence):
    with pytest.raises(ValueError, match=sentence):
        encode(mini[1], scene_with([Lora(name)]), layout(scene_with(), 1.0), "strict")


def test_another_models_lora_is_refused_when_the_run_begins(mini, folder):
    save_file({"lora_unet_down_blocks_0_x.lora_up.weight": torch.zeros(4, 2),
               "lora_unet_down_blocks_0_x.lora_down.weight": torch.zeros(2, 4)}, folder / "sd.safetensors")
    save_file({"diffusion_model.layers.0.attention.qkv.lora_A.weight": torch.zeros(2, 2304),
               "diffusion_model.layers.0.attention.qkv.lora_B.weight": torch.zeros(3840, 2)},
              folder / "big.safetensors")
    listed_anew()
    with pytest.raises(ValueError, match=r"sd\.safetensors was made for another model"):
        pictures(mini, scene_with([Lora("sd")]))
    with pytest.raises(ValueError, match=r"big\.safetensors: .*whose layers\.0\.attention\.qkv has 3840"):
        pictures(mini, scene_with([Lora("big")]))


@pytest.mark.parametrize("kind", ["cone", "decomposed"])
def test_a_model_of_which_only_a_part_is_loaded(mini, folder, monkeypatch, kind):
    """Low VRAM: of half the layers the host merges another LoRA into the weights in each pass. Its rounding apart."""
    model, clip = mini[:2]
    if kind == "decomposed":
        tensors = load_file(folder / "cone.safetensors")
        rows = {k.removesuffix("lora_B.weight"): len(v) for k, v in tensors.items() if k.endswith("lora_B.weight")}
        lengths = {f"{stem}dora_scale": 0.5 + torch.rand(count, 1) for stem, count in rows.items()}
        save_file(tensors | lengths, folder / "decomposed.safetensors")
        listed_anew()
    merged, _ = comfy.sd.load_lora_for_models(model, None, load_file(folder / "tail.safetensors"), 0.5, 0)
    whole = pictures((merged, clip), scene_with([Lora(kind)]))
    without = pictures((merged, clip), scene_with())
    merged.detach()
    load, seen = ModelPatcher.load, []

    def load_half(self, device, lowvram_model_memory=0, **rest):
        load(self, device, lowvram_model_memory=self.model_size() // 2, **{**rest, "full_load": False})
        seen.append(self.model.model_lowvram)

    other, _ = comfy.sd.load_lora_for_models(model, None, load_file(folder / "tail.safetensors"), 0.5, 0)
    monkeypatch.setattr(ModelPatcher, "load", load_half)
    part = pictures((other, clip), scene_with([Lora(kind)]))
    other.detach()
    assert any(seen)
    assert (part - whole).norm() < 0.05 * (whole - without).norm()


WHOLE = ["diffusion_model"]
SOME = ["diffusion_model.layers.0", "diffusion_model.context_refiner.1", "diffusion_model.noise_refiner.0"]


@pytest.mark.parametrize("keys", [WHOLE, SOME])
@pytest.mark.parametrize(("mode", "loras", "others"), [
    ("strict", ([Lora("cone")], [Lora("tail")]), ([Lora("tail")], [Lora("cone")])),
    ("gentle", ([Lora("cone", 0.5)], [], [Lora("all")]), ([], [Lora("cone")], [Lora("all", 0.5)])),
    ("off", ([], [], [Lora("all")]), ([Lora("all", 0.5)],)),
    ("strict", ([Lora("cone")], [Lora("queries")]), ([Lora("cone", 0.5)], [Lora("queries", 2.0)])),
])  # fmt: skip
def test_a_compiled_model_takes_them_in_turn_with_prompts_without(mini, folder, keys, mode, loras, others, caplog):
    """In graphs of their own, which take other weights, strengths and wearers as they come."""
    model, clip = mini[:2]
    graphs, runs = [], []

    def backend(graph, _inputs):
        graphs.append(graph)

        def run(*inputs):
            runs.append(graph)
            return graph.forward(*inputs)

        return run

    def both(scene):
        got, expected = (pictures((one, clip), scene, mode) for one in (fast, model))
        torch.testing.assert_close(got, expected, rtol=1e-3, atol=1e-3)
        return got

    torch.compiler.reset()
    fast = model.clone(disable_dynamic=True)
    set_torch_compile_wrapper(fast, backend=backend, options={"guard_filter_fn": skip_torch_compile_dict}, keys=keys)
    try:
        plain, dressed = both(scene_with()), both(scene_with(*loras))
        known, before = len(graphs), len(runs)
        otherwise = both(scene_with(*others))
        assert len(runs) - before == 2 * 2 * len(keys)  # two steps of two passes
        assert torch.equal(both(scene_with()), plain)
        assert torch.equal(both(scene_with(*loras)), dressed)
        assert len(graphs) == known
        assert all((one - other).abs().max() > 1e-2 for one, other in ((plain, dressed), (dressed, otherwise)))
        assert "uncompiled" not in caplog.text
    finally:
        torch.compiler.reset()


def test_no_prompt_is_one_too_many_to_be_compiled(mini, folder, caplog):
    """PyTorch compiles a code 8 times; here are a joint layer, two refiners, none to two LoRAs. No length adds any."""
    (model, clip), graphs = mini[:2], []

    def backend(graph, _inputs):
        graphs.append(graph)
        return graph.forward

    torch.compiler.reset()
    fast = model.clone(disable_dynamic=True)
    set_torch_compile_wrapper(fast, backend=backend, options={"guard_filter_fn": skip_torch_compile_dict}, keys=SOME)
    cone, tail = [Lora("cone")], [Lora("tail")]
    numbers = []
    with caplog.at_level("INFO"):
        for said in ("blue hair", "blue hair, hat"):
            for loras in ((), (cone,), (cone, tail)):
                pictures((fast, clip), scene_with(*loras, prompt=PROMPT.replace("blue hair", said)), steps=1)
            numbers.append(len(graphs))
    torch.compiler.reset()
    assert numbers[0] == numbers[1] > 2 * 8
    assert "uncompiled" not in caplog.text


@pytest.mark.parametrize("where", ["metadata", "config"])
def test_an_alpha_that_is_stated_elsewhere_counts(mini, folder, where, caplog):
    """PEFT leaves it to adapter_config.json, the authors' trainer to the metadata: alpha 2 of rank 4 halves it."""
    tensors = load_file(folder / "cone.safetensors")
    own = folder / where
    own.mkdir()
    metadata = {"lora_alpha": "2"} if where == "metadata" else None
    save_file(tensors, own / "adapter_model.safetensors", metadata)
    if where == "config":
        (own / "adapter_config.json").write_text('{"peft_type": "LORA", "r": 4, "lora_alpha": 2}')
    listed_anew()
    with caplog.at_level("INFO"):
        got = pictures(mini, scene_with([Lora(f"{where}/adapter_model")]))
    assert "LoraLoader" in caplog.text
    assert torch.equal(got, pictures(mini, scene_with([Lora("cone", 0.5)])))


def test_a_config_of_another_lora_is_told_in_a_sentence(mini, folder):
    own = folder / "other"
    own.mkdir()
    save_file(load_file(folder / "cone.safetensors"), own / "adapter_model.safetensors")
    (own / "adapter_config.json").write_text('{"r": 16, "lora_alpha": 16}')
    listed_anew()
    with pytest.raises(ValueError, match=r"adapter_config\.json says rank 16 .* has 4: if it belongs to another LoRA"):
        pictures(mini, scene_with([Lora("other/adapter_model")]))


@pytest.mark.parametrize("name", [
    "Ünïcode 角色", "with (parentheses), commas", "dots.and-dashes v1.0", "100% <wild> & 'quoted'", "a:b",
    "two  spaces",
])
def test_names_with_odd_letters(mini, folder, name):
    """From the prompt's text to the file: as an element, which the node writes, and where it can be as a short form."""
    if os.name == "nt" and set(name) & set('<>:"|?*'):
        pytest.skip("Windows has no such file names")
    save_file(load_file(folder / "cone.safetensors"), folder / f"{name}.safetensors")
    listed_anew()
    scene, xml = NewBieCharacterLoRA.execute(scene_with(), 1, f"{name}.safetensors", 0.5, 0.5).result
    again = parse(xml)
    assert again.characters[0].loras == scene.characters[0].loras
    assert torch.equal(pictures(mini, again), pictures(mini, scene_with([Lora("cone", 0.5)])))


def test_the_same_lora_twice_on_one_adds_up(mini, folder):
    twice = pictures(mini, scene_with([Lora("cone", 0.3), Lora("cone.safetensors", 0.2)]))
    assert torch.equal(twice, pictures(mini, scene_with([Lora("cone", 0.5)])))
    none = pictures(mini, scene_with([Lora("cone", 0.5), Lora("cone", -0.5)]))
    assert torch.equal(none, pictures(mini, scene_with([Lora("cone", 0.0)])))


def test_twelve_characters_each_with_one(mini, folder):
    """Twelve files, twelve owners: each acts on its own, and all at once is what each does where it is."""
    model, clip = mini[:2]
    network = model.model.diffusion_model
    for number in range(12):
        tensors = lora_for(network, "diffusion_model.", 2, 20 + number, lambda name: name.startswith("x_embedder"))
        save_file(tensors, folder / f"many{number}.safetensors")
    listed_anew()
    text = "".join(
        f"<character_{n + 1}><appearance>blue hair</appearance><bbox>[{83 * n}, 0, {83 * n + 83}, 1000]</bbox>"
        f"<lora>many{n}:0.5</lora></character_{n + 1}>" for n in range(12)
    )
    scene = parse(text)
    boxes = layout(scene, 2.0)
    positive = encode(clip, scene, boxes, "strict")
    loras = positive[0][1]["control"].isolation.forward.loras
    assert [dict(strengths) for strengths in loras.worn] == [
        {int(name.removeprefix("many").removesuffix(".safetensors")) + 1: 0.5} for name in loras.weights.names
    ]
    loras.fit(model.model)
    x = torch.zeros(1, 16, 24, 48)
    gates = loras.gates(network, x, positive[0][0], [(0.0, 0.0, 1.0, 1.0)]).image(12, 24)
    assert ((gates > 0).sum(1) >= 1).all() and (gates > 0).sum(1).max() <= 2 and (gates.amax(0) == 0.5).all()


@pytest.mark.parametrize("sampler", ["dpmpp_2m", "res_multistep", "euler_ancestral"])
def test_any_sampler(mini, folder, sampler):
    """Denoise and sampler are the host's business: a LoRA at a vanishing strength is a vanishing change."""
    tiny = pictures(mini, scene_with([Lora("cone", 1e-4)]), sampler_name=sampler, steps=3)
    plain, full = (pictures(mini, scene_with(loras), sampler_name=sampler, steps=3) for loras in ([], [Lora("cone")]))
    assert 0 < (tiny - plain).norm() < 0.01 * (full - plain).norm()


def test_the_node_gives_a_character_a_lora_with_both_strengths(mini, folder):
    scene, xml = NewBieCharacterLoRA.execute(scene_with(), 2, "cone.safetensors", 0.8, 0.0).result
    assert scene == scene_with((), [Lora("cone.safetensors", 0.8, 0.0)])
    assert "<lora>cone.safetensors:0.8:0</lora>" in xml
    everyones, _ = NewBieCharacterLoRA.execute(scene, 0, "tail.safetensors", 1.0, 1.0).result
    assert everyones.loras == (Lora("tail.safetensors"),)
    with pytest.raises(ValueError, match="character is 3, but the scene has 2"):
        NewBieCharacterLoRA.execute(scene, 3, "tail.safetensors", 1.0, 1.0)
