"""Claims about CLIP that need something to compare with: short trainings, side by side.

Every training is the lesson's (`mmlearn.train.recipes.clip_lesson`): the same forty
nouns, the same drawings in the same order, the same number of steps. One thing is
changed at a time, and every condition is trained from several seeds.
"""

from collections.abc import Callable, Sequence
from statistics import mean

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmlearn import world
from mmlearn.clip import CLIP, clamp_logit_scale, clip_loss
from mmlearn.evaluate.clip import (
    PLAIN,
    SEED,
    ascend,
    picture_features,
    text_features,
)
from mmlearn.train import fit
from mmlearn.train.recipes import clip, clip_lesson
from mmlearn.world.words import article

ONE_ARTIST, ALL_ARTISTS = ("noto",), world.TRAIN_ARTISTS
Namer = Callable[[Tensor], Tensor]  # images to the numbers of their names


class Supervised(nn.Module):
    """CLIP's image tower with a classifier on top: it learns numbers, not words."""

    def __init__(self, size: str, classes: int, seed: int):
        super().__init__()
        towers = CLIP.from_size(size, seed=seed)
        self.vision = towers.vision
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.head = nn.Linear(towers.config.vision_width, classes)

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.vision(images))


def pictures(recipe, seed: int, artists: Sequence[str]) -> Callable[[int], world.Batch]:
    """The lesson's batches, drawn by these artists only."""
    options = {"concepts": recipe.nouns, "backgrounds": clip.BACKGROUNDS}
    options |= {"may_say": (), "artists": tuple(artists)}
    return lambda index: world.drawings(recipe.batch, seed, index=index, **options)


def train_supervised(
    size: str, seed: int, artists: Sequence[str], **options
) -> tuple[Namer, dict]:
    """Cross-entropy with the noun's number, on exactly the pictures CLIP would see."""
    recipe = clip_lesson.RECIPES[size]
    made, nouns = pictures(recipe, seed, artists), list(recipe.nouns)
    model = Supervised(size, len(nouns), seed)

    def batches(index: int) -> tuple[Tensor, Tensor]:
        batch = made(index)
        right = [nouns.index(record.items[0].noun) for record in batch.records]
        return batch.images, torch.tensor(right)

    def loss(model, batch, generator):
        images, right = batch
        logits = model(clip_lesson.augment(images, generator))
        return F.cross_entropy(logits.float(), right)

    words = {"weight_decay": 0.2, "betas": (0.9, 0.98), "ema": None, "lr": recipe.lr}
    history = fit(model, loss, batches, seed=seed, **_quiet(recipe, words | options))
    return lambda images: model(images).argmax(dim=1), {"seconds": history.seconds}


def train_clip(
    size: str,
    seed: int,
    artists: Sequence[str] = ALL_ARTISTS,
    *,
    tower: str = "vit",
    loss_of: Callable[[Tensor, Tensor, Tensor], Tensor] = clip_loss,
    after_step: Callable[[nn.Module], None] = clamp_logit_scale,
    twice: bool = False,
    **options,
) -> tuple[Namer, dict]:
    """The lesson's CLIP; with another tower, loss or clamp, or nouns that repeat."""
    recipe = clip_lesson.RECIPES[size]
    model = CLIP.from_size(size, seed=seed, tower=tower)
    made = pictures(recipe, seed, artists)
    with torch.no_grad():
        after_step(model)

    def batches(index: int) -> tuple[Tensor, Tensor]:
        batch = made(index)
        images, captions = batch.images, batch.captions
        if twice:  # the first half of the nouns, drawn by two hands
            half, more = len(captions) // 2, _again(recipe, seed, index, batch)
            images = torch.cat([images[:half], more.images])
            captions = captions[:half] + more.captions
        return images, clip.without_padding(model.tokenizer(captions))

    def loss(model, batch, generator):
        images, tokens = batch
        features = model(clip_lesson.augment(images, generator), tokens)
        with torch.autocast(images.device.type, enabled=False):
            return loss_of(*(x.float() for x in features), model.logit_scale)

    words = {"weight_decay": 0.2, "betas": (0.9, 0.98), "ema": None, "lr": recipe.lr}
    words |= {"after_step": after_step} | options
    history = fit(model, loss, batches, seed=seed, **_quiet(recipe, words))
    found = {"seconds": history.seconds, "loss": history.rows[-1]["loss"]}
    return namer(model, recipe.nouns), found | {"scale": model.logit_scale.exp().item()}


def _again(recipe, seed: int, index: int, batch: world.Batch) -> world.Batch:
    """The nouns of the batch's first half once more: other drawings, the same names."""
    half = [record.items[0].noun for record in batch.records[: len(batch) // 2]]
    options = {"concepts": half, "backgrounds": clip.BACKGROUNDS, "may_say": ()}
    return world.drawings(len(half), seed + 1, index=index, **options)


def _quiet(recipe, options: dict) -> dict:
    return {"steps": recipe.steps, "precision": "bf16", "progress": False} | options


@torch.no_grad()
def namer(model: CLIP, nouns: Sequence[str]) -> Namer:
    """A function from images to the number of the noun whose sentence is nearest."""
    model.eval()
    sentences = [PLAIN[0].format(article(noun)) for noun in nouns]
    texts = F.normalize(model.encode_text(model.tokenize(sentences)), dim=-1)
    return lambda images: (picture_features(model, images) @ texts.T).argmax(dim=1)


@torch.no_grad()
def by_artist(
    name: Namer, nouns: Sequence[str], artists=world.ARTISTS, times: int = 5
) -> dict[str, float]:
    """The share named right of each artist's drawings, ``times`` of every noun."""
    nouns, found = list(nouns), {}
    for artist in artists:
        right = []
        for index in range(times):
            options = {"index": index, "concepts": nouns, "artists": (artist,)}
            shown = world.drawings(len(nouns), SEED, **options)
            truth = [nouns.index(record.items[0].noun) for record in shown.records]
            right += (name(shown.images) == torch.tensor(truth)).tolist()
        found[artist] = sum(right) / len(right)
    return found


def compare(
    conditions: dict[str, Callable[[int], tuple[Namer, dict]]],
    nouns: Sequence[str],
    seeds: Sequence[int],
) -> list[dict]:
    """Train every condition from every seed; one row for each condition and artist.

    share is the mean over the seeds, ``shares`` are they all.
    """
    rows = []
    for title, train in conditions.items():
        found, numbers = [], []
        for seed in seeds:
            name, facts = train(seed)
            found.append(by_artist(name, nouns))
            numbers.append(facts)
            print(f"{title}, seed {seed}: {found[-1]} {facts}", flush=True)
        facts = {key: round(mean(n[key] for n in numbers), 3) for key in numbers[0]}
        for artist in found[0]:
            shares = [round(shares[artist], 4) for shares in found]
            row = {
                "condition": title,
                "artist": artist,
                "share": round(mean(shares), 4),
            }
            rows.append(row | {"shares": shares} | facts)
    return rows


def towers(size: str, seeds: Sequence[int]) -> list[dict]:
    """Claim (1): a ResNet of as many parameters in the vision transformer's place.

    What it stands against is "CLIP, all artists" of `robustness`: the same training,
    pictures, order and seeds.
    """
    conditions = {"ResNet": lambda seed: train_clip(size, seed, tower="resnet")}
    return compare(conditions, clip_lesson.RECIPES[size].nouns, seeds)


def robustness(size: str, seeds: Sequence[int]) -> list[dict]:
    """Claim (2): words or numbers, one artist or all: two by two."""
    conditions = {
        "CLIP, all artists": lambda seed: train_clip(size, seed),
        "classifier, all artists": lambda seed: train_supervised(
            size, seed, ALL_ARTISTS
        ),
        "CLIP, one artist": lambda seed: train_clip(size, seed, ONE_ARTIST),
        "classifier, one artist": lambda seed: train_supervised(size, seed, ONE_ARTIST),
    }
    return compare(conditions, clip_lesson.RECIPES[size].nouns, seeds)


def breaks(size: str, seeds: Sequence[int]) -> list[dict]:
    """A third of the lesson's steps, with one idea taken away at a time."""
    recipe = clip_lesson.RECIPES[size]
    short = {"steps": max(recipe.steps // 3, 2)}
    variants = {
        "as it should be": {},
        "scale kept at 1": {"after_step": scale_of_one},
        "not normalised": {"loss_of": without_normalising},
        "every caption twice": {"twice": True},
        "targets of its own making": {"loss_of": soft_targets},
    }
    conditions = {
        title: lambda seed, change=change: train_clip(size, seed, **change, **short)
        for title, change in variants.items()
    }
    return compare(conditions, recipe.nouns, seeds)


def ascent(model: CLIP, size: str, seed: int) -> list[dict]:
    """Claim (6): climbing CLIP's score from noise raises the score and draws nothing.

    For each noun of the lesson: the cosine reached, beside that of real drawings; and
    how often the result is named as wished, by the CLIP that was climbed and by
    another, which learned the same nouns on its own.
    """
    nouns = list(clip_lesson.RECIPES[size].nouns)
    captions = [PLAIN[0].format(article(noun)) for noun in nouns]
    found, scores = ascend(model, captions, seed=seed)
    real = world.drawings(len(nouns), SEED, concepts=nouns)
    order = [nouns.index(record.items[0].noun) for record in real.records]
    texts = text_features(model, captions)
    real_score = (picture_features(model, real.images) * texts[order]).sum(dim=1).mean()
    second, _ = train_clip(size, seed)
    row = {"nouns": len(nouns), "cosine of noise": scores[0]}
    row |= {"cosine after": scores[-1], "cosine of real drawings": real_score.item()}
    for title, name in (("itself", namer(model, nouns)), ("another CLIP", second)):
        wished = torch.arange(len(nouns))
        row[f"ascended, named by {title}"] = share_of(name(found) == wished)
        row[f"real, named by {title}"] = share_of(
            name(real.images) == torch.tensor(order)
        )
    return [{k: round(v, 4) if isinstance(v, float) else v for k, v in row.items()}]


def share_of(right: Tensor) -> float:
    """The share of True."""
    return right.float().mean().item()


def scale_of_one(model: CLIP) -> None:
    """After each step: exp(0) = 1, no temperature."""
    model.logit_scale.zero_()


def without_normalising(images: Tensor, texts: Tensor, logit_scale: Tensor) -> Tensor:
    """`clip_loss` of plain dot products, in which length counts too."""
    logits = logit_scale.exp() * images @ texts.T
    right = torch.arange(len(logits), device=logits.device)
    return (F.cross_entropy(logits, right) + F.cross_entropy(logits.T, right)) / 2


def soft_targets(images: Tensor, texts: Tensor, logit_scale: Tensor) -> Tensor:
    """What a much-read tutorial did: the model's own similarities as its targets.

    To towers that find everything alike these targets say that every caption is right,
    and nothing pushes anything apart.
    """
    images, texts = F.normalize(images, dim=-1), F.normalize(texts, dim=-1)
    logits = logit_scale.exp() * images @ texts.T
    own = (images @ images.T + texts @ texts.T) / 2
    targets = (logit_scale.exp() * own).softmax(dim=1)
    rows, columns = F.cross_entropy(logits, targets), F.cross_entropy(logits.T, targets)
    return (rows + columns) / 2
