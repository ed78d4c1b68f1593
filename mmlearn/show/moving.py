"""A moving picture that any page plays: a PNG with more than one frame.

An animated PNG is a PNG. Wherever a notebook's picture is shown, in JupyterLab or on an
exported page, it moves, without a script and without a kernel; a viewer that knows no
animation shows the first frame.
"""

import base64
import io
import os

import numpy as np
from PIL import Image

from mmlearn.show.figures import check_alt, img_tag
from mmlearn.show.pictures import enlarge, to_pictures


def animation(
    frames, *, alt: str, seconds: float = 0.12, scale: int | None = None
) -> None:
    """Show pictures one after the other, over and over.

    frames: at least two pictures of one size, (n, 3, h, w) in [-1, 1] or a list of
    them. alt: what is seen, and how it moves. seconds: how long each frame stays, at
    least 0.05. scale: how many screen pixels a pixel becomes (default: enough for 128).
    """
    alt = check_alt(alt, "show.animation")
    if not seconds >= 0.05:
        raise ValueError(
            f"a frame should stay for at least 0.05 seconds, not {seconds!r}: faster "
            "flicker is no pleasure, and harms some readers"
        )
    pictures = [enlarge(p, scale) for p in to_pictures(frames)]
    if len(pictures) < 2:
        raise ValueError("an animation needs at least two frames, and got one")
    if len({p.size for p in pictures}) > 1:
        raise ValueError("an animation's frames must have one size")
    show_moving(moving_png(pictures, seconds), pictures[0].size, alt)


def moving_png(pictures: list[Image.Image], seconds: float) -> bytes:
    """The frames in one animated PNG, with a palette where nobody sees it."""
    # All frames must have one palette: it is found on all of them in a row.
    row = np.concatenate([np.asarray(p) for p in pictures], axis=1)
    fewer = Image.fromarray(row).quantize(
        256, method=Image.Quantize.MEDIANCUT, dither=0
    )
    error = np.abs(row.astype(int) - np.asarray(fewer.convert("RGB"), int))
    if error.mean() < 1.5:  # of 255
        pictures = [p.quantize(palette=fewer, dither=0) for p in pictures]
    buffer = io.BytesIO()
    pictures[0].save(
        buffer,
        format="PNG",
        save_all=True,
        append_images=pictures[1:],
        duration=round(1000 * seconds),
        loop=0,  # without end
        optimize=True,
    )
    return buffer.getvalue()


def show_moving(png: bytes, size: tuple[int, int], alt: str) -> None:
    """Send it to the page with its alt text; outside a notebook, print that."""
    from IPython import get_ipython
    from IPython.display import display

    if get_ipython() is None:
        print(f"[moving picture: {alt}]")
        return
    text = base64.b64encode(png).decode("ascii")
    data = {"image/png": text, "text/plain": f"[moving picture: {alt}]"}
    if os.environ.get("MMLEARN_STATIC") != "1":
        data["text/html"] = img_tag(text, size, alt)
    display(data, metadata={"image/png": {"alt": alt}}, raw=True)
