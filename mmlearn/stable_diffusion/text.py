"""The words: CLIP's text tower, frozen, and *all* its states (Rombach et al. 2022).

CLIP learned to bring a caption's last state close to its picture. Stable Diffusion does
not use that one vector but the state of every token, and never trains the tower: what
the U-Net learns is to read what CLIP already writes.

Stable Diffusion 1 takes the states after the last block, 2 those before it, which say
less of what CLIP compares and more of the words; both after the tower's final norm. The
context is filled up, in 1 with the end of text again and again, in 2 with token 0, and
nothing is masked: the padding's states are read like words', and have read the caption.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from mmlearn.clip import ACTIVATIONS, CLIP, TextTransformer
from mmlearn.clip_checks import check_tokens
from mmlearn.diffusion.checks import check_choice
from mmlearn.text.bpe import Tokenizer

EMPTY = 0.1  # of the captions are left out in training, from version 1.3 on
PADDINGS = ("end", "zero")


@dataclass(frozen=True)
class TextConfig:
    """A text tower in numbers; the defaults are those of CLIP ViT-L/14.

    skip: how many of the last blocks are left out, 0 or, in Stable Diffusion 2, 1.
    padding: what fills the context, "end" (of text) or "zero".
    """

    vocab: int = 49_408
    context: int = 77
    width: int = 768
    layers: int = 12
    head_width: int = 64
    activation: str = "quick_gelu"
    skip: int = 0
    padding: str = "end"

    def __post_init__(self):
        check_choice("activation", self.activation, ACTIVATIONS)
        check_choice("padding", self.padding, PADDINGS)
        for name in ("vocab", "context", "width", "layers", "head_width"):
            if getattr(self, name) < 1:
                raise ValueError(
                    f"{name} should be at least 1, not {getattr(self, name)}."
                )
        if not 0 <= self.skip < self.layers:
            raise ValueError(
                f"skip should leave one of {self.layers} layers at least, not "
                f"{self.skip}."
            )
        if self.width % self.head_width:
            raise ValueError(
                f"a text width of {self.width} cannot be cut into heads that are "
                f"{self.head_width} wide."
            )

    @classmethod
    def of(cls, clip: CLIP, **changes) -> "TextConfig":
        """The text tower of a CLIP; changes: of skip and padding."""
        c = clip.config
        numbers = {"width": c.text_width, "layers": c.text_layers}
        for name in ("vocab", "context", "head_width", "activation"):
            numbers[name] = getattr(c, name)
        return cls(**numbers | changes)


def tower(c: TextConfig) -> TextTransformer:
    """An untrained tower of these numbers."""
    heads = c.width // c.head_width
    activation = ACTIVATIONS[c.activation]
    return TextTransformer(c.vocab, c.context, c.width, c.layers, heads, activation)


def states(text_encoder: TextTransformer, tokens: Tensor, skip: int = 0) -> Tensor:
    """Every token's state (n, t, width), after all blocks but the last `skip`.

    tokens: ids (n, t), t at most the context. Every token sees those before it.
    """
    vocab, context = len(text_encoder.embedding.weight), len(text_encoder.positions)
    check_tokens(tokens, context, vocab, in_range=not text_encoder.training)
    blocks = text_encoder.transformer.blocks
    x = text_encoder.embedding(tokens) + text_encoder.positions[: tokens.shape[1]]
    for block in blocks[: len(blocks) - skip]:
        x = block(x, causal=True)
    return text_encoder.ln_final(x)


def tokenize(texts: Sequence[str], tokenizer: Tokenizer, padding: str) -> Tensor:
    """Token ids (n, context): start, words, end, padding.

    What does not fit is dropped with a warning.
    """
    tokens = tokenizer(texts)  # filled up with 0
    if padding == "zero":
        return tokens
    ended = (tokens == tokenizer.eot).cumsum(dim=1) > 0
    return tokens.masked_fill(ended, tokenizer.eot)


def drop_captions(
    text: Tensor, empty: Tensor, generator: torch.Generator, share: float = EMPTY
) -> Tensor:
    """States (n, t, width), about a share of them those of the empty caption.

    empty: its states (t, width) or (1, t, width). So one network learns both what a
    caption asks for and what there is without one, and can be guided.
    """
    lot = torch.rand(len(text), 1, 1, generator=generator, device=generator.device)
    return torch.where(lot.to(text.device) < share, empty.to(text), text)
