"""Contact sheets of everything in the world, to be looked at by eye.

    python -m mmlearn.show.contact_sheets OUT

writes the everyday nouns by every artist, the tints, shapes, backgrounds, scenes of
every kind with their captions, minimal pairs, held-out scenes, and the README's
picture, as PNG files.
"""

import sys
import textwrap
from pathlib import Path

import torch
from PIL import Image, ImageDraw

from mmlearn.world import artwork
from mmlearn.world.backgrounds import BACKGROUNDS
from mmlearn.world.batches import scenes
from mmlearn.world.by_hand import arrange
from mmlearn.world.pairs import facts, twin
from mmlearn.world.phrases import caption, captions
from mmlearn.world.render import draw
from mmlearn.world.scene import COLOURS, KINDS, SHAPES, Item, Scene
from mmlearn.world.words import WorldError

FULL = (0.05, 0.05, 0.95, 0.95)


def sheet(
    images: torch.Tensor, titles: list[str], columns: int, credit: str
) -> Image.Image:
    """Pictures ``(n, 3, h, w)`` in rows, a title under each, a credit at the foot."""
    n, _, h, w = images.shape
    scale = max(1, 112 // w)
    cell_w, cell_h = w * scale + 8, h * scale + 44
    rows = -(-n // columns)
    page = Image.new("RGB", (columns * cell_w, rows * cell_h + 18), "white")
    pen = ImageDraw.Draw(page)
    pixels = ((images + 1) * 127.5).round().byte().permute(0, 2, 3, 1).numpy()
    for i, (picture, title) in enumerate(zip(pixels, titles, strict=True)):
        x, y = i % columns * cell_w + 4, i // columns * cell_h + 4
        large = Image.fromarray(picture).resize((w * scale, h * scale), Image.NEAREST)
        page.paste(large, (x, y))
        lines = textwrap.wrap(title, cell_w // 6)[:3]
        pen.text((x, y + h * scale + 1), "\n".join(lines), "black", font_size=10)
    pen.text((4, page.height - 15), credit, "grey", font_size=9)
    return page


def _single(noun: str, artist: str | None, colour=None, background="white") -> Scene:
    return Scene("single", background, (Item(noun, FULL, colour, artist),))


def things(out: Path) -> None:
    """Every everyday noun by every artist, 24 nouns a page."""
    nouns = artwork.everyday()
    for page in range(0, len(nouns), 24):
        pairs = [(n, a) for n in nouns[page : page + 24] for a in artwork.ARTISTS]
        pictures = draw([_single(*pair) for pair in pairs], 64)
        titles = [f"{noun} ({artist})" for noun, artist in pairs]
        path = out / f"things_{page // 24:02d}.png"
        sheet(pictures, titles, 12, artwork.credit()).save(path)


def tints(out: Path) -> None:
    """Every tintable noun in every colour, by Noto and by Fluent 3D."""
    nouns = [n for n in artwork.everyday() if artwork.concepts()[n].tintable]
    colours = [c for c in COLOURS if c not in ("black", "white")]
    for artist in artwork.TRAIN_ARTISTS:
        records = [_single(n, artist, c) for n in nouns for c in colours]
        titles = [f"{c} {n}" for n in nouns for c in colours]
        page = sheet(draw(records, 48), titles, 16, artwork.credit(artist))
        page.save(out / f"tints_{artist}.png")


def shapes(out: Path) -> None:
    """Every shape in every colour, before the backgrounds in turn."""
    pairs = [(s, c) for s in SHAPES for c in COLOURS]
    records = [
        _single(s, None, c, BACKGROUNDS[i % len(BACKGROUNDS)])
        for i, (s, c) in enumerate(pairs)
    ]
    sheet(draw(records, 64), [f"{c} {s}" for s, c in pairs], 10, "").save(
        out / "shapes.png"
    )


def backgrounds(out: Path) -> None:
    """Every background in its four variants."""
    records = [
        Scene("single", b, (Item("star", (0.4, 0.4, 0.6, 0.6), "red"),), variant=v)
        for b in BACKGROUNDS
        for v in range(4)
    ]
    titles = [f"{r.background} {r.variant}" for r in records]
    sheet(draw(records, 128), titles, 8, "").save(out / "backgrounds.png")


def grammar(out: Path, seed: int = 7) -> None:
    """64 scenes of every kind; a mixture at 32, 64 and 128 pixels; held-out scenes."""
    credit = artwork.credit(*artwork.TRAIN_ARTISTS)
    for kind in KINDS:
        batch = scenes(64, seed, 64, kinds=[kind])
        sheet(batch.images, batch.captions, 8, credit).save(out / f"scenes_{kind}.png")
    for size in (32, 64, 128):
        batch = scenes(64, seed, size)
        sheet(batch.images, batch.captions, 8, credit).save(
            out / f"scenes_at_{size}.png"
        )
    batch = scenes(64, seed, 64, split="held_out")
    sheet(batch.images, batch.captions, 8, credit).save(out / "scenes_held_out.png")


def pairs(out: Path, seed: int = 11) -> None:
    """Scenes beside their minimal pairs, the changed fact named."""
    records, titles = [], []
    for scene in scenes(40, seed).records:
        for fact in facts(scene)[:3]:
            try:
                other = twin(scene, fact, seed)
            except WorldError:  # no other style, say, stands out from this background
                continue
            records += [scene, other]
            titles += [caption(scene), f"[{fact}] {caption(other)}"]
    credit = artwork.credit(*artwork.TRAIN_ARTISTS)
    sheet(draw(records[:96], 64), titles[:96], 8, credit).save(out / "pairs.png")


def poster(out: Path) -> None:
    """The picture at the head of the README: scenes by hand, each with its caption."""
    from mmlearn.show.pictures import grid

    chosen = (
        arrange("fox", "red cube", relation="left of", background="meadow"),
        arrange("owl", count=3, background="night", artist="fluent_3d"),
        arrange("penguin", background="snow", words="HELLO"),
        arrange(
            "blue elephant", "yellow star", relation="right of", background="beach"
        ),
        arrange("cat", "castle", relation="on top of", background="tiled"),
        arrange("whale", count=2, background="striped", artist="fluent_3d"),
        arrange("rocket", "planet", relation="below", background="night"),
        arrange("pink heart", count=5, background="dotted"),
    )
    pictures = draw(list(chosen), 128)
    titles = [captions(scene)[0] for scene in chosen]
    grid(pictures, titles, columns=4, scale=1).save(out / "poster.png", optimize=True)


def main(out: str) -> None:
    """Write every sheet into the folder ``out``."""
    folder = Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    for make in (things, tints, shapes, backgrounds, grammar, pairs, poster):
        make(folder)
    print(f"{len(list(folder.glob('*.png')))} sheets in {folder}")


if __name__ == "__main__":
    main(*sys.argv[1:])
