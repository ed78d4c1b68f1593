"""Reads what a sign says, by comparing it with every word that could stand there.

A sign's letters have one shape, so that nothing need be learned: each word of the world
is written on a board of the same size and correlated with the picture's, at its own
resolution. The best word must then stand against its own misspellings, one letter
changed, left out, added or exchanged, because "STPO" resembles no word more than
"STOP" and is still not right. Where a misspelling fits better, that is what is read.

Detector and matcher both read signs this way: of words there is one witness.
"""

import string
from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache

import numpy as np
from PIL import Image
from torch import Tensor

from mmlearn.evaluate.reading import Reading
from mmlearn.world.layout import Box
from mmlearn.world.scene import SIGN
from mmlearn.world.shapes import LARGE, glyphs
from mmlearn.world.splits import HELD_OUT_WORDS, WORDS

ALL_WORDS = tuple(sorted(WORDS + HELD_OUT_WORDS))
LONGEST = 7
# The board of `world.shapes.sign`, in 512ths of its width: how tall one of one or two
# lines is, and where the lines stand on it.
TALL = {1: 270, 2: 410}
SIDES, TOP, STEP, HEIGHT = (31, 481), 34, 140, 122
CREAM, INK = 247, 30  # of the board and the letters, in grey

# Chosen on real scenes of one seed, see tests/benchmarks/matcher.py.
LEGIBLE = 0.7  # a correlation below this is no writing
EVIDENCE = 0.08  # pixels are no independent witnesses: each counts for this much
RARE = 1.5  # in e-folds: how much less likely one misspelling is than the word


def read_sign(image: Tensor, box: Box) -> tuple[str, float]:
    """What the sign in ``box`` of an image (3, h, w) in [-1, 1] says, and how surely.

    "" is read where nothing legible is written. A misspelled word is read as it is.
    """
    grey = (image.float().mean(dim=0).cpu().numpy() + 1) / 2
    lines = 1 if (box[3] - box[1]) / (box[2] - box[0]) < 0.66 else 2
    words, confidence = [], 1.0
    for line in range(lines):
        word, sure = _read_line(grey, box, lines, line)
        words.append(word)
        confidence *= min(1.0, sure)
    return " ".join(filter(None, words)), confidence


def read_signs(reading: Reading, image: Tensor) -> Reading:
    """A reading with the words of its signs, read from the image (3, h, w)."""
    found = []
    for thing in reading.found:
        if thing.noun == SIGN:
            words, sure = read_sign(image, thing.box)
            thing = replace(thing, words=words, words_confidence=sure)
        found.append(thing)
    return replace(reading, found=tuple(found))


def _read_line(grey: np.ndarray, box: Box, lines: int, line: int) -> tuple[str, float]:
    size = grey.shape[1]
    middle = (box[0] + box[2]) / 2 * size
    wide = round((box[2] - box[0]) * size)
    reach = max(1, round(size / 64))
    best = (-1.0,)
    for width in range(wide - reach, wide + reach + 1):
        strips = _strips(grey, middle, box[1] * size, width, lines, line, reach)
        if not len(strips):
            continue
        fit = (strips @ _templates(ALL_WORDS, width, lines, line).T).max(axis=0)
        if fit.max() > best[0]:
            best = (float(fit.max()), width, strips, fit)
    if best[0] < LEGIBLE:
        return "", 1 - 0.5 * max(0.0, best[0]) / LEGIBLE
    _, width, strips, among_words = best
    wrong = tuple(misspellings(ALL_WORDS[int(among_words.argmax())]))
    # A longer word is centred elsewhere: each may choose its own strip.
    among_wrong = (strips @ _templates(wrong, width, lines, line).T).max(axis=0)
    pixels = EVIDENCE * strips.shape[1] / 2
    # The likelihood of a picture that is the template and independent noise, up to a
    # constant, is the residual to the power of -pixels / 2.
    fits = np.concatenate([among_words, among_wrong]).clip(0, 0.9999)
    odds = -pixels * np.log(1 - fits**2)
    odds[len(among_words) :] -= RARE
    shares = np.exp(odds - odds.max())
    shares /= shares.sum()
    chosen = int(shares.argmax())
    return (*ALL_WORDS, *wrong)[chosen], float(shares[chosen])


def misspellings(word: str) -> Iterator[str]:
    """All that differ from a word by one letter changed, left out, added or exchanged.

    Words of the world are left out, and what no sign can hold.
    """
    cuts = [(word[:i], word[i:]) for i in range(len(word) + 1)]
    found = [a + b[1:] for a, b in cuts if b and len(word) > 1]
    found += [a + b[1] + b[0] + b[2:] for a, b in cuts if len(b) > 1]
    for letter in string.ascii_uppercase:
        found += [a + letter + b[1:] for a, b in cuts if b]
        found += [a + letter + b for a, b in cuts if len(word) < LONGEST]
    for other in dict.fromkeys(found):
        if other != word and other not in ALL_WORDS:
            yield other


def _band(width: int, lines: int, line: int) -> tuple[int, int, int, int]:
    """Where a line's letters stand on a board ``width`` pixels wide, in its pixels."""
    scale = width / LARGE
    top = (TOP + STEP * line) * scale
    rows = int(top), int(np.ceil(top + HEIGHT * scale))
    return int(SIDES[0] * scale), rows[0], int(np.ceil(SIDES[1] * scale)), rows[1]


def _strips(grey, middle: float, top: float, width: int, lines: int, line: int, reach):
    """The picture's strips that may hold the line, (k, pixels) of norm 1."""
    left, upper, right, lower = _band(width, lines, line)
    x, y = round(middle - width / 2), round(top)
    found = []
    for dy in range(-reach - 1, reach + 2):
        for dx in range(-reach - 1, reach + 2):
            rows = slice(y + dy + upper, y + dy + lower)
            columns = slice(x + dx + left, x + dx + right)
            inside = rows.start >= 0 and columns.start >= 0
            if inside and rows.stop <= grey.shape[0] and columns.stop <= grey.shape[1]:
                found.append(grey[rows, columns].reshape(-1))
    return _normal(np.array(found, np.float32)) if found else found


@lru_cache(2048)
def _templates(words: tuple[str, ...], width: int, lines: int, line: int):
    """Words written in a line's strip, (k, pixels) of norm 1."""
    return _normal(
        np.stack([_written(word, width, lines, line).reshape(-1) for word in words])
    )


def _written(word: str, width: int, lines: int, line: int) -> np.ndarray:
    """A strip of the board of `world.shapes.sign`, scaled as scenes scale it."""
    left, upper, right, lower = _band(width, lines, line)
    text = Image.fromarray(np.concatenate([glyphs()[c] for c in word], axis=1))
    text = text.resize(
        (round(min(450, text.width * HEIGHT / text.height)), HEIGHT), Image.LANCZOS
    )
    board = Image.new("L", (LARGE, TALL[lines]), CREAM)
    board.paste(INK, ((LARGE - text.width) // 2, TOP + STEP * line), text)
    height = max(1, round(width * TALL[lines] / LARGE))
    scale = LARGE / width, TALL[lines] / height
    part = (left * scale[0], upper * scale[1], right * scale[0], lower * scale[1])
    strip = board.resize((right - left, lower - upper), Image.BILINEAR, box=part)
    return np.array(strip, np.float32) / 255


def _normal(rows: np.ndarray) -> np.ndarray:
    rows = rows - rows.mean(axis=1, keepdims=True)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True).clip(1e-3)
