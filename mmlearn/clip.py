"""CLIP: one space for pictures and sentences (Radford et al. 2021, arXiv 2103.00020).

Two towers, trained together so that a picture and its caption point the same way. A
vision transformer, or a ResNet, reads the picture, a causal transformer the caption;
each is mapped *linearly* to the joint space (2.3), and the loss asks which of the
batch's captions belongs to which of its pictures, and the reverse (figure 3).

As in the released code, and not the paper's text: context 77 (76), vocabulary 49,408
(49,152). Unlike both: images come in [-1, 1], and the model itself brings them to the
mean and spread its weights were trained on.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmlearn import weights
from mmlearn.clip_checks import check_choice, check_images, check_tokens, check_towers
from mmlearn.clip_keys import read_clip
from mmlearn.nn.resnet import ResNet
from mmlearn.nn.transformer import Transformer, quick_gelu
from mmlearn.nn.vit import VisionTransformer
from mmlearn.paths import data_path
from mmlearn.text.bpe import Tokenizer

ACTIVATIONS = {"quick_gelu": quick_gelu, "gelu": F.gelu}


@dataclass(frozen=True)
class CLIPConfig:
    """The sizes of both towers. Heads are 64 wide unless said otherwise, as published.

    vision_layers: a vision transformer's blocks; or the blocks of a ResNet's four
    stages, as in the release: then vision_width is the width that its stages start
    from, `embed` the width of what it returns, and patch_size None.
    activation: of the transformers; a ResNet has its ReLU.
    mean, std: of the training images' channels in [0, 1]; at 0.5 they change nothing.
    """

    embed: int
    image_size: int
    patch_size: int | None
    vision_width: int
    vision_layers: int | tuple[int, ...]
    vocab: int
    context: int
    text_width: int
    text_layers: int
    head_width: int = 64
    activation: str = "quick_gelu"
    mean: tuple[float, ...] = (0.5, 0.5, 0.5)
    std: tuple[float, ...] = (0.5, 0.5, 0.5)

    def __post_init__(self):
        check_choice("activation", self.activation, ACTIVATIONS)
        for name in ("mean", "std", "vision_layers"):
            if not isinstance(value := getattr(self, name), int):
                object.__setattr__(self, name, tuple(value))  # a list, read from JSON
        check_towers(self.vision_layers, self.patch_size)

    @classmethod
    def from_size(cls, size: str, tower: str = "vit") -> "CLIPConfig":
        """`smoke`, `laptop`, `gpu`, or `paper` (ViT-B/32; as a "resnet", RN50)."""
        check_choice("size", size, SIZES)
        check_choice("tower", tower, ("vit", "resnet"))
        return cls(**SIZES[size] | (RESNETS[size] if tower == "resnet" else {}))


WORLD = {"image_size": 64, "vocab": 2048, "context": 32}
SIZES = {
    "smoke": WORLD
    | {"embed": 64, "patch_size": 16, "vision_width": 64, "vision_layers": 2}
    | {"text_width": 64, "text_layers": 1},
    "laptop": WORLD
    | {"embed": 128, "patch_size": 8, "vision_width": 128, "vision_layers": 4}
    | {"text_width": 128, "text_layers": 2},
    "gpu": WORLD
    | {"embed": 256, "patch_size": 8, "vision_width": 384, "vision_layers": 8}
    | {"text_width": 256, "text_layers": 4},
    "paper": {"image_size": 224, "vocab": 49_408, "context": 77}
    | {"embed": 512, "patch_size": 32, "vision_width": 768, "vision_layers": 12}
    | {"text_width": 512, "text_layers": 12}
    | {"mean": (0.48145466, 0.4578275, 0.40821073)}
    | {"std": (0.26862954, 0.26130258, 0.27577711)},
}
# What a ResNet changes: RN50's blocks, thinner (at laptop also fewer), so that an
# image tower for 64 px has as many parameters as its transformer, to 1 %.
RN50 = {"patch_size": None, "vision_layers": (3, 4, 6, 3)}
RESNETS = {
    "smoke": RN50 | {"vision_width": 4},
    "laptop": RN50 | {"vision_width": 10, "vision_layers": (3, 3, 3, 3)},
    "gpu": RN50 | {"vision_width": 40},
    "paper": RN50 | {"vision_width": 64, "embed": 1024},
}


class TextTransformer(nn.Module):
    """Tokens (n, t) to features (n, width), read off the end-of-text token.

    Causal (2.4), so that only the last token has read the whole caption: its state is
    the caption's. It has the highest id; the padding after it is never seen.
    """

    def __init__(
        self,
        vocab: int,
        context: int,
        width: int,
        layers: int,
        heads: int,
        activation: Callable[[Tensor], Tensor],
    ):
        super().__init__()
        self.embedding = nn.Embedding(vocab, width)
        self.positions = nn.Parameter(torch.randn(context, width) * 0.01)
        self.transformer = Transformer(width, layers, heads, activation)
        self.ln_final = nn.LayerNorm(width)
        nn.init.normal_(self.embedding.weight, std=0.02)
        initialise(self.transformer)

    def states(self, tokens: Tensor) -> Tensor:
        """Every token's state after the last block and its layer norm (n, t, width)."""
        x = self.embedding(tokens) + self.positions[: tokens.shape[1]]
        return self.ln_final(self.transformer(x, causal=True))

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.states(tokens)
        return x[torch.arange(len(x), device=x.device), tokens.argmax(dim=1)]


def initialise(transformer: Transformer) -> None:
    """The published start (2.5, and the released code, which does it for text only).

    Layers that read the residual path keep its scale; layers that write to it start
    smaller, by the number of writers, so that their sum does not grow with depth.
    """
    for block in transformer.blocks:
        attention, mlp = block.attention, block.mlp
        width, writers = mlp.fc1.in_features, 2 * len(transformer.blocks)
        for layer in (attention.q, attention.k, attention.v):
            nn.init.normal_(layer.weight, std=width**-0.5)
        for layer in (attention.out, mlp.fc2):
            nn.init.normal_(layer.weight, std=(width * writers) ** -0.5)
        nn.init.normal_(mlp.fc1.weight, std=(2 * width) ** -0.5)
        for layer in (attention.q, attention.k, attention.v, attention.out):
            nn.init.zeros_(layer.bias)


class CLIP(nn.Module):
    """Both towers, their linear maps to the joint space, and the logits' scale."""

    def __init__(self, config: CLIPConfig, tokenizer: Tokenizer | None = None):
        super().__init__()
        if tokenizer is not None and len(tokenizer) != config.vocab:
            raise ValueError(
                f"the vocabulary has {len(tokenizer)} tokens and this CLIP was made "
                f"for {config.vocab}."
            )
        self.config, self.tokenizer = config, tokenizer
        self.vision = image_tower(config)
        self.text = TextTransformer(
            config.vocab,
            config.context,
            config.text_width,
            config.text_layers,
            config.text_width // config.head_width,
            ACTIVATIONS[config.activation],
        )
        self.image_projection = None  # a ResNet ends in the joint space
        if not isinstance(self.vision, ResNet):
            self.image_projection = projection(config.vision_width, config.embed)
        self.text_projection = projection(config.text_width, config.embed)
        self.logit_scale = nn.Parameter(torch.full([1], math.log(1 / 0.07)))

    def encode_image(self, images: Tensor) -> Tensor:
        """Images (n, 3, size, size) in [-1, 1] to features (n, embed), any length."""
        check_images(images, self.config.image_size, in_range=not self.training)
        mean = images.new_tensor(self.config.mean)[:, None, None]
        std = images.new_tensor(self.config.std)[:, None, None]
        features = self.vision(((images + 1) / 2 - mean) / std)
        linear = self.image_projection
        return features if linear is None else features @ linear

    def encode_text(self, tokens: Tensor) -> Tensor:
        """Token ids (n, t ≤ context) to features (n, embed), of any length."""
        context, vocab = self.config.context, self.config.vocab
        check_tokens(tokens, context, vocab, in_range=not self.training)
        return self.text(tokens) @ self.text_projection

    def forward(self, images: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor]:
        return self.encode_image(images), self.encode_text(tokens)

    def tokenize(self, texts: str | Sequence[str]) -> Tensor:
        """Token ids (n, context) of texts, on the model's device."""
        if self.tokenizer is None:
            raise ValueError(
                "this CLIP has no vocabulary: set `tokenizer` to "
                f"Tokenizer.load(file, vocab={self.config.vocab})."
            )
        return self.tokenizer(texts).to(self.logit_scale.device)

    @classmethod
    def from_size(
        cls, size: str, *, tower: str = "vit", seed: int = 0, device: str = "cpu"
    ) -> "CLIP":
        """An untrained model; images are read by a "vit" or "resnet" tower.

        On device "meta" it has shapes and no weights.
        """
        config = CLIPConfig.from_size(size, tower)
        tokenizer = None  # the published vocabulary comes with the published weights
        if size != "paper":
            vocabulary = data_path("text", "world_bpe.txt")
            tokenizer = Tokenizer.load(vocabulary, context=config.context)
        # Layers start from the global generator: fork it, and nobody sees it move.
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            with torch.device("meta" if device == "meta" else "cpu"):
                model = cls(config, tokenizer)
        return model.to(device)

    @classmethod
    def from_pretrained(
        cls,
        source: str | Path,
        *,
        activation: str | None = None,
        device: str = "cpu",
    ) -> "CLIP":
        """A trained model: a shipped size, a saved directory, or published weights.

        Published weights are a file in OpenAI's layout, or a directory in Hugging
        Face's. activation: only for a file, which does not say; OpenAI's own need
        "quick_gelu" (the default), most of open_clip's "gelu".
        Raises WeightsError for anything missing, damaged, or of another model.
        """
        fields, state, merges = read_clip(source)
        fields |= {"activation": activation} if activation else {}
        try:
            config = CLIPConfig(**fields)
        except TypeError:
            raise weights.WeightsError(
                f"{source} is a saved model, but no CLIP: its config.json should have "
                f"the fields {', '.join(CLIPConfig.__dataclass_fields__)}"
            ) from None
        tokenizer = Tokenizer(merges, config.context) if merges else None
        with torch.device("meta"):
            model = cls(config, tokenizer)
        expect = model.state_dict()
        weights.check_fit(state, expect, str(source))
        state = {name: x.to(expect[name].dtype) for name, x in state.items()}
        model.load_state_dict(state, assign=True)
        return model.to(device).eval()

    def save_pretrained(
        self,
        directory: str | Path,
        card: dict | None = None,
        *,
        half: bool = False,
        overwrite: bool = False,
    ) -> Path:
        """Save weights, config and vocabulary, for `from_pretrained` to read."""
        merges = self.tokenizer.merges if self.tokenizer else []
        config = asdict(self.config) | {"merges": [" ".join(pair) for pair in merges]}
        return weights.save(
            directory, self.state_dict(), config, card, half=half, overwrite=overwrite
        )


def image_tower(c: CLIPConfig) -> VisionTransformer | ResNet:
    """What reads images: to (n, vision_width); a ResNet, to (n, embed)."""
    sizes, heads = (c.vision_width, c.vision_layers), c.vision_width // c.head_width
    if isinstance(c.vision_layers, tuple):
        return ResNet(c.image_size, *sizes, c.embed, c.head_width)
    activation = ACTIVATIONS[c.activation]
    return VisionTransformer(c.image_size, c.patch_size, *sizes, heads, activation)


def projection(width: int, embed: int) -> nn.Parameter:
    """A linear map without bias, width^-½ at the start (2.3: no non-linear head)."""
    return nn.Parameter(torch.randn(width, embed) * width**-0.5)


def clip_loss(images: Tensor, texts: Tensor, logit_scale: Tensor) -> Tensor:
    """Which caption belongs to which image, and the reverse (figure 3).

    images, texts: features (n, embed), row by row. Untrained, it is about ln n.
    """
    images, texts = F.normalize(images, dim=-1), F.normalize(texts, dim=-1)
    logits = logit_scale.exp() * images @ texts.T
    labels = torch.arange(len(logits), device=logits.device)
    return (F.cross_entropy(logits, labels) + F.cross_entropy(logits.T, labels)) / 2


def local_clip_loss(
    images: Tensor,
    texts: Tensor,
    logit_scale: Tensor,
    gather: Callable[[Tensor], Tensor],
    rank: int,
) -> Tensor:
    """`clip_loss` of a batch spread over processes: each scores its own rows.

    gather(x): everybody's rows, in order of rank, *with* gradients flowing back to
    whoever made them; without, each process steps in a wrong direction. The mean over
    the processes is the loss, and the gradient, of the whole batch.
    """
    images, texts = F.normalize(images, dim=-1), F.normalize(texts, dim=-1)
    image_logits = logit_scale.exp() * images @ gather(texts).T
    text_logits = logit_scale.exp() * texts @ gather(images).T
    labels = len(images) * rank + torch.arange(len(images), device=images.device)
    return (
        F.cross_entropy(image_logits, labels) + F.cross_entropy(text_logits, labels)
    ) / 2


@torch.no_grad()
def clamp_logit_scale(model: CLIP) -> None:
    """After each step: "to prevent scaling the logits by more than 100" (2.5)."""
    model.logit_scale.clamp_(max=math.log(100))


@torch.no_grad()
def zero_shot_classifier(
    model: CLIP, labels: Sequence[str], templates: Sequence[str] = ("a {}",)
) -> Tensor:
    """One unit vector for each label: (labels, embed); a classifier made of words.

    Each template's ``{}`` is filled with the label, and the *embeddings* of the
    sentences are averaged (3.1.4), so that eighty templates cost no more than one
    when images are classified: ``F.normalize(features) @ classifier.T``.
    """
    if not len(labels) or not len(templates):
        raise ValueError("give at least one label and at least one template.")
    for template in templates:
        if "{}" not in template:
            raise ValueError(f"template {template!r} has no {{}} to put the label in.")
    classifier = []
    for label in labels:
        sentences = [template.replace("{}", label) for template in templates]
        features = F.normalize(model.encode_text(model.tokenize(sentences)), dim=-1)
        classifier.append(F.normalize(features.mean(dim=0), dim=-1))
    return torch.stack(classifier)
