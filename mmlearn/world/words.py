"""Articles, and the one sentence that a wrong word gets."""

from collections.abc import Iterable
from difflib import get_close_matches

# Spelled with a vowel, spoken with a consonant.
_SPOKEN_CONSONANT = ("uni", "use", "uku", "eu", "one")


class WorldError(ValueError):
    """Something asked of the world that it does not have; says what would be right."""


def article(noun: str) -> str:
    """The noun with its indefinite article: "a fox", "an owl", "a unicorn"."""
    vowel = noun[0].lower() in "aeiou" and not noun.lower().startswith(
        _SPOKEN_CONSONANT
    )
    return f"{'an' if vowel else 'a'} {noun}"


def known(kind: str, word: str, words: Iterable[str]) -> str:
    """``word`` if it is one of ``words``; else a :class:`WorldError` that helps."""
    if isinstance(words, (set, dict, frozenset)) and word in words:
        return word
    words = list(words)
    if word in words:
        return word
    near = get_close_matches(str(word), words, n=3, cutoff=0.55)
    if near:
        hint = f"did you mean {' or '.join(map(repr, near))}?"
    elif len(words) <= 14:
        hint = f"it knows {', '.join(words)}"
    else:
        hint = f"it knows {len(words)}, such as {', '.join(words[:6])}"
    raise WorldError(f"the world has no {kind} {word!r}: {hint}")
