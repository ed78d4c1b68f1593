"""The released GLIDE's state dicts load, and compute what the released code computes.

No weights are at hand, so a synthetic state dict of the released names and shapes goes
two ways: into our network by `to_ours`, and through `released`, which is written from a
description of the released code, on the released names, and knows nothing of ours.
Tiny, in float64, every tensor random, to 1e-10; typical mistakes must be seen.
"""

import dataclasses
import math

import pytest
import safetensors.torch
import torch
import torch.nn.functional as F

from mmlearn import weights
from mmlearn.glide import GLIDE, PADDING, PAPER_3_5B, SIZES, StageConfig, TextUNet, keys
from mmlearn.glide.keys import config_of, released_name, to_ours, to_released
from mmlearn.nn import time_embedding

# Two heads and more wherever there are heads: with one, their order cannot be wrong.
BASE = StageConfig(
    image_size=16,
    width=16,
    multiples=(1, 2, 3),
    blocks=2,
    attention_at=(8, 4),
    vocab=50,
    context=7,
    text_width=24,
    text_layers=2,
    text_heads=3,
    head_width=16,
    groups=8,
)
UPSAMPLER = dataclasses.replace(
    BASE, multiples=(1, 1, 2), attention_at=(4,), upsamples=True, schedule="linear"
)
STAGES = {
    "base": BASE,
    "upsampler": UPSAMPLER,
    "base that inpaints": dataclasses.replace(BASE, inpaints=True),
    "upsampler that inpaints": dataclasses.replace(UPSAMPLER, inpaints=True),
}


# --- the released layout and arithmetic, written out


def released_shapes(c: StageConfig) -> dict[str, tuple[int, ...]]:
    """Every tensor of a released stage, by its name."""
    shapes: dict[str, tuple[int, ...]] = {}
    emb, text = 4 * c.width, c.text_width

    def layer(name, *weight):
        shapes[f"{name}.weight"], shapes[f"{name}.bias"] = weight, weight[:1]

    def norm(name, width):
        layer(name, width)

    def residual(name, inputs, outputs):
        norm(f"{name}.in_layers.0", inputs)
        layer(f"{name}.in_layers.2", outputs, inputs, 3, 3)
        layer(f"{name}.emb_layers.1", 2 * outputs, emb)
        norm(f"{name}.out_layers.0", outputs)
        layer(f"{name}.out_layers.3", outputs, outputs, 3, 3)
        if inputs != outputs:
            layer(f"{name}.skip_connection", outputs, inputs, 1, 1)

    def attention(name, width):
        norm(f"{name}.norm", width)
        layer(f"{name}.qkv", 3 * width, width, 1)
        layer(f"{name}.encoder_kv", 2 * width, text, 1)
        layer(f"{name}.proj_out", width, width, 1)

    for name in ("positional_embedding", "padding_embedding"):
        shapes[name] = (c.context, text)
    shapes["token_embedding.weight"] = (c.vocab, text)
    for n in range(c.text_layers):
        block = f"transformer.resblocks.{n}"
        layer(f"{block}.attn.c_qkv", 3 * text, text)
        layer(f"{block}.attn.c_proj", text, text)
        layer(f"{block}.mlp.c_fc", 4 * text, text)
        layer(f"{block}.mlp.c_proj", text, 4 * text)
        norm(f"{block}.ln_1", text)
        norm(f"{block}.ln_2", text)
    norm("final_ln", text)
    layer("transformer_proj", emb, text)
    layer("time_embed.0", emb, c.width)
    layer("time_embed.2", emb, emb)

    channels = 3 + 4 * c.inpaints + 3 * c.upsamples
    layer("input_blocks.0.0", c.width, channels, 3, 3)
    x, number, handed = c.width, 1, [c.width]
    levels = range(len(c.multiples))
    for level in levels:
        width = c.width * c.multiples[level]
        attends = c.image_size >> level in c.attention_at
        for _ in range(c.blocks):
            residual(f"input_blocks.{number}.0", x, width)
            if attends:
                attention(f"input_blocks.{number}.1", width)
            x, number = width, number + 1
            handed.append(x)
        if level < levels[-1]:
            residual(f"input_blocks.{number}.0", x, x)
            number += 1
            handed.append(x)
    residual("middle_block.0", x, x)
    attention("middle_block.1", x)
    residual("middle_block.2", x, x)
    number = 0
    for level in reversed(levels):
        width = c.width * c.multiples[level]
        attends = c.image_size >> level in c.attention_at
        for k in range(c.blocks + 1):
            residual(f"output_blocks.{number}.0", x + handed.pop(), width)
            if attends:
                attention(f"output_blocks.{number}.1", width)
            if level and k == c.blocks:
                residual(f"output_blocks.{number}.{1 + attends}", width, width)
            x, number = width, number + 1
    norm("out.0", x)
    layer("out.2", 6, x, 3, 3)
    return shapes


class Released:
    """The released network as functions of a state dict in the released names."""

    def __init__(self, state: dict[str, torch.Tensor], c: StageConfig):
        self.state, self.c = state, c

    def __getitem__(self, name: str) -> tuple[torch.Tensor, torch.Tensor]:
        return self.state[f"{name}.weight"], self.state[f"{name}.bias"]

    def linear(self, name, x):
        weight, bias = self[name]
        return torch.einsum("...i,oi->...o", x, weight) + bias

    def pointwise(self, name, x):
        """A convolution of one place over (n, channels, places)."""
        weight, bias = self[name]
        return torch.einsum("nil,oi->nol", x, weight[:, :, 0]) + bias[:, None]

    def conv(self, name, x):
        weight, bias = self[name]
        return F.conv2d(x, weight, bias, padding=weight.shape[-1] // 2)

    def layer_norm(self, name, x):
        weight, bias = self[name]
        x = x - x.mean(dim=-1, keepdim=True)
        return x / (x.square().mean(dim=-1, keepdim=True) + 1e-5).sqrt() * weight + bias

    def group_norm(self, name, x):
        weight, bias = self[name]
        parts = x.reshape(len(x), self.c.groups, -1)
        parts = parts - parts.mean(dim=2, keepdim=True)
        parts = parts / (parts.square().mean(dim=2, keepdim=True) + 1e-5).sqrt()
        shape = (1, -1, *[1] * (x.ndim - 2))
        return parts.reshape(x.shape) * weight.view(shape) + bias.view(shape)

    def text(self, tokens, mask):
        x = self.state["token_embedding.weight"][tokens]
        x = x + self.state["positional_embedding"]
        x = torch.where(mask[..., None], x, self.state["padding_embedding"])
        heads = self.c.text_heads
        for n in range(self.c.text_layers):
            block = f"transformer.resblocks.{n}"
            qkv = self.linear(
                f"{block}.attn.c_qkv", self.layer_norm(f"{block}.ln_1", x)
            )
            mixed = []
            for head in qkv.chunk(heads, dim=2):
                q, k, v = head.chunk(3, dim=2)
                scores = q @ k.transpose(1, 2) / math.sqrt(q.shape[2])
                mixed.append(scores.softmax(dim=2) @ v)
            x = x + self.linear(f"{block}.attn.c_proj", torch.cat(mixed, dim=2))
            h = self.linear(f"{block}.mlp.c_fc", self.layer_norm(f"{block}.ln_2", x))
            h = h * (1 + torch.erf(h / math.sqrt(2))) / 2
            x = x + self.linear(f"{block}.mlp.c_proj", h)
        return self.layer_norm("final_ln", x)

    def time(self, t):
        """Cosines, then sines; in float32, as the released code has them."""
        half = self.c.width // 2
        steps = torch.arange(half, dtype=torch.float32)
        angles = t.float()[:, None] * torch.exp(-math.log(10_000) * steps / half)
        waves = torch.cat([angles.cos(), angles.sin()], dim=1).double()
        h = self.linear("time_embed.0", waves)
        return self.linear("time_embed.2", h * h.sigmoid())

    def residual(self, name, x, emb, resize=lambda x: x):
        h = self.group_norm(f"{name}.in_layers.0", x)
        h = self.conv(f"{name}.in_layers.2", resize(h * h.sigmoid()))
        film = self.linear(f"{name}.emb_layers.1", emb * emb.sigmoid())
        scale, shift = film[:, :, None, None].chunk(2, dim=1)
        h = self.group_norm(f"{name}.out_layers.0", h) * (1 + scale) + shift
        h = self.conv(f"{name}.out_layers.3", h * h.sigmoid())
        x = resize(x)
        skip = f"{name}.skip_connection"
        return h + (self.conv(skip, x) if f"{skip}.weight" in self.state else x)

    def attention(self, name, x, words):
        n, width, *sides = x.shape
        flat = x.reshape(n, width, -1)
        qkv = self.pointwise(f"{name}.qkv", self.group_norm(f"{name}.norm", flat))
        text = self.pointwise(f"{name}.encoder_kv", words.transpose(1, 2))
        heads, mixed = width // self.c.head_width, []
        both = qkv.chunk(heads, dim=1), text.chunk(heads, dim=1)
        for own, other in zip(*both, strict=True):
            q, k, v = own.chunk(3, dim=1)
            text_k, text_v = other.chunk(2, dim=1)
            k, v = torch.cat([text_k, k], dim=2), torch.cat([text_v, v], dim=2)
            scores = q.transpose(1, 2) @ k / math.sqrt(q.shape[1])
            mixed.append(v @ scores.softmax(dim=2).transpose(1, 2))
        out = self.pointwise(f"{name}.proj_out", torch.cat(mixed, dim=1))
        return x + out.view(n, width, *sides)

    def layers(self, name, x, emb, words, resize):
        """The layers of one stage; which they are, the names tell."""
        for m in range(3):
            if f"{name}.{m}.qkv.weight" in self.state:
                x = self.attention(f"{name}.{m}", x, words)
            elif f"{name}.{m}.in_layers.0.weight" in self.state:
                x = self.residual(f"{name}.{m}", x, emb, resize.get(m, lambda x: x))
        return x

    def __call__(self, x, t, tokens, mask, low_res=None, known=None):
        parts = [x] + ([known] if known is not None else [])
        if low_res is not None:
            size = x.shape[2:]
            parts.append(
                F.interpolate(low_res, size, mode="bilinear", align_corners=False)
            )
        words = self.text(tokens, mask)
        emb = self.time(t) + self.linear("transformer_proj", words[:, -1])
        per_level, levels = self.c.blocks + 1, len(self.c.multiples)
        x = self.conv("input_blocks.0.0", torch.cat(parts, dim=1))
        handed = [x]
        for n in range(1, per_level * levels):
            halves = {0: lambda x: F.avg_pool2d(x, 2)} if n % per_level == 0 else {}
            x = self.layers(f"input_blocks.{n}", x, emb, words, halves)
            handed.append(x)
        x = self.layers("middle_block", x, emb, words, {})
        for n in range(per_level * levels):
            x = torch.cat([x, handed.pop()], dim=1)
            # A second residual block doubles the grid.
            twice = {
                m: lambda x: x.repeat_interleave(2, 2).repeat_interleave(2, 3)
                for m in (1, 2)
            }
            x = self.layers(f"output_blocks.{n}", x, emb, words, twice)
        h = self.group_norm("out.0", x)
        return self.conv("out.2", h * h.sigmoid())


def synthetic(c: StageConfig) -> dict[str, torch.Tensor]:
    """A released state dict, every tensor random; norms near 1."""
    generator, state = torch.Generator().manual_seed(0), {}
    for name, shape in released_shapes(c).items():
        noise = torch.randn(shape, generator=generator).double()
        if len(shape) > 1:
            state[name] = noise * math.prod(shape[1:]) ** -0.5
        else:
            norm = any(
                x in name for x in ("in_layers.0", "out_layers.0", "norm", "ln_")
            )
            norm = norm or name.startswith(("final_ln", "out.0"))
            state[name] = 0.2 * noise + (norm and name.endswith("weight"))
    return state


def inputs(c: StageConfig) -> dict:
    generator = torch.Generator().manual_seed(1)

    def noise(*shape):
        return torch.randn(shape, generator=generator).double()

    tokens = torch.randint(c.vocab, (3, c.context), generator=generator)
    lengths = torch.tensor([0, 4, c.context])
    mask = torch.arange(c.context) < lengths[:, None]
    size = c.image_size
    given = {"x": noise(3, 3, size, size), "t": torch.tensor([3, 500, 871])}
    given |= {"tokens": tokens, "mask": mask}
    given |= {"low_res": noise(3, 3, size // 2, size // 2)} if c.upsamples else {}
    return given | ({"known": noise(3, 4, size, size)} if c.inpaints else {})


def loaded(c: StageConfig) -> TextUNet:
    stage = TextUNet(c).double().eval()
    stage.load_state_dict(to_ours(synthetic(c), c), strict=True)
    return stage


@torch.no_grad()
def error(mine: TextUNet, c: StageConfig) -> float:
    given = inputs(c)
    expected = Released(synthetic(c), c)(**given)
    assert 0.1 < expected.std() < 10  # neither dead nor exploded
    mask = given.pop("mask")
    given["tokens"] = given["tokens"].where(mask, PADDING)
    return (mine(**given) - expected).abs().max().item()


# --- the proof, and what it must see


@pytest.mark.parametrize("name", STAGES)
def test_released_weights_compute_what_the_released_code_computes(name):
    assert error(loaded(STAGES[name]), STAGES[name]) < 1e-10


def heads_left_interleaved(mine, monkeypatch):
    monkeypatch.setattr(keys, "whole_parts", lambda tensor, parts, width: tensor)
    mine.load_state_dict(to_ours(synthetic(BASE), BASE))


def only_the_texts_keys_interleaved(mine, monkeypatch):
    monkeypatch.setitem(keys.PARTS, "encoder_kv", 1)
    mine.load_state_dict(to_ours(synthetic(BASE), BASE))


def sines_before_cosines(mine, monkeypatch):
    right = time_embedding.sinusoids
    flipped = lambda t, width: right(t, width).roll(width // 2, dims=1)  # noqa: E731
    monkeypatch.setattr(time_embedding, "sinusoids", flipped)


def tanh_gelu(mine, monkeypatch):
    for block in mine.text.transformer.blocks:
        block.mlp.activation = lambda x: F.gelu(x, approximate="tanh")


def token_zero_for_padding(mine, monkeypatch):
    read = mine.text.forward
    monkeypatch.setattr(mine.text, "forward", lambda tokens: read(tokens.clamp(min=0)))


def positions_under_the_padding(mine, monkeypatch):
    mine.text.padding.data += mine.text.positions.data


def causal_text(mine, monkeypatch):
    run = mine.text.transformer.forward
    monkeypatch.setattr(mine.text.transformer, "forward", lambda x: run(x, causal=True))


def no_last_norm(mine, monkeypatch):
    mine.text.ln_final = torch.nn.Identity()


def the_first_state_for_the_last(mine, monkeypatch):
    read = TextUNet.read
    monkeypatch.setattr(
        TextUNet,
        "read",
        lambda self, tokens: read(self, tokens)._replace(
            vector=self.text(tokens)[:, 0]
        ),
    )


@pytest.mark.parametrize(
    "mistake",
    [
        heads_left_interleaved,
        only_the_texts_keys_interleaved,
        sines_before_cosines,
        tanh_gelu,
        token_zero_for_padding,
        positions_under_the_padding,
        causal_text,
        no_last_norm,
        the_first_state_for_the_last,
    ],
)
def test_a_mistake_is_seen(mistake, monkeypatch):
    mine = loaded(BASE)
    assert error(mine, BASE) < 1e-10
    mistake(mine, monkeypatch)
    assert error(mine, BASE) > 1e-6


@torch.no_grad()
def test_a_mistake_of_the_upsamplers_is_seen():
    config = STAGES["upsampler that inpaints"]
    mine, given = loaded(config), inputs(config)
    mask = given.pop("mask")
    given["tokens"] = given["tokens"].where(mask, PADDING)
    right = mine(**given)
    # Of the full size already, it is not enlarged again.
    nearest = F.interpolate(given["low_res"], scale_factor=2, mode="nearest")
    assert (mine(**given | {"low_res": nearest}) - right).abs().max() > 1e-3
    channels = mine.unet.first.weight.data
    mine.unet.first.weight.data = channels.roll(3, dims=1)
    assert error(mine, config) > 1e-3


# --- names, shapes, files


@pytest.mark.parametrize("name", STAGES)
def test_names_and_shapes_go_back_and_forth(name):
    config, state = STAGES[name], synthetic(STAGES[name])
    back = to_released(to_ours(state, config), config)
    assert back.keys() == state.keys()
    for key in state:
        assert torch.equal(back[key], state[key]), key
    again = to_ours(back, config)
    assert all(torch.equal(x, again[key]) for key, x in to_ours(state, config).items())


@pytest.mark.parametrize(
    ("name", "total", "tensors"),
    [("base", 385_030_726, 783), ("upsampler", 398_361_286, 797)],
)
def test_at_paper_size_it_is_the_released_one(name, total, tensors):
    config = StageConfig(**SIZES["paper"][name])
    shapes = released_shapes(config)
    assert len(shapes) == tensors and sum(map(math.prod, shapes.values())) == total
    published = {
        key: torch.empty(shape, device="meta") for key, shape in shapes.items()
    }
    assert config_of(published) == dataclasses.replace(config, dropout=0.0)
    with torch.device("meta"):
        mine = TextUNet(config)
    assert sum(p.numel() for p in mine.parameters()) == total
    ours = to_ours(published, config)
    state = mine.state_dict()
    assert {key: x.shape for key, x in ours.items()} == {
        key: x.shape for key, x in state.items()
    }
    assert {released_name(key) for key in state} == shapes.keys()
    glide = GLIDE.from_size("paper", device="meta")
    assert sum(p.numel() for p in getattr(glide, name).parameters()) == total


def test_with_the_papers_own_widths_it_has_3_5_billion_parameters():
    with torch.device("meta"):
        large = TextUNet(StageConfig(**PAPER_3_5B))
    count = {
        name: sum(p.numel() for p in part.parameters()) / 1e9
        for name, part in large.named_children()
    }
    assert abs(sum(count.values()) - 3.5) < 0.06
    # "2.3 B" and "roughly 1.2 B": its tokens and positions are 0.1 B beside the blocks
    assert abs(count["unet"] - 2.3) < 0.06
    blocks = sum(p.numel() for p in large.text.transformer.parameters()) / 1e9
    assert abs(blocks - 1.2) < 0.05


@pytest.fixture(scope="module")
def small():
    """Stages whose heads are 64 wide and groups 32, which a file does not tell."""
    sizes = {"width": 32, "head_width": 64, "groups": 32, "text_width": 128}
    sizes |= {"multiples": (1, 2), "blocks": 1, "text_heads": 2}
    base = dataclasses.replace(BASE, image_size=64, attention_at=(32,), **sizes)
    up = dataclasses.replace(UPSAMPLER, image_size=256, attention_at=(128,), **sizes)
    return base, up


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_released_files_load(small, suffix, tmp_path):
    files = []
    for name, config in zip(("base", "upsample"), small, strict=True):
        state = {key: x.half() for key, x in synthetic(config).items()}
        save = torch.save if suffix == ".pt" else safetensors.torch.save_file
        files.append(tmp_path / f"{name}{suffix}")
        save(state, files[-1])
    glide = GLIDE.from_pretrained(files[0], upsampler=files[1])
    assert (glide.base.config, glide.upsampler.config) == small
    assert glide.tokenizer is None and not glide.training
    assert glide.base.unet.first.weight.dtype == torch.float32
    x = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    t, tokens = torch.tensor([5]), torch.full((1, 7), 3)
    with torch.no_grad():
        found = glide.base(x, t, tokens)
        expected = loaded(small[0])(x.double(), t, tokens)
    assert (found - expected).std() < 0.02 * expected.std()  # stored in 16 bits
    assert GLIDE.from_pretrained(files[0]).upsampler is None
    glide.tokenizer = Alphabet()
    options = {"steps": 1, "upsample": False, "progress": False}
    assert glide.generate(["abc"], **options).shape == (1, 3, 64, 64)


class Alphabet:
    """Another package's tokenizer: a letter, an id."""

    def __len__(self):
        return 50

    def encode(self, text):
        return [ord(letter) % 50 for letter in text]


def test_files_that_are_no_stage_are_refused(small, tmp_path):
    file = tmp_path / "base.pt"
    torch.save({"conv.weight": torch.zeros(3)}, file)
    with pytest.raises(weights.WeightsError, match="no GLIDE"):
        GLIDE.from_pretrained(file)
    state = synthetic(small[0])
    torch.save(state | {"unemb.weight": torch.zeros(3)}, file)
    with pytest.raises(weights.WeightsError, match=r"'base.unemb.weight'.*has not"):
        GLIDE.from_pretrained(file)
    del state["final_ln.bias"]
    torch.save(state, file)
    with pytest.raises(weights.WeightsError, match=r"no tensor 'base.text.ln_final"):
        GLIDE.from_pretrained(file)
    torch.save(synthetic(small[1]), file)
    with pytest.raises(ValueError, match="base is an upsampler"):
        GLIDE.from_pretrained(file)
    with pytest.raises(weights.WeightsError, match="there is no weights file"):
        GLIDE.from_pretrained(file, upsampler=tmp_path / "none.pt")
