"""Make the shipped vocabulary: python -m mmlearn.text.make_vocabulary.

Learned from what the world's captions say, and from the names and keywords of every
concept of the artwork, the everyday ones often, so that each of their words becomes
one token. The same world gives the same file, byte for byte.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

from mmlearn.paths import data_path
from mmlearn.text.bpe import Tokenizer
from mmlearn.world import Grammar, caption, compose, concepts

VOCAB = 2048
CAPTIONS = 10_000


def corpus() -> Iterator[str]:
    """Captions of scenes; names, plurals, keywords and groups of concepts."""
    grammar = Grammar()
    for index in range(CAPTIONS):
        yield caption(compose(grammar, 0, index))
    for concept in concepts().values():
        for _ in range(20 if concept.everyday else 1):
            yield f"{concept.name} {concept.plural or ''}"
        yield from concept.keywords
        yield f"{concept.group} {concept.subgroup}"


def main() -> None:
    """Learn the vocabulary and write it to its place."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--vocab", type=int, default=VOCAB, help="number of token ids")
    parser.add_argument(
        "--out", type=Path, default=data_path("text", "world_bpe.txt"), help="file"
    )
    options = parser.parse_args()
    tokenizer = Tokenizer.train(corpus(), options.vocab)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    tokenizer.save(options.out)
    print(f"{options.out}: {len(tokenizer)} tokens")


if __name__ == "__main__":
    main()
