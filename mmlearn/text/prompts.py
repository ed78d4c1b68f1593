"""What every model that draws is asked with: prompts, and negative ones."""

from collections.abc import Sequence


def check_prompts(
    prompts: Sequence[str], negative: str | Sequence[str] | None
) -> tuple[list[str], list[str]]:
    """Prompts, and as many negative ones, "" where none is given.

    negative: one for all, or one for each. ValueError for what is no list of strings,
    and for lists unlike in length.
    """
    check_texts("prompts", prompts)
    if negative is None or isinstance(negative, str):
        negative = [negative or ""] * len(prompts)
    check_texts("negative prompts", negative)
    if len(negative) != len(prompts):
        raise ValueError(
            f"{len(prompts)} prompts need as many negative ones, or one for all, not "
            f"{len(negative)}."
        )
    return list(prompts), list(negative)


def check_texts(what: str, texts: Sequence[str]) -> None:
    """ValueError unless texts are a list of strings, of one at least."""
    listed = isinstance(texts, list | tuple) and len(texts) > 0
    if not listed or not all(isinstance(text, str) for text in texts):
        raise ValueError(
            f'{what} should be a list of strings, such as ["a red star"], not '
            f"{texts!r}; an empty string asks for nothing in particular."
        )
