"""Byte-pair encoding, as CLIP reads its captions (section 2.4 of the paper).

Text is lower-cased and cut into words; a word starts as its UTF-8 bytes, the last of
them marked ``</w>``, and pairs are joined in the order in which training found them
(Sennrich et al. 2016, algorithm 1). Frequent words become one token, rare ones a few,
and nothing is unknown: every text can be spelled in bytes.

The vocabulary file is laid out like CLIP's own ``bpe_simple_vocab_16e6``: a version
line, then one merge a line. Ids: 256 bytes, 256 bytes that end a word, the merges,
start of text, end of text. Two things of CLIP's tokenizer are left out on purpose:
the repair of broken Unicode and HTML entities, which is another package's work, and
special tokens spelled inside a text, so that no caption can end itself early.
"""

import gzip
import os
import re
import unicodedata
import warnings
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from itertools import pairwise
from pathlib import Path

import torch
from torch import Tensor

Pair = tuple[str, str]
END = "</w>"
SOT, EOT = "<|startoftext|>", "<|endoftext|>"
VERSION = "#version: 0.2"

# Contractions, runs of letters, single numerals, runs of anything else. `re` counts
# numerals such as ² and ½ among the letters; the published pattern does not.
NUMERALS = r"\d²³¹¼-¾⁰⁴-⁹₀-₉⅐-ↂↅ-↉①-⒛⓪-⓿"
PATTERN = re.compile(
    rf"'(?:[st]|re|ve|m|ll|d)|[^\W_{NUMERALS}]+|[{NUMERALS}]|(?:[^\s\w]|_)+"
)

# Every byte needs a character that prints. Those that do in Latin-1 stand for
# themselves and come first; controls, spaces and the soft hyphen borrow Ā, ā, Ă …
PRINTING = [*range(33, 127), *range(161, 173), *range(174, 256)]
HIDDEN = [byte for byte in range(256) if byte not in PRINTING]
SYMBOLS = {byte: chr(byte) for byte in PRINTING}
SYMBOLS |= {byte: chr(256 + i) for i, byte in enumerate(HIDDEN)}
BYTES = {symbol: byte for byte, symbol in SYMBOLS.items()}
ALPHABET = [*SYMBOLS.values(), *(symbol + END for symbol in SYMBOLS.values())]


def split_words(text: str) -> list[str]:
    """The words of a text, lower-cased, without the white space between them."""
    if not isinstance(text, str):
        raise TypeError(f"a text must be a string, not {type(text).__name__}: {text!r}")
    return PATTERN.findall(unicodedata.normalize("NFC", text).lower())


def spell(word: str) -> list[str]:
    """A word as symbols: one for each byte, the last marked as the word's end."""
    *symbols, last = (SYMBOLS[byte] for byte in word.encode())
    return [*symbols, last + END]


def join(symbols: Iterable[str], pair: Pair) -> list[str]:
    """Join every occurrence of a pair, from left to right."""
    joined: list[str] = []
    for symbol in symbols:
        if joined and (joined[-1], symbol) == pair:
            joined[-1] += symbol
        else:
            joined.append(symbol)
    return joined


def learn_merges(texts: Iterable[str], n: int) -> list[Pair]:
    """The first ``n`` merges: again and again the pair that occurs most often.

    Of equally frequent pairs the first in the alphabet wins, so the same texts give
    the same merges in whatever order they come. Fewer, when every word is one token.
    """
    counts = Counter(word for text in texts for word in split_words(text))
    words = [(spell(word), count) for word, count in sorted(counts.items())]
    pairs: Counter[Pair] = Counter()
    where: dict[Pair, set[int]] = defaultdict(set)  # words that (may) hold a pair

    def count_pairs(i: int, sign: int) -> None:
        symbols, count = words[i]
        for pair in pairwise(symbols):
            pairs[pair] += sign * count
            where[pair].add(i)

    for i in range(len(words)):
        count_pairs(i, +1)
    merges: list[Pair] = []
    while len(merges) < n:
        best = min(pairs, key=lambda pair: (-pairs[pair], pair), default=None)
        if best is None or not pairs[best]:
            break
        for i in where.pop(best):
            count_pairs(i, -1)
            words[i] = (join(words[i][0], best), words[i][1])
            count_pairs(i, +1)
        del pairs[best]
        merges.append(best)
    return merges


class Tokenizer:
    """Texts to token ids and back.

    ``tokenizer(texts)`` gives an (n, context) tensor of ids: start, words, end, then
    zeros. The end of text has the highest id, so that ``argmax`` finds it.
    """

    def __init__(self, merges: Sequence[Pair], context: int = 77):
        self.merges, self.context = list(merges), context
        tokens = [*ALPHABET, *map("".join, self.merges), SOT, EOT]
        self.ids = {token: i for i, token in enumerate(tokens)}
        self.tokens = tokens
        self.sot, self.eot = len(tokens) - 2, len(tokens) - 1
        self.ranks = {pair: rank for rank, pair in enumerate(self.merges)}
        self.known: dict[str, list[int]] = {}  # words already encoded

    def __len__(self) -> int:
        return len(self.tokens)

    @classmethod
    def train(cls, texts: Iterable[str], vocab: int, context: int = 77) -> "Tokenizer":
        """Learn a vocabulary of (at most) ``vocab`` ids from texts."""
        return cls(learn_merges(texts, vocab - len(ALPHABET) - 2), context)

    @classmethod
    def load(
        cls, path: str | Path, *, vocab: int | None = None, context: int = 77
    ) -> "Tokenizer":
        """Read a vocabulary file, plain or gzipped: ours, CLIP's, or `merges.txt`.

        vocab: stop at so many ids. CLIP's own file lists five times as many merges
        as its 49,408 ids use. ValueError if the file is no list of merges.
        """
        return cls(read_merges(Path(path), vocab), context)

    def save(self, path: str | Path) -> None:
        """Write the vocabulary file; what stood there is replaced at once or not."""
        part = Path(path).with_suffix(".part")
        lines = [VERSION, *(f"{a} {b}" for a, b in self.merges)]
        part.write_text("\n".join(lines) + "\n", encoding="utf-8")
        os.replace(part, path)

    def encode_word(self, word: str) -> list[int]:
        """Join the pair that was learned first, until no learned pair is left."""
        if word not in self.known:
            symbols = spell(word)
            while learned := [p for p in pairwise(symbols) if p in self.ranks]:
                symbols = join(symbols, min(learned, key=self.ranks.__getitem__))
            self.known[word] = [self.ids[symbol] for symbol in symbols]
        return self.known[word]

    def encode(self, text: str) -> list[int]:
        """The ids of a text, without start and end."""
        return [i for word in split_words(text) for i in self.encode_word(word)]

    def decode(self, ids: Iterable[int]) -> str:
        """The text of some ids, up to the end of text; words are parted by spaces."""
        ids = [int(i) for i in ids]
        ids = ids[: ids.index(self.eot)] if self.eot in ids else ids
        spelled = "".join(self.tokens[i] for i in ids if i != self.sot)
        words = spelled.replace(END, " ").split(" ")
        raw = (bytes(BYTES[symbol] for symbol in word) for word in words)
        return " ".join(word.decode("utf-8", "replace") for word in raw).strip()

    def __call__(self, texts: str | Sequence[str]) -> Tensor:
        """Token ids (n, context), long. What does not fit is dropped with a warning."""
        texts = [texts] if isinstance(texts, str) else list(texts)
        if not texts:
            raise ValueError("there is no text to tokenize: the list is empty.")
        tokens = torch.zeros(len(texts), self.context, dtype=torch.long)
        for row, text in zip(tokens, texts, strict=True):
            ids, room = self.encode(text), self.context - 2
            if len(ids) > room:
                warnings.warn(
                    f"{text!r} has {len(ids)} tokens and only {room} fit; "
                    f"dropped: {self.decode(ids[room:])!r}",
                    stacklevel=2,
                )
            ids = [self.sot, *ids[:room], self.eot]
            row[: len(ids)] = torch.tensor(ids)
        return tokens


def read_merges(path: Path, vocab: int | None) -> list[Pair]:
    """The merges of a vocabulary file; ValueError says in which line it is none."""
    data = path.read_bytes()
    try:
        text = (gzip.decompress(data) if path.suffix == ".gz" else data).decode("utf-8")
    except (UnicodeDecodeError, OSError, EOFError):
        raise ValueError(f"{path} is no vocabulary file: it is not text.") from None
    first, *lines = text.split("\n")
    if "#version" not in first:
        raise ValueError(
            f"{path} is no vocabulary file: its first line should say '{VERSION}' "
            "and every other line name two tokens to be joined."
        )
    wanted = None if vocab is None else vocab - len(ALPHABET) - 2
    merges = [tuple(line.split()) for line in lines if line.strip()][:wanted]
    known = set(ALPHABET)
    for number, merge in enumerate(merges, start=2):
        if len(merge) != 2 or not known.issuperset(merge):
            raise ValueError(
                f"{path} is no vocabulary file: line {number}, {' '.join(merge)!r}, "
                "does not join two tokens known by then."
            )
        known.add("".join(merge))
    if wanted is not None and len(merges) < wanted:
        raise ValueError(
            f"{path} makes {len(merges) + len(ALPHABET) + 2} tokens, not {vocab}."
        )
    return merges
