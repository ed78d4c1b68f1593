"""Stable Diffusion's files: ours, diffusers' directories, the original layout.

No published weights are at hand. A directory is written by diffusers and transformers
themselves, with random weights. An original file's names and shapes are written out
here; what its weights compute is asked of diffusers, which has its own converter.
"""

import dataclasses
import json

import pytest
import safetensors.torch
import torch
from tiny_stable_diffusion import (
    CONFIG,
    FAST,
    PROMPTS,
    SECOND_CONFIG,
    noise,
    pictures,
    randomised,
    their_tower,
    their_unet,
    their_vae,
    tiny,
    world_words,
)

from mmlearn import weights
from mmlearn.diffusion import Schedule
from mmlearn.nn.autoencoder import AutoencoderConfig
from mmlearn.nn.latent_unet import LatentUNetConfig
from mmlearn.stable_diffusion import (
    StableDiffusion,
    StableDiffusionConfig,
    TextConfig,
    config_of,
)
from mmlearn.stable_diffusion.keys import published_name, to_ours
from mmlearn.weights import WeightsError

diffusers = pytest.importorskip("diffusers")
transformers = pytest.importorskip("transformers")
from diffusers.loaders import single_file_utils as their_converter  # noqa: E402

PUBLISHED = {  # the tiny configs, as they come back from a published directory
    "first": dataclasses.replace(CONFIG, scale=0.18215),
    "second": dataclasses.replace(
        SECOND_CONFIG,
        scale=0.18215,
        text=dataclasses.replace(SECOND_CONFIG.text, skip=0),
    ),
}

# --- ours


@pytest.mark.parametrize("config", [CONFIG, SECOND_CONFIG], ids=["first", "second"])
def test_a_saved_model_comes_back_with_its_scale_and_words(config, tmp_path):
    one = tiny(config)
    one.scale, one.words = (
        0.625,
        frozenset({"a", "red", "star", "two", "blue", "cubes"}),
    )
    one.save_pretrained(tmp_path / "mine", {"seed": 0})
    again = StableDiffusion.from_pretrained(tmp_path / "mine")
    assert again.config == dataclasses.replace(config, scale=0.625) == one.config
    assert again.words == one.words and not again.training
    assert again.tokenizer.merges == one.tokenizer.merges
    assert all(p.requires_grad for p in again.unet.parameters())
    assert not any(p.requires_grad for p in again.text_encoder.parameters())
    assert torch.equal(again.generate(PROMPTS, **FAST), one.generate(PROMPTS, **FAST))
    one.save_pretrained(tmp_path / "half", half=True)
    rough = StableDiffusion.from_pretrained(tmp_path / "half")
    assert rough.unet.first.weight.dtype == torch.float32
    with pytest.raises(WeightsError, match="exists and is left as it is"):
        one.save_pretrained(tmp_path / "mine")


def test_a_model_without_a_list_of_words_comes_back_without(tmp_path):
    one = StableDiffusion(CONFIG, None, None)
    one.save_pretrained(tmp_path / "mine")
    again = StableDiffusion.from_pretrained(tmp_path / "mine")
    assert again.words is None and again.tokenizer is None


def test_what_is_no_stable_diffusion_is_refused(tmp_path):
    with pytest.raises(WeightsError, match="no stable-diffusion checkpoint 'huge'"):
        StableDiffusion.from_pretrained("huge")
    saved = weights.save(tmp_path / "unet", {"conv.weight": torch.zeros(3)}, {"ch": 3})
    with pytest.raises(WeightsError, match=r"no Stable Diffusion: .* vae, unet, text"):
        StableDiffusion.from_pretrained(saved)
    with pytest.raises(WeightsError, match="predicts is only for a file"):
        StableDiffusion.from_pretrained(saved, predicts="v")
    config = CONFIG.as_dict() | {"merges": [], "words": None}
    del config["unet"]
    saved = weights.save(tmp_path / "part", {"conv.weight": torch.zeros(3)}, config)
    with pytest.raises(WeightsError, match="no Stable Diffusion"):
        StableDiffusion.from_pretrained(saved)


# --- diffusers' directories


def write_directory(directory, kind: str = "first"):
    """A published directory of random weights; the networks that it holds."""
    second = kind == "second"
    parts = {
        "unet": randomised(their_unet(second)),
        "vae": randomised(their_vae()),
        "text_encoder": randomised(their_tower("gelu" if second else "quick_gelu")),
    }
    for name, part in parts.items():
        part.save_pretrained(directory / name)
    diffusers.DDIMScheduler(
        beta_schedule="scaled_linear",
        beta_start=0.00085,
        beta_end=0.012,
        prediction_type="v_prediction" if second else "epsilon",
    ).save_pretrained(directory / "scheduler")
    index = {"_class_name": "StableDiffusionPipeline", "_diffusers_version": "0.42.1"}
    index["text_encoder"] = ["transformers", "CLIPTextModel"]
    (directory / "model_index.json").write_text(json.dumps(index))
    (directory / "tokenizer").mkdir()
    world_words().save(directory / "tokenizer" / "merges.txt")
    return {name: part.eval() for name, part in parts.items()}


@pytest.fixture(scope="module", params=["first", "second"])
def directory(request, tmp_path_factory):
    path = tmp_path_factory.mktemp(request.param)
    return path, write_directory(path, request.param), PUBLISHED[request.param]


@torch.no_grad()
def test_a_published_directory_loads_and_computes_the_same(directory):
    path, theirs, config = directory
    model = StableDiffusion.from_pretrained(path)
    assert model.config == config and not model.training and model.words is None
    tokens = model.tokenize(["a red star"])
    text = theirs["text_encoder"](input_ids=tokens).last_hidden_state
    assert (model.encode_text(["a red star"]) - text).abs().max() < 1e-4
    x, t = noise(1, 4, 8, 8), torch.tensor([500])
    expected = theirs["unet"](x, t, text).sample
    assert (model.unet(x, t, text) - expected).abs().max() < 1e-4
    images = pictures(1)
    latents = 0.18215 * theirs["vae"].encode(images).latent_dist.mean
    assert (model.encode(images) - latents).abs().max() < 1e-4
    painted = theirs["vae"].decode(latents / 0.18215).sample
    assert (model.decode(latents) - painted).abs().max() < 1e-4
    assert model.generate(["a zyzzyva"], **FAST).shape == (1, 3, 32, 32)


def change(path, name: str, **fields) -> None:
    """Set fields of a JSON file; None takes one away."""
    file = path / name
    said = json.loads(file.read_text()) | fields
    file.write_text(json.dumps({k: v for k, v in said.items() if v is not ...}))


@pytest.fixture
def written(tmp_path):
    write_directory(tmp_path)
    return tmp_path


def test_padding_is_what_the_tokenizer_says(written):
    for pad, padding in (("!", "zero"), ({"content": "<|endoftext|>"}, "end")):
        file = written / "tokenizer" / "special_tokens_map.json"
        file.write_text(json.dumps({"pad_token": pad}))
        assert StableDiffusion.from_pretrained(written).config.text.padding == padding


def test_older_files_leave_out_defaults_and_have_older_names(written):
    model = StableDiffusion.from_pretrained(written)
    for name in ("shift_factor", "scaling_factor", "use_quant_conv", "latents_mean"):
        change(written, "vae/config.json", **{name: ...})
    for name in ("freq_shift", "class_embed_type", "time_embedding_type"):
        change(written, "unet/config.json", **{name: ...})
    file = written / "vae" / "diffusion_pytorch_model.safetensors"
    older = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}
    state = {}
    for name, tensor in safetensors.torch.load_file(file).items():
        for new, old in older.items():
            name = name.replace(new, old)
        state[name] = tensor
    assert any("proj_attn" in name for name in state)
    safetensors.torch.save_file(state, file)
    # The text tower's counter, which files before transformers 4.31 hold.
    file = written / "text_encoder" / "model.safetensors"
    state = safetensors.torch.load_file(file)
    state = {f"text_model.{k.removeprefix('text_model.')}": v for k, v in state.items()}
    state["text_model.embeddings.position_ids"] = torch.arange(12)[None]
    safetensors.torch.save_file(state, file)
    # In 16 bits, under another name.
    unet = written / "unet" / "diffusion_pytorch_model.safetensors"
    unet.rename(written / "unet" / "diffusion_pytorch_model.fp16.safetensors")
    again = StableDiffusion.from_pretrained(written)
    for name, p in model.named_parameters():
        assert torch.equal(p, again.get_parameter(name)), name


@pytest.mark.parametrize(
    ("file", "fields", "sentence"),
    [
        (
            "model_index.json",
            {"_class_name": "StableDiffusionXLPipeline"},
            "'Stable.*XL",
        ),
        (
            "model_index.json",
            {"text_encoder": ["transformers", "T5EncoderModel"]},
            "a T5EncoderModel for its text encoder",
        ),
        (
            "vae/config.json",
            {"scaling_factor": 0.13025},
            r"scaling_factor = 0\.13025, .* 0\.18215",
        ),
        ("vae/config.json", {"shift_factor": 0.1159}, r"shift_factor = 0\.1159"),
        ("vae/config.json", {"_class_name": "AutoencoderDC"}, "'AutoencoderDC'"),
        ("vae/config.json", {"latent_channels": 16}, "latents have 16 channels"),
        (
            "unet/config.json",
            {"freq_shift": 1},
            "freq_shift = 1, .* have 0: this is anot",
        ),
        ("unet/config.json", {"act_fn": "gelu"}, "act_fn = 'gelu'"),
        (
            "unet/config.json",
            {"transformer_layers_per_block": [1, 2, 10]},
            r"\[1, 2, 10\]",
        ),
        ("unet/config.json", {"addition_embed_type": "text_time"}, "'text_time'"),
        ("unet/config.json", {"class_embed_type": "projection"}, "'projection'"),
        ("unet/config.json", {"attention_head_dim": [2, 3, 4]}, r"\[2, 3, 4\] heads"),
        ("unet/config.json", {"in_channels": 9}, "U-Net's channels_in is 9"),
        (
            "unet/config.json",
            {"cross_attention_dim": 64},
            "states are 32 wide .* reads 64",
        ),
        (
            "unet/config.json",
            {"cross_attention_dim": ...},
            "does not say 'cross_attention",
        ),
        (
            "unet/config.json",
            {"block_out_channels": [16, 24, 40]},
            "no multiples of the f",
        ),
        (
            "unet/config.json",
            {"up_block_types": ["CrossAttnUpBlock2D"] * 3},
            "other blocks on the way up",
        ),
        (
            "text_encoder/config.json",
            {"layer_norm_eps": 1e-6},
            "layer_norm_eps = 1e-06",
        ),
        (
            "text_encoder/config.json",
            {"intermediate_size": 99},
            "not four times as wide",
        ),
        ("scheduler/scheduler_config.json", {"beta_schedule": "linear"}, "'linear'"),
        ("scheduler/scheduler_config.json", {"beta_end": 0.02}, r"beta_end = 0\.02"),
        ("scheduler/scheduler_config.json", {"prediction_type": "sample"}, "'sample'"),
        (
            "scheduler/scheduler_config.json",
            {"rescale_betas_zero_snr": True},
            "rescale_betas_zero_snr = True",
        ),
    ],
)
def test_another_architecture_is_refused(file, fields, sentence, written):
    change(written, file, **fields)
    with pytest.raises(WeightsError, match=sentence) as refused:
        StableDiffusion.from_pretrained(written)
    assert str(refused.value).count("\n") == 0


def test_a_directory_that_is_not_whole_is_refused(written):
    unet = written / "unet" / "diffusion_pytorch_model.safetensors"
    state = safetensors.torch.load_file(unet)
    unet.unlink()
    with pytest.raises(
        WeightsError, match=r"no diffusion_pytorch_model\.safetensors: "
    ):
        StableDiffusion.from_pretrained(written)
    torch.save(state, unet.with_suffix(".bin"))
    with pytest.raises(
        WeightsError, match=r"only diffusion_pytorch_model.bin, a pickle"
    ):
        StableDiffusion.from_pretrained(written)
    del state["mid_block.attentions.0.proj_out.bias"]
    safetensors.torch.save_file(state, unet)
    with pytest.raises(
        WeightsError, match=r"no tensor 'unet\.middle\.1\.proj_out\.bia"
    ):
        StableDiffusion.from_pretrained(written)
    state["mid_block.attentions.0.proj_out.bias"] = torch.zeros(48)
    safetensors.torch.save_file(state | {"adapter.weight": torch.zeros(1)}, unet)
    with pytest.raises(WeightsError, match=r"'unet\.adapter\.weight'.* has not"):
        StableDiffusion.from_pretrained(written)
    for name in ("vae", "text_encoder", "scheduler"):
        file = next((written / name).glob("*config.json"))
        said = file.read_text()
        file.unlink()
        with pytest.raises(WeightsError, match=f"has no {name}/"):
            StableDiffusion.from_pretrained(written)
        file.write_text("{")
        with pytest.raises(WeightsError, match="not a JSON object: copy it again"):
            StableDiffusion.from_pretrained(written)
        file.write_text(said)


# --- the original layout

# Wide enough for 32 groups, 8 heads or heads of 64, which a file does not tell.
ORIGINAL = StableDiffusionConfig(
    image_size=512,
    vae=AutoencoderConfig(width=32, multiples=(1, 2, 2), blocks=1),
    unet=LatentUNetConfig(
        width=32, multiples=(1, 2, 2), blocks=1, attention_at=(1, 2), text_width=64
    ),
    text=TextConfig(vocab=2048, context=12, width=64, layers=2),
    scale=0.18215,
)
ORIGINAL_2 = dataclasses.replace(
    ORIGINAL,
    unet=dataclasses.replace(ORIGINAL.unet, width=64, heads=None, head_width=64),
    text=dataclasses.replace(ORIGINAL.text, activation="gelu", skip=1, padding="zero"),
)
ORIGINALS = {"first": ORIGINAL, "second": ORIGINAL_2}


def original_shapes(c: StableDiffusionConfig) -> dict[str, tuple[int, ...]]:
    """Every tensor of an original file, by its name, but for the text tower's."""
    shapes: dict[str, tuple[int, ...]] = {}

    def layer(name, *weight, bias=True):
        shapes[f"{name}.weight"] = weight
        if bias:
            shapes[f"{name}.bias"] = weight[:1]

    def residual(name, inputs, outputs, emb):
        layer(f"{name}.in_layers.0", inputs)
        layer(f"{name}.in_layers.2", outputs, inputs, 3, 3)
        layer(f"{name}.emb_layers.1", outputs, emb)
        layer(f"{name}.out_layers.0", outputs)
        layer(f"{name}.out_layers.3", outputs, outputs, 3, 3)
        if inputs != outputs:
            layer(f"{name}.skip_connection", outputs, inputs, 1, 1)

    def transformer(name, x):
        place = () if c.unet.head_width else (1, 1)
        layer(f"{name}.norm", x)
        layer(f"{name}.proj_in", x, x, *place)
        block = f"{name}.transformer_blocks.0"
        for attention, source in (("attn1", x), ("attn2", c.unet.text_width)):
            layer(f"{block}.{attention}.to_q", x, x, bias=False)
            layer(f"{block}.{attention}.to_k", x, source, bias=False)
            layer(f"{block}.{attention}.to_v", x, source, bias=False)
            layer(f"{block}.{attention}.to_out.0", x, x)
        layer(f"{block}.ff.net.0.proj", 8 * x, x)
        layer(f"{block}.ff.net.2", x, 4 * x)
        for n in (1, 2, 3):
            layer(f"{block}.norm{n}", x)
        layer(f"{name}.proj_out", x, x, *place)

    unet, emb = "model.diffusion_model", 4 * c.unet.width
    layer(f"{unet}.time_embed.0", emb, c.unet.width)
    layer(f"{unet}.time_embed.2", emb, emb)
    layer(f"{unet}.input_blocks.0.0", c.unet.width, 4, 3, 3)
    x, number, handed = c.unet.width, 1, [c.unet.width]
    levels = list(enumerate(c.unet.widths))
    for level, width in levels:
        for _ in range(c.unet.blocks):
            residual(f"{unet}.input_blocks.{number}.0", x, width, emb)
            if 2**level in c.unet.attention_at:
                transformer(f"{unet}.input_blocks.{number}.1", width)
            x, number = width, number + 1
            handed.append(x)
        if level < len(levels) - 1:
            layer(f"{unet}.input_blocks.{number}.0.op", x, x, 3, 3)
            number += 1
            handed.append(x)
    residual(f"{unet}.middle_block.0", x, x, emb)
    transformer(f"{unet}.middle_block.1", x)
    residual(f"{unet}.middle_block.2", x, x, emb)
    number = 0
    for level, width in reversed(levels):
        attends = 2**level in c.unet.attention_at
        for k in range(c.unet.blocks + 1):
            residual(f"{unet}.output_blocks.{number}.0", x + handed.pop(), width, emb)
            if attends:
                transformer(f"{unet}.output_blocks.{number}.1", width)
            if level and k == c.unet.blocks:
                doubling = f"{unet}.output_blocks.{number}.{1 + attends}.conv"
                layer(doubling, width, width, 3, 3)
            x, number = width, number + 1
    layer(f"{unet}.out.0", x)
    layer(f"{unet}.out.2", 4, x, 3, 3)

    vae, z = "first_stage_model", c.vae.latent

    def plain(name, inputs, outputs):
        layer(f"{name}.norm1", inputs)
        layer(f"{name}.conv1", outputs, inputs, 3, 3)
        layer(f"{name}.norm2", outputs)
        layer(f"{name}.conv2", outputs, outputs, 3, 3)
        if inputs != outputs:
            layer(f"{name}.nin_shortcut", outputs, inputs, 1, 1)

    def middle(name, x):
        plain(f"{name}.mid.block_1", x, x)
        layer(f"{name}.mid.attn_1.norm", x)
        for part in ("q", "k", "v", "proj_out"):
            layer(f"{name}.mid.attn_1.{part}", x, x, 1, 1)
        plain(f"{name}.mid.block_2", x, x)

    levels = list(enumerate(c.vae.widths))
    x = c.vae.width
    layer(f"{vae}.encoder.conv_in", x, 3, 3, 3)
    for level, width in levels:
        for k in range(c.vae.blocks):
            plain(f"{vae}.encoder.down.{level}.block.{k}", x, width)
            x = width
        if level < len(levels) - 1:
            layer(f"{vae}.encoder.down.{level}.downsample.conv", x, x, 3, 3)
    middle(f"{vae}.encoder", x)
    layer(f"{vae}.encoder.norm_out", x)
    layer(f"{vae}.encoder.conv_out", 2 * z, x, 3, 3)
    layer(f"{vae}.decoder.conv_in", x, z, 3, 3)
    middle(f"{vae}.decoder", x)
    for level, width in reversed(levels):
        for k in range(c.vae.blocks + 1):
            plain(f"{vae}.decoder.up.{level}.block.{k}", x, width)
            x = width
        if level:
            layer(f"{vae}.decoder.up.{level}.upsample.conv", x, x, 3, 3)
    layer(f"{vae}.decoder.norm_out", x)
    layer(f"{vae}.decoder.conv_out", 3, x, 3, 3)
    layer(f"{vae}.quant_conv", 2 * z, 2 * z, 1, 1)
    layer(f"{vae}.post_quant_conv", z, z, 1, 1)
    return shapes


def text_shapes(c: TextConfig, second: bool) -> dict[str, tuple[int, ...]]:
    """The text tower's tensors: Hugging Face's layout in 1, OpenAI's in 2."""
    w, shapes = c.width, {}
    prefix = (
        "cond_stage_model.model."
        if second
        else ("cond_stage_model.transformer.text_model.")
    )
    vectors = {"token_embedding.weight": (c.vocab, w)}
    if second:
        vectors |= {"positional_embedding": (c.context, w), "text_projection": (w, w)}
        vectors |= {"logit_scale": (), "ln_final.weight": (w,), "ln_final.bias": (w,)}
        layers, place = "transformer.resblocks", ("ln_1", "ln_2")
        maps = {
            "attn.out_proj": (w, w),
            "mlp.c_fc": (4 * w, w),
            "mlp.c_proj": (w, 4 * w),
        }
    else:
        vectors = {f"embeddings.{k}": v for k, v in vectors.items()}
        vectors["embeddings.position_embedding.weight"] = (c.context, w)
        vectors |= {f"final_layer_norm.{kind}": (w,) for kind in ("weight", "bias")}
        layers, place = "encoder.layers", ("layer_norm1", "layer_norm2")
        maps = {f"self_attn.{x}_proj": (w, w) for x in ("q", "k", "v", "out")}
        maps |= {"mlp.fc1": (4 * w, w), "mlp.fc2": (w, 4 * w)}
    shapes |= vectors
    for n in range(c.layers):
        if second:
            shapes[f"{layers}.{n}.attn.in_proj_weight"] = (3 * w, w)
            shapes[f"{layers}.{n}.attn.in_proj_bias"] = (3 * w,)
        for name, shape in maps.items():
            shapes[f"{layers}.{n}.{name}.weight"] = shape
            shapes[f"{layers}.{n}.{name}.bias"] = shape[:1]
        for name in place:
            shapes[f"{layers}.{n}.{name}.weight"] = shapes[
                f"{layers}.{n}.{name}.bias"
            ] = (w,)
    return {prefix + name: shape for name, shape in shapes.items()}


def synthetic(kind: str) -> dict[str, torch.Tensor]:
    """An original file's state dict, every tensor random; norms near 1."""
    config = ORIGINALS[kind]
    shapes = original_shapes(config) | text_shapes(config.text, kind == "second")
    generator, state = torch.Generator().manual_seed(0), {}
    norms = ("in_layers.0", "out_layers.0", "norm", "ln_", ".out.0.")
    for name, shape in shapes.items():
        state[name] = torch.randn(shape, generator=generator)
        if len(shape) > 1:
            state[name] /= state[name][0].numel() ** 0.5
        else:
            norm = any(x in name for x in norms) and name.endswith("weight")
            state[name] = 0.2 * state[name] + norm
    return state


def their_parts(kind: str, state: dict):
    """diffusers' networks with an original file's weights, by diffusers' converter."""
    c = ORIGINALS[kind]
    heads = [w // 64 for w in c.unet.widths] if c.unet.head_width else 8
    unet = diffusers.UNet2DConditionModel(
        block_out_channels=c.unet.widths,
        down_block_types=["CrossAttnDownBlock2D"] * 2 + ["DownBlock2D"],
        up_block_types=["UpBlock2D"] + ["CrossAttnUpBlock2D"] * 2,
        layers_per_block=1,
        cross_attention_dim=64,
        attention_head_dim=heads,
        use_linear_projection=kind == "second",
    )
    vae = diffusers.AutoencoderKL(
        block_out_channels=c.vae.widths,
        down_block_types=["DownEncoderBlock2D"] * 3,
        up_block_types=["UpDecoderBlock2D"] * 3,
        layers_per_block=1,
        latent_channels=4,
    )
    convert = their_converter.convert_ldm_unet_checkpoint
    unet.load_state_dict(convert(dict(state), dict(unet.config)), strict=True)
    convert = their_converter.convert_ldm_vae_checkpoint
    vae.load_state_dict(convert(dict(state), dict(vae.config)), strict=True)
    config = transformers.CLIPTextConfig(
        vocab_size=2048,
        max_position_embeddings=12,
        hidden_size=64,
        intermediate_size=256,
        num_hidden_layers=2 - (kind == "second"),
        num_attention_heads=1,
        hidden_act=c.text.activation,
        eos_token_id=2047,
    )
    tower = transformers.CLIPTextModel(config)
    if kind == "second":
        convert = their_converter.convert_open_clip_checkpoint
        found = convert(tower, dict(state))
    else:
        found = their_converter.convert_ldm_clip_checkpoint(dict(state))
    places = tower.state_dict()
    found = {k.removeprefix("text_model."): v for k, v in found.items()}
    prefix = "text_model." if any(k.startswith("text_model.") for k in places) else ""
    tower.load_state_dict(
        {k: found[k.removeprefix(prefix)] for k in places}, strict=True
    )
    return unet.eval(), vae.eval(), tower.eval()


OPTIONS = {"first": {}, "second": {"predicts": "eps"}}


@torch.no_grad()
@pytest.mark.parametrize("kind", ORIGINALS)
@pytest.mark.parametrize("suffix", [".safetensors", ".ckpt"])
def test_an_original_file_loads_and_computes_the_same(kind, suffix, tmp_path):
    state, file = synthetic(kind), tmp_path / f"model{suffix}"
    if suffix == ".ckpt":
        torch.save({"state_dict": state, "global_step": 7}, file)
    else:
        safetensors.torch.save_file(state, file)
    world_words().save(tmp_path / "merges.txt")
    model = StableDiffusion.from_pretrained(file, **OPTIONS[kind])
    assert model.config == ORIGINALS[kind] and model.words is None
    unet, vae, tower = their_parts(kind, state)
    tokens = model.tokenize(["a red star"])
    text = tower(input_ids=tokens).last_hidden_state
    assert (model.encode_text(["a red star"]) - text).abs().max() < 1e-4
    x, t = noise(1, 4, 8, 8), torch.tensor([500])
    expected = unet(x, t, text).sample
    assert (
        expected.std() > 0.05 and (model.unet(x, t, text) - expected).abs().max() < 1e-4
    )
    images = pictures(1)
    found, posterior = model.vae.encode(images), vae.encode(images).latent_dist
    assert (found.mean - posterior.mean).abs().max() < 1e-4
    assert (found.logvar - posterior.logvar).abs().max() < 1e-4
    assert (model.vae.decode(x) - vae.decode(x).sample).abs().max() < 1e-4


def test_what_training_left_in_a_file_is_left_out_and_its_averages_are_taken(tmp_path):
    state, file = synthetic("first"), tmp_path / "model.safetensors"
    averages = {
        "model_ema." + name.removeprefix("model.").replace(".", ""): tensor + 1
        for name, tensor in state.items()
        if name.startswith("model.diffusion_model.")
    }
    beside = {"model_ema.decay": torch.tensor(0.9999), "betas": torch.zeros(1000)}
    beside["alphas_cumprod"] = Schedule.scaled_linear().alphas_bar.float()
    beside["scale_factor"] = torch.tensor(0.18215)
    beside["first_stage_model.loss.logvar"] = torch.zeros(1)
    safetensors.torch.save_file(state, file)
    plain = StableDiffusion.from_pretrained(file)
    safetensors.torch.save_file(state | averages | beside, file)
    averaged = StableDiffusion.from_pretrained(file)
    for name, p in plain.named_parameters():
        q = averaged.get_parameter(name)
        assert torch.equal(p + name.startswith("unet."), q), name


def test_original_files_that_are_another_model_are_refused(tmp_path):
    file = tmp_path / "model.safetensors"

    def refused(state: dict, sentence: str, **options) -> None:
        safetensors.torch.save_file(state, file)
        with pytest.raises(WeightsError, match=sentence):
            StableDiffusion.from_pretrained(file, **options)

    first, second = synthetic("first"), synthetic("second")
    refused({"conv.weight": torch.zeros(3)}, "begins with 'first_stage_model.'")
    no_text = {k: v for k, v in first.items() if not k.startswith("cond")}
    refused(no_text, "begins with 'cond_stage_model.transformer.'")
    refused(second, 'predicts="v" for the one of 768 px')
    other = Schedule.linear().alphas_bar.float()
    refused(first | {"alphas_cumprod": other}, "another schedule of noise")
    scale = torch.tensor(0.13025)
    refused(first | {"scale_factor": scale}, r"latents by 0\.13025, .* by 0\.18215")
    extra = {"model.diffusion_model.label_emb.0.0.weight": torch.zeros(3)}
    refused(first | extra, r"'unet\.label_emb\.0\.0\.weight'.* has not")
    seen = {"model.diffusion_model.input_blocks.0.0.weight": torch.zeros(32, 9, 3, 3)}
    refused(first | seen, "no Stable Diffusion 1 or 2 .*channels_in is 9")
    del first["model.diffusion_model.middle_block.1.proj_in.weight"]
    refused(first, r"no Stable Diffusion 1 or 2 \('middle_block\.1\.proj_in\.weight'\)")
    with pytest.raises(WeightsError, match=r"predicts must be one of eps, x0, v"):
        safetensors.torch.save_file(second, file)
        StableDiffusion.from_pretrained(file, predicts="noise")


def test_a_pickle_that_could_run_a_program_is_refused(tmp_path):
    file = tmp_path / "model.ckpt"
    torch.save({"state_dict": synthetic("first"), "callback": Program()}, file)
    with pytest.raises(WeightsError, match=r"any program: .* refused; .*save_file"):
        StableDiffusion.from_pretrained(file)
    file.rename(tmp_path / "model.safetensors")
    with pytest.raises(WeightsError, match=r"is a pickle made by torch.save"):
        StableDiffusion.from_pretrained(tmp_path / "model.safetensors")


class Program:
    """Something that only a full unpickler would build."""


@pytest.mark.parametrize("size", ["paper", "paper-v2"])
def test_every_published_name_and_shape_has_its_place(size):
    """At full size, on the meta device, in both layouts."""
    config = config_of(size)
    with torch.device("meta"):
        model = StableDiffusion(config)
        unet = diffusers.UNet2DConditionModel(
            cross_attention_dim=config.text.width,
            attention_head_dim=8 if size == "paper" else [5, 10, 20, 20],
            use_linear_projection=size != "paper",
        )
        vae = diffusers.AutoencoderKL(
            block_out_channels=[128, 256, 512, 512],
            down_block_types=["DownEncoderBlock2D"] * 4,
            up_block_types=["UpDecoderBlock2D"] * 4,
            layers_per_block=2,
            latent_channels=4,
        )
    wanted = {k: v.shape for k, v in model.state_dict().items() if k[:4] != "text"}
    for layout in ("diffusers", "original"):
        if layout == "original":
            state = {
                name: torch.empty(shape, device="meta")
                for name, shape in original_shapes(config).items()
            }
            prefixes = {"unet": "model.diffusion_model.", "vae": "first_stage_model."}
            parts = {
                part: {
                    k.removeprefix(p): v for k, v in state.items() if k.startswith(p)
                }
                for part, p in prefixes.items()
            }
        else:
            parts = {"unet": unet.state_dict(), "vae": vae.state_dict()}
        assert [len(parts[name]) for name in ("unet", "vae")] == [686, 248]
        found = {}
        for name, state in parts.items():
            found |= to_ours(state, name, layout, config)
            own = getattr(model, name).state_dict()
            names = {published_name(key, name, layout, config) for key in own}
            assert names == state.keys()
        assert {name: tensor.shape for name, tensor in found.items()} == wanted
