"""Our CLIP holding the same weights as `transformers.CLIPModel` is the same function.

Tiny sizes, float64, every parameter random (layer norms and biases too), to 1e-10;
and mistakes that people make must be seen by the same comparison.
"""

import dataclasses
import json

import pytest
import safetensors.torch
import torch
import torch.nn.functional as F

from mmlearn import weights
from mmlearn.clip import CLIP, CLIPConfig
from mmlearn.clip_keys import PUBLISHED_MEAN, PUBLISHED_STD, sizes_of, to_ours
from mmlearn.text.bpe import Tokenizer

transformers = pytest.importorskip("transformers")

VOCAB, CONTEXT, WIDTH = 600, 12, 64
SIZES = {"hidden_size": WIDTH, "intermediate_size": 4 * WIDTH}
SIZES |= {"num_hidden_layers": 2, "num_attention_heads": 2}
OURS = CLIPConfig(
    embed=WIDTH,  # as wide as the towers, so that a transposed projection still fits
    image_size=32,
    patch_size=8,
    vision_width=WIDTH,
    vision_layers=2,
    vocab=VOCAB,
    context=CONTEXT,
    text_width=WIDTH,
    text_layers=2,
    head_width=32,
)


def published_model(eos: int = 2, activation: str = "quick_gelu"):
    """Hugging Face's model, every parameter random. eos 2 marks published configs."""
    text = SIZES | {"vocab_size": VOCAB, "max_position_embeddings": CONTEXT}
    text |= {"eos_token_id": eos, "hidden_act": activation}
    vision = SIZES | {"image_size": 32, "patch_size": 8, "hidden_act": activation}
    config = transformers.CLIPConfig(
        text_config=text, vision_config=vision, projection_dim=WIDTH
    )
    model = transformers.CLIPModel(config).double().eval()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            noise = torch.randn(parameter.shape, generator=generator).double()
            parameter.copy_(0.3 * noise if parameter.ndim > 1 else 1 + 0.3 * noise)
    return model


@pytest.fixture(scope="module")
def theirs():
    return published_model()


@pytest.fixture(scope="module")
def batch():
    generator = torch.Generator().manual_seed(1)
    images = torch.rand(3, 3, 32, 32, generator=generator).double() * 2 - 1
    tokens = torch.randint(1, VOCAB - 2, (3, CONTEXT), generator=generator)
    for row, end in zip(tokens, (4, 7, CONTEXT - 1), strict=True):
        row[0], row[end], row[end + 1 :] = VOCAB - 2, VOCAB - 1, 0
    return images, tokens


def ours(state: dict, config: CLIPConfig = OURS) -> CLIP:
    model = CLIP(config).double().eval()
    model.load_state_dict(to_ours(state), strict=True)
    return model


@torch.no_grad()
def error(mine: CLIP, theirs, batch) -> float:
    """The largest difference of both towers' unit vectors and of the logits."""
    images, tokens = batch
    expected = theirs(input_ids=tokens, pixel_values=images)
    image, text = (F.normalize(features, dim=-1) for features in mine(images, tokens))
    return max(
        (image - expected.image_embeds).abs().max().item(),
        (text - expected.text_embeds).abs().max().item(),
        (mine.logit_scale.exp() * image @ text.T - expected.logits_per_image)
        .abs()
        .max()
        .item()
        / expected.logits_per_image.abs().max().item(),
    )


def to_openai(state: dict) -> dict:
    """Hugging Face's state dict in OpenAI's layout, written out the slow way."""
    out = {
        "visual.class_embedding": state["vision_model.embeddings.class_embedding"],
        "visual.conv1.weight": state["vision_model.embeddings.patch_embedding.weight"],
        "visual.positional_embedding": state[
            "vision_model.embeddings.position_embedding.weight"
        ],
        "visual.proj": state["visual_projection.weight"].T,
        "token_embedding.weight": state["text_model.embeddings.token_embedding.weight"],
        "positional_embedding": state[
            "text_model.embeddings.position_embedding.weight"
        ],
        "text_projection": state["text_projection.weight"].T,
        "logit_scale": state["logit_scale"],
        "input_resolution": torch.tensor(32),
        "context_length": torch.tensor(CONTEXT),
        "vocab_size": torch.tensor(VOCAB),
    }
    for kind in ("weight", "bias"):
        out[f"visual.ln_pre.{kind}"] = state[f"vision_model.pre_layrnorm.{kind}"]
        out[f"visual.ln_post.{kind}"] = state[f"vision_model.post_layernorm.{kind}"]
        out[f"ln_final.{kind}"] = state[f"text_model.final_layer_norm.{kind}"]
        for tower, prefix in (("vision", "visual."), ("text", "")):
            for n in range(2):
                a = f"{tower}_model.encoder.layers.{n}."
                b = f"{prefix}transformer.resblocks.{n}."
                out[f"{b}ln_1.{kind}"] = state[f"{a}layer_norm1.{kind}"]
                out[f"{b}ln_2.{kind}"] = state[f"{a}layer_norm2.{kind}"]
                out[f"{b}mlp.c_fc.{kind}"] = state[f"{a}mlp.fc1.{kind}"]
                out[f"{b}mlp.c_proj.{kind}"] = state[f"{a}mlp.fc2.{kind}"]
                out[f"{b}attn.out_proj.{kind}"] = state[f"{a}self_attn.out_proj.{kind}"]
                out[f"{b}attn.in_proj_{kind}"] = torch.cat(
                    [state[f"{a}self_attn.{x}_proj.{kind}"] for x in "qkv"]
                )
    return out


def test_same_function_as_transformers(theirs, batch):
    assert error(ours(theirs.state_dict()), theirs, batch) < 1e-10


def test_same_function_with_the_true_end_token_and_exact_gelu(batch):
    theirs = published_model(eos=VOCAB - 1, activation="gelu")
    config = dataclasses.replace(OURS, activation="gelu")
    assert error(ours(theirs.state_dict(), config), theirs, batch) < 1e-10


def test_same_function_from_openai_layout(theirs, batch):
    assert error(ours(to_openai(theirs.state_dict())), theirs, batch) < 1e-10


def test_same_gradients_as_transformers(theirs, batch):
    images, tokens = batch
    mine = ours(theirs.state_dict())
    features = [F.normalize(x, dim=-1) for x in mine(images, tokens)]
    (features[0] @ features[1].T).diagonal().sum().backward()
    theirs.zero_grad()
    expected = theirs(input_ids=tokens, pixel_values=images)
    (expected.image_embeds @ expected.text_embeds.T).diagonal().sum().backward()
    gradients = {
        name: torch.zeros_like(p) if p.grad is None else p.grad
        for name, p in theirs.named_parameters()
    }
    for name, gradient in to_ours(gradients).items():
        if name != "logit_scale":
            mine_gradient = mine.get_parameter(name).grad
            assert (mine_gradient - gradient).abs().max() < 1e-10, name


def norm_epsilon(model: CLIP) -> None:
    for module in model.modules():
        if isinstance(module, torch.nn.LayerNorm):
            module.eps = 1e-6


def tanh_gelu(model: CLIP) -> None:
    for module in model.modules():
        if hasattr(module, "activation"):
            module.activation = lambda x: F.gelu(x, approximate="tanh")


def exact_gelu(model: CLIP) -> None:
    for module in model.modules():
        if hasattr(module, "activation"):
            module.activation = F.gelu


def no_ln_pre(model: CLIP) -> None:
    model.vision.ln_pre = torch.nn.Identity()


def last_token(model: CLIP) -> None:
    model.text.forward = lambda tokens: model.text.states(tokens)[:, -1]


def token_before_the_end(model: CLIP) -> None:
    model.text.forward = lambda tokens: model.text.states(tokens)[
        torch.arange(len(tokens)), tokens.argmax(dim=1) - 1
    ]


def transposed_image_projection(model: CLIP) -> None:
    model.image_projection.data = model.image_projection.data.T


def transposed_text_projection(model: CLIP) -> None:
    model.text_projection.data = model.text_projection.data.T


def other_heads(model: CLIP) -> None:
    model.vision.transformer.blocks[0].attention.heads = 4


def seeing_the_future(model: CLIP) -> None:
    run = model.text.transformer.forward
    model.text.transformer.forward = lambda x, causal: run(x)


@pytest.mark.parametrize(
    "mistake",
    [
        norm_epsilon,
        tanh_gelu,
        exact_gelu,
        no_ln_pre,
        last_token,
        token_before_the_end,
        transposed_image_projection,
        transposed_text_projection,
        other_heads,
        seeing_the_future,
    ],
)
def test_a_mistake_is_seen(mistake, theirs, batch):
    mine = ours(theirs.state_dict())
    mistake(mine)
    assert error(mine, theirs, batch) > 1e-8


def test_text_tower_alone_with_and_without_prefix(batch):
    config = transformers.CLIPTextConfig(
        **SIZES, vocab_size=VOCAB, max_position_embeddings=CONTEXT, eos_token_id=2
    )
    theirs = transformers.CLIPTextModel(config).double().eval()
    _, tokens = batch
    bare = {k.removeprefix("text_model."): v for k, v in theirs.state_dict().items()}
    prefixed = {f"text_model.{k}": v for k, v in bare.items()}
    with torch.no_grad():
        expected = theirs(input_ids=tokens)
        for state in (bare, prefixed):
            state = to_ours(state)
            tower = CLIP(OURS).text.double()
            tower.load_state_dict({k.removeprefix("text."): state[k] for k in state})
            assert (tower(tokens) - expected.pooler_output).abs().max() < 1e-10
            states = expected.last_hidden_state
            assert (tower.states(tokens) - states).abs().max() < 1e-10


def test_old_files_with_position_ids_load(theirs, batch):
    state = dict(theirs.state_dict())
    for tower in ("text", "vision"):
        state[f"{tower}_model.embeddings.position_ids"] = torch.arange(9)[None]
    assert error(ours(state), theirs, batch) < 1e-10


def test_unknown_and_missing_names_are_refused(theirs):
    state = dict(theirs.state_dict())
    with pytest.raises(RuntimeError, match="adapter"):
        ours(state | {"vision_model.adapter.weight": torch.zeros(1)})
    del state["vision_model.pre_layrnorm.bias"]
    with pytest.raises(RuntimeError, match=r"vision\.ln_pre\.bias"):
        ours(state)


def test_every_published_name_and_shape_has_its_place():
    """ViT-B/32, on the meta device: 398 names there, all of ours here."""
    with torch.device("meta"):
        state = transformers.CLIPModel(transformers.CLIPConfig()).state_dict()
    state = {k: v for k, v in state.items() if not k.endswith("position_ids")}
    assert len(state) == 398
    paper = CLIP.from_size("paper", device="meta").state_dict()
    mapped = to_ours(state)
    assert {k: v.shape for k, v in mapped.items()} == {
        k: v.shape for k, v in paper.items()
    }
    assert CLIPConfig(**sizes_of(mapped), mean=PUBLISHED_MEAN, std=PUBLISHED_STD) == (
        CLIPConfig.from_size("paper")
    )


def published_vocabulary(path) -> Tokenizer:
    words = [f"{a}{b}{c}" for a in "bcdfg" for b in "aeiou" for c in "lmnrst"]
    tokenizer = Tokenizer.train([" ".join(words)], VOCAB)
    assert len(tokenizer) == VOCAB
    tokenizer.save(path)
    return tokenizer


def test_published_directory_loads_with_its_settings(theirs, batch, tmp_path):
    images, tokens = batch
    theirs.save_pretrained(tmp_path)
    tokenizer = published_vocabulary(tmp_path / "merges.txt")
    mine = CLIP.from_pretrained(tmp_path).double()
    assert mine.config.head_width == 32 and mine.config.activation == "quick_gelu"
    assert mine.tokenizer.merges == tokenizer.merges
    mean, std = (
        torch.tensor(x).double()[:, None, None] for x in (PUBLISHED_MEAN, PUBLISHED_STD)
    )
    pixels = ((images + 1) / 2 - mean) / std
    with torch.no_grad():
        expected = theirs(input_ids=tokens, pixel_values=pixels).image_embeds
        found = F.normalize(mine.encode_image(images), dim=-1)
    assert (found - expected).abs().max() < 1e-5  # the file went through float32


@pytest.mark.parametrize("name", ["ViT-tiny.safetensors", "ViT-tiny.pt"])
def test_published_file_loads_in_openai_layout(name, theirs, tmp_path):
    state = {k: v.contiguous() for k, v in to_openai(theirs.state_dict()).items()}
    save = safetensors.torch.save_file if "safe" in name else torch.save
    save({k: v.half() for k, v in state.items()}, tmp_path / name)
    mine = CLIP.from_pretrained(tmp_path / name)
    assert mine.tokenizer is None and mine.logit_scale.shape == (1,)
    assert mine.logit_scale.dtype == torch.float32
    assert (mine.config.embed, mine.config.context) == (WIDTH, CONTEXT)
    exact = CLIP.from_pretrained(tmp_path / name, activation="gelu")
    assert exact.config.activation == "gelu"


def test_weights_of_another_architecture_are_refused(tmp_path):
    file = tmp_path / "model.safetensors"
    safetensors.torch.save_file({"conv.weight": torch.zeros(3)}, file)
    with pytest.raises(weights.WeightsError, match="no CLIP"):
        CLIP.from_pretrained(file)
    saved = weights.save(tmp_path / "unet", {"conv.weight": torch.zeros(3)}, {"ch": 3})
    with pytest.raises(weights.WeightsError, match="no CLIP"):
        CLIP.from_pretrained(saved)


def test_towers_that_one_config_cannot_describe_are_refused(theirs, tmp_path):
    theirs.save_pretrained(tmp_path)
    path = tmp_path / "config.json"
    config = json.loads(path.read_text())
    for field, value in (("hidden_act", "gelu"), ("num_attention_heads", 4)):
        changed = config["vision_config"] | {field: value}
        path.write_text(json.dumps(config | {"vision_config": changed}))
        with pytest.raises(weights.WeightsError, match="different"):
            CLIP.from_pretrained(tmp_path)
