"""Widgets: live where there is a kernel, a static picture where there is none.

    show.widget(draw, alt="A cloud of points, noisier with every step", t=(0, 999))

Live, the controls redraw the picture. With ``MMLEARN_STATIC=1`` (set whenever our own
scripts run a notebook) a few settings are drawn side by side as one PNG instead, so a
committed notebook holds no widget state, which GitHub and others fail to render.
"""

import base64
import html
import inspect
import os
import time

from PIL import Image

from mmlearn.show.figures import (
    check_alt,
    close,
    display_png,
    img_tag,
    png_bytes,
    to_image,
)
from mmlearn.show.pictures import WIDEST, grid

SLOW = 0.15  # seconds a drawing may take and still follow a moving slider


def widget(draw, *, alt, static: list[dict] | None = None, **controls) -> None:
    """Show ``draw(**values)`` with one control for each of its arguments.

    draw: returns a matplotlib figure, a PIL image or images in [-1, 1].
    alt: what the picture shows, or a function of the values that says so.
    static: the settings drawn where there is no kernel, as dicts of some values
    (default: the first slider's ends and the default setting).
    controls: ``(low, high)``, ``(low, high, step)`` or ``(low, high, step, start)``
    for a slider; a list or dict for a menu; True or False for a box; a string for a
    line of text; or any ipywidget with a value. Anything else is a ValueError.
    """
    if not controls:
        raise ValueError("a widget needs at least one control, such as t=(0, 999)")
    made = {name: control(name, spec) for name, spec in controls.items()}
    start = {name: one.value for name, one in made.items()}
    check_arguments(draw, start)
    for setting in static or []:
        if unknown := set(setting) - set(made):
            raise ValueError(
                f"static names no control of this widget: {min(unknown)!r}"
            )
    check_alt(alt_text(alt, start), "show.widget")
    if os.environ.get("MMLEARN_STATIC") == "1":
        show_static(draw, alt, start, static or ends(made, start))
    else:
        show_live(draw, alt, start, made)


def control(name: str, spec):
    """The ipywidget for one of the shorthands that `widget` takes."""
    import ipywidgets as w

    common = {
        "description": name.replace("_", " "),
        "style": {"description_width": "initial"},
    }
    if isinstance(spec, w.Widget) and hasattr(spec, "value"):
        return spec
    if isinstance(spec, bool):
        return w.Checkbox(value=spec, indent=False, **common)
    if isinstance(spec, str):
        wide = w.Layout(width="32em")
        return w.Text(value=spec, continuous_update=False, layout=wide, **common)
    if isinstance(spec, list | dict) and spec:
        options = list(spec.items()) if isinstance(spec, dict) else spec
        return w.Dropdown(options=options, **common)
    if isinstance(spec, tuple) and len(spec) in (2, 3, 4) and all(map(is_number, spec)):
        return slider(name, spec, common)
    raise ValueError(
        f"the control {name}={spec!r} is none of: (low, high[, step[, start]]) for a "
        "slider, a list for a menu, True or False, a string, or an ipywidget"
    )


def slider(name: str, spec: tuple, common: dict):
    """An int slider if every number is one, else a float slider."""
    import ipywidgets as w

    low, high = spec[:2]
    whole = all(isinstance(number, int) for number in spec)
    step = spec[2] if len(spec) > 2 else 1 if whole else (high - low) / 100
    if not low < high or step <= 0:
        raise ValueError(f"the slider {name}={spec} needs low < high and step > 0")
    middle = low + (high - low) / 2 // step * step
    start = spec[3] if len(spec) > 3 else int(middle) if whole else middle
    if not low <= start <= high:
        raise ValueError(f"the slider {name} starts at {start}, not in {low} to {high}")
    kind = w.IntSlider if whole else w.FloatSlider
    layout = w.Layout(width="32em")
    return kind(value=start, min=low, max=high, step=step, layout=layout, **common)


def is_number(value) -> bool:
    """Whether a value is a number, and not True or False."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def check_arguments(draw, values: dict) -> None:
    """One sentence if ``draw`` cannot be called with these names."""
    try:
        inspect.signature(draw).bind(**values)
    except TypeError as error:
        raise ValueError(
            f"the drawing function does not fit the controls {sorted(values)}: {error}"
        ) from None


def alt_text(alt, values: dict) -> str:
    """The alt text at these values."""
    return alt(**values) if callable(alt) else alt


def ends(made: dict, start: dict) -> list[dict]:
    """The default setting, between the two ends of the first slider."""
    for name, one in made.items():
        if hasattr(one, "min") and hasattr(one, "max"):
            wanted = sorted({one.min, one.value, one.max})
            return [{name: value} for value in wanted]
    first = next(iter(made))
    return [{first: start[first]}]


def show_static(draw, alt, start: dict, settings: list[dict]) -> None:
    """One PNG: each setting's picture, labelled by what was set."""
    images = [render(draw, start | setting) for setting in settings]
    titles = [label(setting) for setting in settings]
    if len(images) > 1:
        most = max(1, WIDEST // max(image.width for image in images))
        rows = -(-len(images) // most)
        columns = -(-len(images) // rows)
        picture = grid(images, titles, columns=columns, scale=1)
    else:
        picture = images[0]
    text = alt_text(alt, start).rstrip(". ")
    text += f". Shown at {' | '.join(titles)}; live, the controls change it."
    display_png(picture, check_alt(text, "show.widget"))


def label(setting: dict) -> str:
    """``t = 500, style = flat``."""
    parts = []
    for name, value in setting.items():
        value = f"{value:.4g}" if isinstance(value, float) else value
        parts.append(f"{name.replace('_', ' ')} = {value}")
    return ", ".join(parts)


def render(draw, values: dict) -> Image.Image:
    """The picture of these values, as an RGB image."""
    picture = draw(**values)
    image = to_image(picture)
    close(picture)
    return image


def show_live(draw, alt, start: dict, made: dict) -> None:
    """The controls above the picture; the bundle also holds the picture as a PNG."""
    import ipywidgets as w

    began = time.perf_counter()
    first = render(draw, start)
    slow = time.perf_counter() - began > SLOW
    view = w.HTML(value=picture_tag(first, alt_text(alt, start)))
    said = w.HTML()

    def redraw(_change):
        values = {name: one.value for name, one in made.items()}
        try:
            image, text = render(draw, values), alt_text(alt, values)
        except Exception as error:  # shown under the controls, not lost in a log
            said.value = f"<b>✗</b> {html.escape(f'{type(error).__name__}: {error}')}"
            return
        said.value = ""
        view.value = picture_tag(image, text)

    for one in made.values():
        if slow and hasattr(one, "continuous_update"):
            one.continuous_update = False
        one.observe(redraw, names="value")
    show_box(w.VBox([*made.values(), said, view]), first, alt_text(alt, start))


def show_box(box, first: Image.Image, alt: str) -> None:
    """Show an ipywidget; where there is no kernel, its first picture as a PNG."""
    bundle = box._repr_mimebundle_()
    bundle = bundle[0] if isinstance(bundle, tuple) else bundle
    mime = "application/vnd.jupyter.widget-view+json"
    display_png(first, alt, {mime: bundle[mime]})


def picture_tag(image: Image.Image, alt: str) -> str:
    """The picture as HTML, which unlike an image widget has alt text."""
    png = base64.b64encode(png_bytes(image)).decode("ascii")
    return img_tag(png, image.size, alt)
