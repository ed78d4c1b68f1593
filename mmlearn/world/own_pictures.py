"""A reader's own pictures: a folder and a captions file give the same batches.

my_pictures/
    captions.csv      file,caption
    cat.png           cat.png,my cat asleep on the red sofa
    …                 …
"""

import csv
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError

from mmlearn.world.batches import Batch, _whole
from mmlearn.world.grammar import Lot
from mmlearn.world.words import WorldError

CAPTIONS = "captions.csv"


class Folder:
    """Pictures and captions read from a folder, checked before anything is used.

    ``captions.csv`` has a header ``file,caption`` and one row a picture. Each picture
    is turned upright, put on white if it is transparent, cropped to its central
    square and scaled to ``size`` pixels. Raises :class:`WorldError` for a missing
    folder or captions file, a wrong header, a picture without caption, a caption
    without picture, an empty or doubled one, and an unreadable picture.
    """

    def __init__(self, path: str | Path, size: int = 64):
        self.path, self.size = Path(path), _whole("size", size, 16)
        if not self.path.is_dir():
            raise WorldError(
                f"there is no folder {self.path}: give one that holds pictures"
            )
        self.captions = self._read_captions()
        self.names = list(self.captions)
        self.images = torch.stack([self._read_picture(name) for name in self.names])

    def __len__(self) -> int:
        return len(self.names)

    def batch(self, n: int, seed: int = 0, index: int = 0) -> Batch:
        """``n`` different pictures drawn by lot: a pure function of (seed, index)."""
        if _whole("n", n, 1) > len(self):
            raise WorldError(
                f"{self.path} holds {len(self)} pictures, so n cannot be {n}"
            )
        lot = Lot(
            (_whole("seed", seed, 0) << 66) + (3 << 64) + _whole("index", index, 0)
        )
        order = sorted(range(len(self)), key=lambda _: lot.random())[:n]
        names = [self.names[i] for i in order]
        records = [{"file": name} for name in names]
        return Batch(
            self.images[order], [self.captions[name] for name in names], records
        )

    def _read_captions(self) -> dict[str, str]:
        path = self.path / CAPTIONS
        if not path.is_file():
            raise WorldError(
                f"{self.path} has no {CAPTIONS}: write one with the header "
                "file,caption and a row for each picture"
            )
        try:
            with open(path, newline="", encoding="utf-8-sig") as file:
                rows = list(csv.reader(file))
        except UnicodeDecodeError:
            raise WorldError(f"{path} is not UTF-8 text: save it as UTF-8") from None
        if not rows or [cell.strip() for cell in rows[0]] != ["file", "caption"]:
            raise WorldError(f"the first line of {path} must be file,caption")
        captions: dict[str, str] = {}
        for number, row in enumerate(rows[1:], start=2):
            if not row:
                continue
            if len(row) != 2 or not row[1].strip():
                raise WorldError(
                    f"line {number} of {path} must be a file and its caption, two "
                    "cells (a caption that holds a comma goes in double quotes)"
                )
            name = row[0].strip()
            if name in captions:
                raise WorldError(
                    f"{path} has two captions for {name}: keep one of them"
                )
            captions[name] = row[1].strip()
        return self._matched(captions)

    def _matched(self, captions: dict[str, str]) -> dict[str, str]:
        endings = set(Image.registered_extensions())
        there = {p.name for p in self.path.iterdir() if p.suffix.lower() in endings}
        for wrong, what in (
            (sorted(set(captions) - there), "has a caption for {} but no such picture"),
            (sorted(there - set(captions)), "has the picture {} but no caption for it"),
        ):
            if wrong:
                more = f" (and {len(wrong) - 1} more like it)" if len(wrong) > 1 else ""
                raise WorldError(
                    f"{self.path} {what.format(wrong[0])}{more}: mend {CAPTIONS}"
                )
        if not captions:
            raise WorldError(f"{self.path} holds no pictures with captions")
        return captions

    def _read_picture(self, name: str) -> torch.Tensor:
        try:
            with Image.open(self.path / name) as image:
                image = ImageOps.exif_transpose(image).convert("RGBA")
        except (UnidentifiedImageError, OSError, SyntaxError, ValueError):
            raise WorldError(
                f"{self.path / name} cannot be read as a picture: replace it, or "
                f"take it and its row in {CAPTIONS} out"
            ) from None
        image = ImageOps.fit(image, (self.size, self.size), Image.LANCZOS)
        white = Image.new("RGBA", image.size, "white")
        rgb = np.array(Image.alpha_composite(white, image).convert("RGB"))
        return torch.from_numpy(rgb).permute(2, 0, 1).float() / 127.5 - 1


def folder(path: str | Path, size: int = 64) -> Folder:
    """Read a folder of pictures with a captions file; see :class:`Folder`."""
    return Folder(path, size)
