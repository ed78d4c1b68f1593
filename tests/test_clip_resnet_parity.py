"""CLIP's ResNet under OpenAI's names is the same function as a reference in float64.

The reference reads a state dict in OpenAI's layout, its names and shapes written out
here, and knows nothing of `mmlearn`. Mistakes that people make must be seen by it.
"""

import pytest
import safetensors.torch
import torch
import torch.nn.functional as F

from mmlearn import weights
from mmlearn.clip import CLIP, CLIPConfig
from mmlearn.clip_keys import PUBLISHED_MEAN, PUBLISHED_STD, sizes_of, to_ours

LAYERS, WIDTH, EMBED = (1, 2, 1, 1), 4, 48  # two heads of 64 in the pooling
VOCAB, CONTEXT, TEXT = 50, 6, 64


def published_shapes(layers, width, embed, side, vocab, context, text, text_layers):
    """Names and shapes of a released ResNet CLIP: the image tower, then the text's."""
    shapes = {}

    def conv_bn(conv, bn, outputs, inputs, size):
        shapes[f"{conv}.weight"] = (outputs, inputs, size, size)
        for name in ("weight", "bias", "running_mean", "running_var"):
            shapes[f"{bn}.{name}"] = (outputs,)
        shapes[f"{bn}.num_batches_tracked"] = ()

    stem = ((width // 2, 3), (width // 2, width // 2), (width, width // 2))
    for n, (outputs, inputs) in enumerate(stem, 1):
        conv_bn(f"visual.conv{n}", f"visual.bn{n}", outputs, inputs, 3)
    inputs = width
    for n, blocks in enumerate(layers, 1):
        inner = width * 2 ** (n - 1)
        for i in range(blocks):
            at = f"visual.layer{n}.{i}"
            conv_bn(f"{at}.conv1", f"{at}.bn1", inner, inputs, 1)
            conv_bn(f"{at}.conv2", f"{at}.bn2", inner, inner, 3)
            conv_bn(f"{at}.conv3", f"{at}.bn3", 4 * inner, inner, 1)
            if i == 0:
                down = f"{at}.downsample"
                conv_bn(f"{down}.0", f"{down}.1", 4 * inner, inputs, 1)
            inputs = 4 * inner
    shapes["visual.attnpool.positional_embedding"] = (side**2 + 1, inputs)
    for x, outputs in (("q", inputs), ("k", inputs), ("v", inputs), ("c", embed)):
        shapes[f"visual.attnpool.{x}_proj.weight"] = (outputs, inputs)
        shapes[f"visual.attnpool.{x}_proj.bias"] = (outputs,)
    for n in range(text_layers):
        at = f"transformer.resblocks.{n}"
        for name, rows, columns in (
            ("attn.in_proj_", 3 * text, text),
            ("attn.out_proj.", text, text),
            ("mlp.c_fc.", 4 * text, text),
            ("mlp.c_proj.", text, 4 * text),
        ):
            shapes[f"{at}.{name}weight"] = (rows, columns)
            shapes[f"{at}.{name}bias"] = (rows,)
        for name in ("ln_1", "ln_2"):
            shapes[f"{at}.{name}.weight"] = shapes[f"{at}.{name}.bias"] = (text,)
    shapes["ln_final.weight"] = shapes["ln_final.bias"] = (text,)
    shapes |= {"token_embedding.weight": (vocab, text), "logit_scale": ()}
    shapes |= {
        "positional_embedding": (context, text),
        "text_projection": (text, embed),
    }
    return shapes


@pytest.fixture(scope="module")
def published():
    """Every tensor random: no two are equal, no norm is the identity."""
    shapes = published_shapes(LAYERS, WIDTH, EMBED, 2, VOCAB, CONTEXT, TEXT, 1)
    generator = torch.Generator().manual_seed(0)
    state = {}
    for number, (name, shape) in enumerate(shapes.items()):
        noise = torch.randn(shape, generator=generator)
        if name.endswith("num_batches_tracked"):
            state[name] = torch.tensor(number)
        elif "running_var" in name:
            state[name] = 0.5 + noise.abs()
        elif len(shape) > 1:
            state[name] = noise * noise[0].numel() ** -0.5
        else:
            state[name] = 1 + 0.3 * noise
    settings = {"input_resolution": 64, "context_length": CONTEXT, "vocab_size": VOCAB}
    return state | {name: torch.tensor(x) for name, x in settings.items()}


@pytest.fixture(scope="module")
def file(published, tmp_path_factory):
    path = tmp_path_factory.mktemp("published") / "RN-tiny.safetensors"
    safetensors.torch.save_file(published, path)
    return path


@pytest.fixture(scope="module")
def images():
    generator = torch.Generator().manual_seed(1)
    return torch.rand(4, 3, 64, 64, generator=generator) * 2 - 1


def reference(state, images):
    """The released image tower in float64, one tensor and one head at a time."""
    s = {k.removeprefix("visual."): v.double() for k, v in state.items()}

    def conv_bn(x, conv, bn, stride=1, padding=0):
        x = F.conv2d(x, s[f"{conv}.weight"], stride=stride, padding=padding)
        mean, var, weight, bias = (
            s[f"{bn}.{name}"][:, None, None]
            for name in ("running_mean", "running_var", "weight", "bias")
        )
        return (x - mean) / (var + 1e-5).sqrt() * weight + bias

    def halve(x):
        return sum(x[..., i::2, j::2] for i in (0, 1) for j in (0, 1)) / 4

    mean, std = (
        torch.tensor(x, dtype=torch.float64)[:, None, None]
        for x in (PUBLISHED_MEAN, PUBLISHED_STD)
    )
    x = ((images.double() + 1) / 2 - mean) / std
    for n, stride in ((1, 2), (2, 1), (3, 1)):
        x = conv_bn(x, f"conv{n}", f"bn{n}", stride, padding=1).relu()
    x = halve(x)
    for n, blocks in enumerate(LAYERS, 1):
        for i in range(blocks):
            at, down = f"layer{n}.{i}", n > 1 and i == 0
            y = conv_bn(x, f"{at}.conv1", f"{at}.bn1").relu()
            y = conv_bn(y, f"{at}.conv2", f"{at}.bn2", padding=1).relu()
            y = conv_bn(halve(y) if down else y, f"{at}.conv3", f"{at}.bn3")
            x = halve(x) if down else x
            if i == 0:
                x = conv_bn(x, f"{at}.downsample.0", f"{at}.downsample.1")
            x = (x + y).relu()

    places = [x.mean(dim=(2, 3))] + [x[:, :, i, j] for i in (0, 1) for j in (0, 1)]
    places = torch.stack(places) + s["attnpool.positional_embedding"][:, None]
    q, k, v = (
        places @ s[f"attnpool.{x}_proj.weight"].T + s[f"attnpool.{x}_proj.bias"]
        for x in "qkv"
    )
    heads = []
    for at in range(0, 32 * WIDTH, 64):
        one = slice(at, at + 64)
        scores = (q[0, :, one] * k[:, :, one]).sum(dim=-1) / 8  # (place, n)
        heads.append((scores.softmax(dim=0)[..., None] * v[:, :, one]).sum(dim=0))
    out = torch.cat(heads, dim=1) @ s["attnpool.c_proj.weight"].T
    return out + s["attnpool.c_proj.bias"]


@torch.no_grad()
def error(clip, published, images):
    return (clip.encode_image(images.double()) - reference(published, images)).abs()


def test_every_published_name_and_shape_of_rn50_has_its_place():
    paper = CLIP.from_size("paper", tower="resnet", device="meta")
    shapes = published_shapes((3, 4, 6, 3), 64, 1024, 7, 49_408, 77, 512, 12)
    state = {k: torch.empty(shape, device="meta") for k, shape in shapes.items()}
    mapped = to_ours(state)
    assert {k: v.shape for k, v in mapped.items()} == {
        k: v.shape for k, v in paper.state_dict().items()
    }
    fields = sizes_of(mapped) | {"mean": PUBLISHED_MEAN, "std": PUBLISHED_STD}
    assert CLIPConfig(**fields) == CLIPConfig.from_size("paper", "resnet")


def test_published_weights_land_where_they_are_meant(published, file):
    clip = CLIP.from_pretrained(file)
    assert clip.config.vision_layers == LAYERS and clip.config.patch_size is None
    assert (clip.config.image_size, clip.config.vision_width) == (64, WIDTH)
    assert clip.image_projection is None and not clip.training
    norm = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
    pairs = [("vision.stem", "visual", n) for n in "123"]
    blocks = [(s, b) for s in range(4) for b in range(LAYERS[s])]
    pairs += [
        (f"vision.stages.{s}.{b}", f"visual.layer{s + 1}.{b}", n)
        for s, b in blocks
        for n in "123"
    ]
    expected = {"vision.pool.positions": "visual.attnpool.positional_embedding"}
    for ours, theirs, n in pairs:
        expected[f"{ours}.conv{n}.weight"] = f"{theirs}.conv{n}.weight"
        expected |= {f"{ours}.bn{n}.{x}": f"{theirs}.bn{n}.{x}" for x in norm}
    for s in range(4):
        ours, theirs = f"vision.stages.{s}.0.shortcut", f"visual.layer{s + 1}.0"
        expected[f"{ours}.1.weight"] = f"{theirs}.downsample.0.weight"
        expected |= {f"{ours}.2.{x}": f"{theirs}.downsample.1.{x}" for x in norm}
    for ours, theirs in zip(("q", "k", "v", "out"), "qkvc", strict=True):
        for kind in ("weight", "bias"):
            name = f"visual.attnpool.{theirs}_proj.{kind}"
            expected[f"vision.pool.attention.{ours}.{kind}"] = name
    state = clip.state_dict()
    assert {name for name in state if name.startswith("vision.")} == set(expected)
    for ours, theirs in expected.items():
        assert torch.equal(state[ours], published[theirs]), ours
        assert state[ours].dtype == published[theirs].dtype
    q, k, v = published["transformer.resblocks.0.attn.in_proj_weight"].split(TEXT)
    attention = clip.text.transformer.blocks[0].attention
    assert torch.equal(attention.q.weight, q) and torch.equal(attention.v.weight, v)
    assert torch.equal(attention.k.weight, k)


def test_half_precision_files_load_as_float(published, images, tmp_path):
    half = {k: v.half() if v.is_floating_point() else v for k, v in published.items()}
    torch.save(half, tmp_path / "RN-tiny.pt")
    clip = CLIP.from_pretrained(tmp_path / "RN-tiny.pt")
    assert all(p.dtype == torch.float32 for p in clip.parameters())
    assert error(clip.double(), half, images).max() < 1e-10


def test_same_function_as_the_reference(published, file, images):
    clip = CLIP.from_pretrained(file).double()
    assert error(clip, published, images).max() < 1e-10
    assert reference(published, images).std() > 0.1  # there is something to compare


def swapped_queries_and_keys(tower):
    attention = tower.pool.attention
    attention.q, attention.k = attention.k, attention.q


def shortcut_without_blur(tower):
    tower.stages[1][0].shortcut[0] = torch.nn.MaxPool2d(1, stride=2)


def branch_without_blur(tower):
    tower.stages[1][0].pool = torch.nn.MaxPool2d(1, stride=2)


def max_pool_in_the_stem(tower):
    tower.stem.pool = torch.nn.MaxPool2d(2)


def no_positions(tower):
    torch.nn.init.zeros_(tower.pool.positions)


def one_head(tower):
    tower.pool.attention.heads = 1


def plain_average_instead_of_attention(tower):
    attention = tower.pool.attention
    tower.pool.forward = lambda x: attention.out(attention.v(x.mean(dim=(2, 3))))


def mean_place_last(tower):
    tower.pool.positions.data = tower.pool.positions.data.roll(-1, 0)


def norms_of_the_batch(tower):
    tower.train()


def norm_epsilon(tower):
    tower.stem.bn1.eps = 1e-6  # 1e-5 there


@pytest.mark.parametrize(
    "mistake",
    [
        swapped_queries_and_keys,
        shortcut_without_blur,
        branch_without_blur,
        max_pool_in_the_stem,
        no_positions,
        one_head,
        plain_average_instead_of_attention,
        mean_place_last,
        norms_of_the_batch,
        norm_epsilon,
    ],
)
def test_a_mistake_is_seen(mistake, published, file, images):
    clip = CLIP.from_pretrained(file).double()
    mistake(clip.vision)
    assert error(clip, published, images).max() > 1e-8


def test_a_missing_tensor_is_named(published, tmp_path):
    broken = dict(published)
    del broken["visual.layer2.1.bn3.running_var"]
    safetensors.torch.save_file(broken, tmp_path / "broken.safetensors")
    with pytest.raises(weights.WeightsError, match=r"'vision\.stages\.1\.1\.bn3"):
        CLIP.from_pretrained(tmp_path / "broken.safetensors")
