"""The caption: tokens, and a transformer that reads them in both directions (4.1).

CLIP's text transformer looks backwards only, and ends where the caption ends. GLIDE's
has no mask at all: every token sees every other. A caption shorter than the context is
filled up with *learned* vectors, one for each position, which take part like words do;
an empty caption is nothing but them, and that is what classifier-free guidance
compares with. The state of the last position, nearly always such a vector, is what
stands for the whole caption.
"""

import string
import warnings
from collections.abc import Collection, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmlearn.clip import initialise
from mmlearn.nn.transformer import Transformer
from mmlearn.text.bpe import Tokenizer, split_words

PADDING = -1  # where no token is; its vector is of the position, not of a token
EMPTY = 0.2  # of the captions are left out in training (4.2)


class TextTransformer(nn.Module):
    """Tokens (n, context), `PADDING` at their end, to states (n, context, width).

    Pre-norm blocks, exact GELU, no mask, and a layer norm after the last (4.1).
    """

    def __init__(self, vocab: int, context: int, width: int, layers: int, heads: int):
        super().__init__()
        self.embedding = nn.Embedding(vocab, width)
        self.positions = nn.Parameter(torch.randn(context, width) * 0.01)
        self.padding = nn.Parameter(torch.randn(context, width) * 0.001)
        self.transformer = Transformer(width, layers, heads, F.gelu)
        self.ln_final = nn.LayerNorm(width)
        nn.init.normal_(self.embedding.weight, std=0.02)
        initialise(self.transformer)
        # A mean over the context is small by its root: without this, one word among
        # thirty is hardly heard at the last position, and training may not listen.
        for block in self.transformer.blocks:
            block.attention.out.weight.data.mul_(context**0.5)

    def forward(self, tokens: Tensor) -> Tensor:
        check_tokens(tokens, len(self.positions))
        words = self.embedding(tokens.clamp(min=0)) + self.positions
        x = torch.where((tokens == PADDING)[:, :, None], self.padding, words)
        return self.ln_final(self.transformer(x))


def check_tokens(tokens: Tensor, context: int) -> None:
    """ValueError unless tokens are ids (n, context), as `tokenize` makes them."""
    whole = tokens.dtype in (torch.long, torch.int)
    if tokens.ndim != 2 or tokens.shape[1] != context or not whole:
        raise ValueError(
            f"GLIDE reads token ids (n, {context}), filled up with {PADDING}; these "
            f"are {tokens.dtype} of shape {tuple(tokens.shape)}."
        )


def tokenize(texts: Sequence[str], tokenizer: Tokenizer, context: int) -> Tensor:
    """Token ids (n, context) of texts, without start or end, then `PADDING`.

    What does not fit is dropped with a warning.
    """
    tokens = torch.full((len(texts), context), PADDING)
    for row, text in zip(tokens, texts, strict=True):
        ids = tokenizer.encode(text)
        if len(ids) > context:
            warnings.warn(
                f"{text!r} has {len(ids)} tokens and only {context} fit; "
                f"dropped: {tokenizer.decode(ids[context:])!r}",
                stacklevel=2,
            )
        ids = torch.tensor(ids[:context], dtype=torch.long)
        row[: len(ids)] = ids
    return tokens


def drop_captions(
    tokens: Tensor, generator: torch.Generator, share: float = EMPTY
) -> Tensor:
    """Tokens (n, context) in which about a share of the captions is empty (4.2).

    So one network learns both what a caption asks for and what there is without one.
    """
    lot = torch.rand(len(tokens), 1, generator=generator, device=generator.device)
    return torch.where(lot.to(tokens.device) < share, PADDING, tokens)


def unknown_words(
    texts: Sequence[str], tokenizer: Tokenizer | None, words: Collection[str] = ()
) -> list[str]:
    """The words of texts that are none of `words`, in order, each once.

    Byte pairs can spell any word, so that none is refused; but a model that never met
    one in training does not know what it looks like. Where `words` is empty, those are
    known that are one token: the vocabulary was learned from the world's captions.
    """
    ours = isinstance(tokenizer, Tokenizer)

    def known(word: str) -> bool:
        if set(word) <= set(string.punctuation):
            return True
        if words:
            return word in words
        return not ours or len(tokenizer.encode_word(word)) == 1

    said = (word for text in texts for word in split_words(text))
    return list(dict.fromkeys(word for word in said if not known(word)))
