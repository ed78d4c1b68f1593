"""Rasterise the artwork once: the script that made everything in ``data/artwork``.

    python -m mmlearn.world.make_artwork PACKAGES data/artwork

``PACKAGES`` is a folder holding the unpacked npm packages named in ``PACKAGES``
below, each as ``name-version/package``. Needs ``resvg-py``, which readers do not:
they get the bitmaps. Every drawing is cropped to what is visible, centred in a
square, and scaled so that its longer side fills the square but for a hair, so that
a box in a record means the same for every artist.
"""

import hashlib
import io
import json
import shutil
import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

PACKAGES = {
    "noto": "iconify-json-noto-1.2.9",
    "fluent_flat": "iconify-json-fluent-emoji-flat-1.2.6",
    "fluent_3d": "lobehub-fluent-emoji-3d-1.1.0",
    "twemoji": "discordapp-twemoji-16.0.1",
    "openmoji": "openmoji-17.0.0",
    "openmoji_line": "openmoji-17.0.0",
    "names": "emojibase-data-17.0.0",
    "licences": "spdx-license-list-6.12.0",
}
CREDITS = {
    "noto": (
        "Apache-2.0",
        "Noto Emoji, copyright Google LLC and the Noto Emoji authors",
        "https://github.com/googlefonts/noto-emoji",
    ),
    "fluent_flat": (
        "MIT",
        "Fluent Emoji (flat), copyright Microsoft Corporation",
        "https://github.com/microsoft/fluentui-emoji",
    ),
    "fluent_3d": (
        "MIT",
        "Fluent Emoji (3D), copyright Microsoft Corporation",
        "https://github.com/microsoft/fluentui-emoji",
    ),
    "twemoji": (
        "CC-BY-4.0",
        "Twemoji, copyright Twitter, Inc and other contributors",
        "https://github.com/discord/twemoji",
    ),
    "openmoji": (
        "CC-BY-SA-4.0",
        "OpenMoji (colour), by the OpenMoji project and its contributors",
        "https://openmoji.org",
    ),
    "openmoji_line": (
        "CC-BY-SA-4.0",
        "OpenMoji (line), by the OpenMoji project and its contributors",
        "https://openmoji.org",
    ),
}
GROUPS = {
    "smileys-emotion",
    "animals-nature",
    "food-drink",
    "travel-places",
    "activities",
    "objects",
}
LEFT_OUT_SUBGROUPS = {"time", "place-religious", "place-map", "emotion", "mail"}
# Weapons, tobacco, alcohol, death, religion, money of one country, underwear; and
# pictures that only make sense beside another (arrows, levels, "open" and "closed").
LEFT_OUT_WORDS = (
    "pistol dagger sword bomb bow axe kitchen-knife military cigarette coffin headstone"
    " funeral skull sake wine beer cocktail cork clinking tumbler banknote yen kaaba"
    " nazar hamsa prayer diya pistol drop-of-blood syringe pile-of-poo swimsuit briefs"
    " bikini love-hotel map japan moon-viewing mahjong suit joker playing-cards"
    " oncoming speaker low-battery arrow muted slash tilted notebook-with bookmark-tabs"
    " new-moon waxing waning quarter-moon thirty card-index horns symbols-on-mouth"
    " medal-2nd medal-3rd hole-flag women’s woman’s man’s placard identification"
    " derelict firecracker middle vomiting tobacco martial boxing slot-machine"
).split()


def hexcode(text: str) -> str:
    """Code points in lower case without variation selectors: the common key."""
    return "-".join(p for p in text.lower().split("-") if p != "fe0f")


class Sources:
    """The packages, each as a function from a hexcode to a square RGBA picture."""

    def __init__(self, root: Path):
        self.root = {k: root / v / "package" for k, v in PACKAGES.items()}
        self.vectors = {}
        for artist in ("noto", "fluent_flat"):
            icons = json.loads((self.root[artist] / "icons.json").read_text())
            names = json.loads((self.root[artist] / "chars.json").read_text())
            frame = (icons.get("width", 16), icons.get("height", 16))
            self.vectors[artist] = {
                hexcode(h): (icons["icons"][name], frame)
                for h, name in names.items()
                if name in icons["icons"]
            }
        self.files = {
            "twemoji": self.index(self.root["twemoji"] / "dist/svg", ".svg"),
            "fluent_3d": self.index(self.root["fluent_3d"] / "assets", ".webp"),
            "openmoji": self.index(self.root["openmoji"] / "color/svg", ".svg"),
            "openmoji_line": self.index(self.root["openmoji"] / "black/svg", ".svg"),
        }

    @staticmethod
    def index(folder: Path, ending: str) -> dict[str, Path]:
        return {hexcode(p.stem): p for p in folder.glob(f"*{ending}")}

    def has(self, code: str) -> bool:
        return all(
            code in table for table in (*self.vectors.values(), *self.files.values())
        )

    def picture(self, artist: str, code: str) -> Image.Image:
        """The drawing at high resolution, RGBA, cropped to what is visible."""
        if artist == "fluent_3d":
            image = Image.open(self.files[artist][code]).convert("RGBA")
        else:
            image = rasterise(self.svg(artist, code))
        alpha = image.getchannel("A").point(lambda a: 255 if a > 12 else 0)
        return image.crop(alpha.getbbox())

    def svg(self, artist: str, code: str) -> str:
        if artist in self.files:
            return self.files[artist][code].read_text()
        icon, (width, height) = self.vectors[artist][code]
        width, height = icon.get("width", width), icon.get("height", height)
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" '
            f'xmlns:xlink="http://www.w3.org/1999/xlink" '
            f'viewBox="0 0 {width} {height}">{icon["body"]}</svg>'
        )


def rasterise(svg: str) -> Image.Image:
    """An SVG at 512 pixels, RGBA."""
    import resvg_py

    png = resvg_py.svg_to_bytes(svg_string=svg, width=512, height=512)
    return Image.open(io.BytesIO(bytes(png))).convert("RGBA")


def square(image: Image.Image, size: int) -> np.ndarray:
    """Centre a cropped drawing in ``(size, size, 4)`` uint8, transparent RGB zeroed."""
    inner = size - 2 * max(1, size // 64)
    scale = inner / max(image.size)
    shape = [max(1, round(side * scale)) for side in image.size]
    canvas = Image.new("RGBA", (size, size))
    small = image.resize(shape, Image.LANCZOS)
    canvas.paste(small, ((size - shape[0]) // 2, (size - shape[1]) // 2))
    pixels = np.array(canvas)
    pixels[pixels[..., 3] == 0] = 0
    return pixels


def sheet(tiles: list[np.ndarray], columns: int) -> Image.Image:
    """Tiles in rows of ``columns``, in order."""
    size = tiles[0].shape[0]
    rows = -(-len(tiles) // columns)
    pixels = np.zeros((rows * size, columns * size, 4), np.uint8)
    for i, tile in enumerate(tiles):
        y, x = divmod(i, columns)
        pixels[y * size : (y + 1) * size, x * size : (x + 1) * size] = tile
    return Image.fromarray(pixels)


def quality(part: str, size: int) -> dict:
    """Lossless where models train most; elsewhere about 37 dB at half the bytes."""
    if (part, size) == ("everyday", 64):
        return {"lossless": True}
    return {"quality": {64: 90, 128: 88, 256: 80}[size], "alpha_quality": 70}


def read_everyday(path: Path) -> dict[str, dict]:
    """The hand-made list of everyday nouns: code -> name, plural, its flags."""
    nouns = {}
    for line in path.read_text(encoding="utf8").splitlines():
        if line and not line.startswith("#"):
            name, plural, code, *flags = line.split("\t")
            flags = flags[0].split() if flags else []
            nouns[code] = {
                "name": name,
                "plural": plural,
                "tintable": "tint" in flags,
                "plain": "plain" in flags,
                "clear": "unclear" not in flags,
            }
    return nouns


def choose_concepts(sources: Sources, everyday: dict[str, dict]) -> dict[str, dict]:
    """The concepts, everyday ones first: name -> code, plural, group, keywords, …"""
    folder = sources.root["names"]
    groups = json.loads((folder / "meta/groups.json").read_text())
    chosen, taken = {}, {noun["name"] for noun in everyday.values()}
    data = json.loads((folder / "en/data.json").read_text())
    for entry in sorted(data, key=lambda e: hexcode(e["hexcode"]) not in everyday):
        code, name = hexcode(entry["hexcode"]), entry["label"]
        if "group" not in entry or not sources.has(code):
            continue
        group = groups["groups"][str(entry["group"])]
        subgroup = groups["subgroups"][str(entry["subgroup"])]
        noun = everyday.get(code)
        words = name.replace(" ", "-").lower()
        if not noun and (
            group not in GROUPS
            or subgroup in LEFT_OUT_SUBGROUPS
            or any(word in words for word in LEFT_OUT_WORDS)
            or name in taken
        ):
            continue
        chosen[noun["name"] if noun else name] = {
            "code": code,
            "plural": noun["plural"] if noun else None,
            "tintable": bool(noun and noun["tintable"]),
            "plain": bool(noun and noun["plain"]),
            "clear": bool(noun and noun["clear"]),
            "everyday": bool(noun),
            "group": group,
            "subgroup": subgroup,
            "keywords": [tag for tag in entry.get("tags", []) if tag != name],
        }
    missing = {n["name"] for n in everyday.values()} - set(chosen)
    if missing:
        raise SystemExit(f"not drawn by every artist: {', '.join(sorted(missing))}")
    return hold_out(chosen)


def hold_out(concepts: dict[str, dict]) -> dict[str, dict]:
    """Hold out one concept in ten of each subgroup, by the hash of its name.

    Everyday nouns are never held out: scenes and generators need all of them.
    """
    by_group: dict[str, list[str]] = {}
    for name, concept in concepts.items():
        if not concept["everyday"]:
            by_group.setdefault(concept["subgroup"], []).append(name)
    held = set()
    for names in by_group.values():
        names.sort(key=lambda name: hashlib.sha256(name.encode()).hexdigest())
        held.update(names[: max(1, len(names) // 10)] if len(names) > 4 else [])
    for name, concept in concepts.items():
        concept["split"] = "held_out" if name in held else "train"
    return concepts


def write_artist(sources: Sources, artist: str, concepts: dict[str, dict], out: Path):
    """All sheets of one artist, with licence and credit beside them."""
    folder = out / artist
    folder.mkdir(parents=True, exist_ok=True)
    for part, sizes in (("everyday", (64, 128, 256)), ("more", (64,))):
        if artist == "openmoji_line":
            sizes = (64,)  # evaluation only, at the size CLIP sees
        wanted = [c for c in concepts.values() if c["everyday"] == (part == "everyday")]
        drawings = [sources.picture(artist, concept["code"]) for concept in wanted]
        for size in sizes:
            picture = sheet([square(d, size) for d in drawings], columns=16)
            picture.save(
                folder / f"{part}_{size}.webp", "WEBP", method=6, **quality(part, size)
            )
    spdx, credit, link = CREDITS[artist]
    licence = json.loads(
        (sources.root["licences"] / f"licenses/{spdx}.json").read_text()
    )
    text = licence["licenseText"]
    if spdx == "MIT":
        text = text.replace("<year>", "").replace(
            "<copyright holders>", "Microsoft Corporation."
        )
        text = text.replace("Copyright (c)  ", "Copyright (c) ")
    (folder / "LICENSE").write_text(text.rstrip() + "\n", encoding="utf8")
    credit = {
        "credit": credit,
        "licence": spdx,
        "link": link,
        "package": PACKAGES[artist],
    }
    credit["changes"] = "rasterised, cropped to the visible part, centred and resized"
    (folder / "credit.json").write_text(json.dumps(credit, indent=1) + "\n")


def write_glyphs(out: Path):
    """Letters for the signs: DejaVu Sans Bold, one alpha picture per character."""
    import matplotlib

    fonts = Path(matplotlib.get_data_path()) / "fonts/ttf"
    font = ImageFont.truetype(str(fonts / "DejaVuSans-Bold.ttf"), 128)
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789!?"
    tiles = {}
    for letter in letters:
        left, _, right, _ = font.getbbox(letter)
        image = Image.new("L", (right - left + 12, 104))
        ImageDraw.Draw(image).text((6 - left, -24), letter, fill=255, font=font)
        tiles[letter] = np.array(image)
    folder = out / "letters"
    folder.mkdir(exist_ok=True)
    np.savez_compressed(folder / "glyphs.npz", **tiles)
    shutil.copy(fonts / "LICENSE_DEJAVU", folder / "LICENSE")


def write_sums(out: Path):
    """SHA-256 of every file, in the format of sha256sum."""
    lines = [
        f"{hashlib.sha256(path.read_bytes()).hexdigest()}  "
        f"{path.relative_to(out).as_posix()}"
        for path in sorted(out.rglob("*"))
        if path.is_file() and path.name != "SHA256SUMS"
    ]
    (out / "SHA256SUMS").write_text("\n".join(lines) + "\n")


def main(packages: str, out: str):
    """Make everything in ``out``."""
    sources, target = Sources(Path(packages)), Path(out)
    concepts = choose_concepts(sources, read_everyday(target / "everyday.tsv"))
    for artist in CREDITS:
        write_artist(sources, artist, concepts, target)
        print(artist, "done", flush=True)
    rows = [
        f"{json.dumps(n, ensure_ascii=False)}: {json.dumps(c, ensure_ascii=False)}"
        for n, c in concepts.items()
    ]
    (target / "concepts.json").write_text(
        "{\n" + ",\n".join(rows) + "\n}\n", encoding="utf8"
    )
    write_glyphs(target)
    unicode = sources.root["licences"] / "licenses/Unicode-3.0.json"
    (target / "LICENSE-names").write_text(
        "Names and keywords: Unicode CLDR, by way of emojibase-data 17.0.0 "
        "(MIT, Miles Johnson).\n\n"
        + json.loads(unicode.read_text())["licenseText"].rstrip()
        + "\n",
        encoding="utf8",
    )
    write_sums(target)
    everyday = sum(c["everyday"] for c in concepts.values())
    print(f"{len(concepts)} concepts, {everyday} of them everyday nouns")


if __name__ == "__main__":
    main(*sys.argv[1:])
