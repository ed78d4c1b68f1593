"""What a U-Net refuses, in one sentence each: sizes that do not fit, wrong inputs."""

from torch import Tensor

CHANNELS, OPTIONAL = ("channels_in", "channels_out"), ("text_width", "vector_width")


def sizes_that_do(size: int, unit: int) -> str:
    """The multiples of unit on both sides of size, in words."""
    below, above = size // unit * unit, (size // unit + 1) * unit
    return f"{below} or {above}" if below else f"{above}"


def check_halving(size: int, unit: int) -> None:
    """ValueError unless a side of `size` pixels is a multiple of unit, above zero."""
    if size < 1 or size % unit:
        raise ValueError(
            f"this U-Net halves its pictures down to 1/{unit}: a side of {size} px "
            f"should be a multiple of {unit}, such as {sizes_that_do(size, unit)}."
        )


def check_config(c) -> None:
    """ValueError unless a `UNetConfig`'s numbers fit each other."""
    for name in ("width", "blocks", "head_width", "groups", *CHANNELS, *OPTIONAL):
        value = getattr(c, name)
        if value is None and name in OPTIONAL:
            continue
        if value < 1:
            raise ValueError(f"{name} should be at least 1, not {value}.")
    if not c.multiples or min(c.multiples) < 1:
        raise ValueError(
            f"multiples are one whole number for each level, not {c.multiples}."
        )
    if not 0 <= c.dropout < 1:
        raise ValueError(f"dropout should be in [0, 1), not {c.dropout}.")
    if c.width % 2:
        raise ValueError(
            f"half the sinusoids are cosines: width {c.width} should be even."
        )
    check_halving(c.image_size, c.unit)
    for place in c.attention_at:
        if place not in c.resolutions:
            raise ValueError(
                f"attention_at {place} is none of this U-Net's resolutions: "
                f"{', '.join(map(str, c.resolutions))}."
            )
    for width in c.widths:
        if width % c.groups:
            raise ValueError(
                f"a level of {width} channels cannot be normalised in {c.groups} "
                "groups of the same size: change width, multiples or groups."
            )
    attend = [c.widths[c.resolutions.index(place)] for place in c.attention_at]
    for width in attend + c.widths[-1:] * bool(attend):  # and the middle
        if width % c.head_width:
            raise ValueError(
                f"attention over {width} channels cannot be cut into heads that are "
                f"{c.head_width} wide."
            )
    if c.text_width and not c.attention_at:
        raise ValueError(
            "text is read by attention: with a text_width, attention_at should name "
            f"some of the resolutions {', '.join(map(str, c.resolutions))}."
        )


def check_images(c, x: Tensor) -> None:
    """ValueError unless x is (n, channels_in, h, w) of sides that can be halved."""
    if x.ndim != 4 or x.shape[1] != c.channels_in or not len(x):
        raise ValueError(
            f"this U-Net expects pictures (n, {c.channels_in}, height, width); these "
            f"are {tuple(x.shape)}."
        )
    for side in x.shape[2:]:
        check_halving(side, c.unit)


def check_times(t: Tensor, n: int) -> None:
    """ValueError unless t has one timestep for each of n pictures."""
    if t.shape != (n,):
        raise ValueError(
            f"t should be one timestep for each of {n} pictures, ({n},), "
            f"not {tuple(t.shape)}."
        )


def check_vector(width: int | None, vector: Tensor | None, n: int) -> None:
    """ValueError unless vector is (n, width), or None where there is no width."""
    if width is None and vector is not None:
        raise ValueError("this U-Net takes no vector: its vector_width is None.")
    if width is not None and (vector is None or vector.shape != (n, width)):
        found = "None" if vector is None else tuple(vector.shape)
        raise ValueError(f"this U-Net needs a vector ({n}, {width}), not {found}.")


def check_text(width: int | None, text: Tensor) -> None:
    """ValueError unless text is (n, words, width), and the net reads text."""
    if width is None:
        raise ValueError("this U-Net reads no text: its text_width is None.")
    if text.ndim != 3 or text.shape[2] != width or not text.shape[1]:
        raise ValueError(
            f"this U-Net reads text (n, words, {width}), not {tuple(text.shape)}."
        )


def check_one_text(width: int | None, text: Tensor | None, text_kv: list | None):
    """ValueError for a net that reads text unless there is one of text and text_kv."""
    if width is not None and (text is None) == (text_kv is None):
        found = "neither" if text is None else "both"
        raise ValueError(
            f"give this U-Net text (n, words, {width}), or text_kv, which "
            f"unet.read(text) makes once for many steps; not {found}."
        )


def check_read(width: int | None, text_kv: list | None, n: int, places: int) -> None:
    """ValueError unless text_kv is what `read` makes of the text of n pictures."""
    if text_kv is None:
        return
    if width is None or len(text_kv) != places:
        raise ValueError(
            f"text_kv should be what this U-Net's read(text) returns, for "
            f"{places if width else 0} attentions that read text; this one is for "
            f"{len(text_kv)}."
        )
    if len(text_kv[0][0]) != n:
        raise ValueError(
            f"there are {n} pictures and texts for {len(text_kv[0][0])}: give one "
            "text for each picture."
        )
