"""What a finished CLIP can do, in the world whose truth is known.

Every function asks a trained model and returns the rows of a table. The questions use
scenes and drawings at places and on backgrounds that training never showed; "held out"
are combinations that it never showed at all (`mmlearn.world.splits`).
"""

from collections import defaultdict
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from mmlearn import world
from mmlearn.clip import CLIP, zero_shot_classifier
from mmlearn.evaluate.intervals import bootstrap, wilson
from mmlearn.world.words import article

SEED = 20_210_226  # of everything asked here, and of no training; the paper's day
PLAIN = ("a picture of {}",)
TEMPLATES = (
    *("{}", "a picture of {}", "there is {}"),
    *("a cartoon of {}", "a flat drawing of {}", "a 3D render of {}"),
    *("{} on a white background", "{} in a meadow", "{} in the snow"),
    *("a picture of {} at night", "a picture of {} on the beach"),
)


@torch.no_grad()
def picture_features(model: CLIP, images: Tensor) -> Tensor:
    """Unit vectors (n, embed) of images (n, 3, size, size)."""
    model.eval()
    images = images.to(model.logit_scale.device)
    return F.normalize(model.encode_image(images), dim=-1)


@torch.no_grad()
def text_features(model: CLIP, texts: Sequence[str]) -> Tensor:
    """Unit vectors (n, embed) of texts."""
    model.eval()
    return F.normalize(model.encode_text(model.tokenize(texts)), dim=-1)


def named(
    model: CLIP,
    names: Sequence[str],
    artist: str,
    *,
    among: Sequence[str] | None = None,
    split: str | None = None,
    templates: Sequence[str] = PLAIN,
    bare: bool = False,
    times: int = 5,
) -> dict[str, float]:
    """For each name, how often an artist's drawing of it was given that name.

    Each is drawn ``times`` times, at other places and on other backgrounds; ``among``
    are the names to choose from (``names`` if None); ``bare`` leaves out articles.
    """
    among = list(names if among is None else among)
    labels = [name if bare else article(name) for name in among]
    classifier = zero_shot_classifier(model, labels, templates)
    seen = [n for n in names if split is None or _in_split(n, artist, split)]
    right = defaultdict(list)
    for index in range(times if seen else 0):
        options = {"index": index, "concepts": seen, "artists": (artist,)}
        shown = world.drawings(len(seen), SEED, **options)
        best = (picture_features(model, shown.images) @ classifier.T).argmax(dim=1)
        for i, record in zip(best.tolist(), shown.records, strict=True):
            right[record.items[0].noun].append(among[i] == record.items[0].noun)
    return {noun: sum(hits) / len(hits) for noun, hits in right.items()}


def _in_split(noun: str, artist: str, split: str) -> bool:
    return world.splits.thing_style(noun, artist) == (split == "held_out")


def _row(shares: dict[str, float], **words) -> dict:
    mean = sum(shares.values()) / len(shares)
    if mean in (0, 1):  # all alike: drawing them again would claim certainty
        low, high = wilson(round(mean * len(shares)), len(shares))
    else:
        low, high = bootstrap(list(shares.values()))
    return words | {
        "nouns": len(shares),
        "share": round(mean, 4),
        "low": round(low, 4),
        "high": round(high, 4),
    }


def naming(model: CLIP, unread: Sequence[str] = ()) -> list[dict]:
    """Every everyday noun by every artist, named among all of them.

    Training artists: the combinations that were trained on, and those held out.
    ``unread`` are names that no training caption held: they are named among themselves.
    """
    nouns, rows = world.everyday(), []
    for artist in world.ARTISTS:
        splits = ("train", "held_out") if artist in world.TRAIN_ARTISTS else (None,)
        for split in splits:
            shares = named(model, nouns, artist, split=split)
            kind = {"train": "seen", "held_out": "held-out pair", None: "new artist"}
            rows.append(_row(shares, artist=artist, asked=kind[split], of=len(nouns)))
    for artist in world.TRAIN_ARTISTS if unread else ():
        shares = named(model, unread, artist)
        rows.append(_row(shares, artist=artist, asked="unread name", of=len(unread)))
    return rows


def templates(model: CLIP) -> list[dict]:
    """The same naming with a bare label, one sentence, and an ensemble (3.1.4)."""
    rows = []
    for artist in world.ARTISTS:
        for title, options in (
            ("bare label", {"templates": ("{}",), "bare": True}),
            ("one template", {"templates": PLAIN}),
            (f"{len(TEMPLATES)} templates", {"templates": TEMPLATES}),
        ):
            shares = named(model, world.everyday(), artist, **options)
            rows.append(_row(shares, artist=artist, asked=title))
    return rows


def retrieval(model: CLIP, n: int = 100, galleries: int = 10) -> list[dict]:
    """The caption of a scene among ``n`` different ones, and the scene of a caption.

    recall@k: the right one is among the k nearest. "test" are new scenes of known
    combinations, "held_out" hold at least one combination never trained on.
    """
    rows = []
    for split in ("test", "held_out"):
        hits = defaultdict(list)
        for index in range(galleries):
            batch = world.different_scenes(n, SEED, index=index, split=split)
            cosines = picture_features(model, batch.images) @ (
                text_features(model, batch.captions).T
            )
            for way, matrix in (
                ("caption from picture", cosines),
                ("picture from caption", cosines.T),
            ):
                # Not "nearer" but "as near": towers that collapsed find nothing.
                rank = (matrix >= matrix.diagonal()[:, None]).sum(dim=1) - 1
                for k in (1, 5):
                    hits[way, k] += (rank < k).tolist()
        for (way, k), right in hits.items():
            low, high = wilson(sum(right), len(right))
            share = sum(right) / len(right)
            row = {"split": split, "way": way, "recall at": k, "of": n}
            row |= {"scenes": len(right), "share": round(share, 4)}
            rows.append(row | {"low": round(low, 4), "high": round(high, 4)})
    return rows


def minimal_pairs(fact: str, n: int = 200) -> list[tuple]:
    """``n`` scenes of the test split and their twins, which differ in one fact.

    Both captions say the same things in the same way, but for that fact.
    """
    pairs, index = [], 0
    while len(pairs) < n:
        scene = world.scenes(1, SEED + 1, split="test", start=index).records[0]
        index += 1
        if fact not in world.facts(scene):
            continue
        try:
            other = world.twin(scene, fact, seed=index)
        except world.WorldError:  # no other colour would be seen here, say
            continue
        scene = scene.replace(says=other.says)
        if world.caption(scene) != world.caption(other):
            pairs.append((scene, other))
    return pairs


def pairs(model: CLIP, n: int = 200) -> list[dict]:
    """Minimal pairs: does the picture prefer its own caption? Guessing: one half.

    "binding" swaps the colours of two things, "order" swaps the two things of a
    relation: both captions hold the same words. "both ways": each of the two pictures
    prefers its caption and each caption its picture; guessing gets one in six.
    """
    rows = []
    for fact in world.FACTS:
        asked = minimal_pairs(fact, n)
        captions = [
            [world.caption(scene) for scene in side]
            for side in zip(*asked, strict=True)
        ]
        texts = [text_features(model, side) for side in captions]
        images = [
            picture_features(
                model, world.draw([pair[i] for pair in asked], model.config.image_size)
            )
            for i in range(2)
        ]
        score = [[(x * t).sum(dim=1) for t in texts] for x in images]
        own = score[0][0] > score[0][1]
        both = own & (score[1][1] > score[1][0])
        both &= (score[0][0] > score[1][0]) & (score[1][1] > score[0][1])
        right = int(own.sum())
        low, high = wilson(right, n)
        row = {"fact": fact, "pairs": n, "share": right / n}
        row |= {"low": round(low, 4), "high": round(high, 4)}
        rows.append(row | {"both ways": round(both.float().mean().item(), 4)})
    return rows


def ascend(
    model: CLIP, captions: Sequence[str], *, steps: int = 300, seed: int = 0
) -> tuple[Tensor, list[float]]:
    """Start from noise and climb CLIP's own score: images (n, 3, size, size), scores.

    The score is the mean cosine of picture and caption, after every step. What comes
    out pleases CLIP and nobody else: it scores, it does not draw.
    """
    model.eval()
    texts = text_features(model, captions)
    size = model.config.image_size
    generator = torch.Generator().manual_seed(seed)
    start = 0.1 * torch.randn(len(texts), 3, size, size, generator=generator)
    pixels = start.to(texts.device).requires_grad_()
    optimizer, scores = torch.optim.Adam([pixels], lr=0.02), []
    for _ in range(steps):
        features = F.normalize(model.encode_image(pixels.tanh()), dim=-1)
        score = (features * texts).sum(dim=1).mean()
        (pixels.grad,) = torch.autograd.grad(-score, pixels)
        optimizer.step()
        scores.append(score.item())
    return pixels.detach().tanh(), scores


def scores(model: CLIP, unread: Sequence[str]) -> dict:
    """What a card says of a checkpoint: the shares of `naming` and `retrieval`."""
    found = {}
    for row in naming(model, unread):
        found.setdefault(f"named, {row['asked']}", {})[row["artist"]] = row["share"]
    for row in retrieval(model):
        if row["recall at"] == 1:
            key = f"{row['way']}, recall at 1 of {row['of']}"
            found.setdefault(key, {})[row["split"]] = row["share"]
    return found
