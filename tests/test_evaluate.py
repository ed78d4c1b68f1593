"""The measurements themselves: a perfect model scores 1, a wrong one does not."""

import json
import math
import zlib

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import nn

import mmlearn as mm
from mmlearn import evaluate, world
from mmlearn.__main__ import main
from mmlearn.evaluate import clip as measure
from mmlearn.evaluate import clip_controls as controls
from mmlearn.evaluate.results import stale
from mmlearn.train.recipes import clip_lesson


class Oracle(nn.Module):
    """A CLIP that knows the caption of every picture it was told of."""

    def __init__(self, images, captions):
        super().__init__()
        self.logit_scale = nn.Parameter(torch.zeros(1))
        self.config = mm.clip.CLIPConfig.from_size("smoke")
        self.told = dict(zip(map(self.key, images), captions, strict=True))

    @staticmethod
    def key(image):
        return image.numpy().tobytes()

    @staticmethod
    def vector(text):
        seed = zlib.crc32(text.encode())
        return torch.randn(64, generator=torch.Generator().manual_seed(seed))

    def tokenize(self, texts):
        return list(texts)

    def encode_text(self, texts):
        return torch.stack([self.vector(text) for text in texts])

    def encode_image(self, images):
        return torch.stack([self.vector(self.told[self.key(x)]) for x in images])


def told(n):
    splits = [
        world.different_scenes(n, measure.SEED, split=split)
        for split in ("test", "held_out")
    ]
    captions = [caption for batch in splits for caption in batch.captions]
    return torch.cat([batch.images for batch in splits]), captions


def test_retrieval_gives_a_perfect_model_one_and_a_confused_one_nothing():
    images, captions = told(12)
    rows = measure.retrieval(Oracle(images, captions), 12, 1)
    assert {row["share"] for row in rows} == {1}
    collapsed = Oracle(images, captions)
    collapsed.encode_image = lambda images: torch.ones(len(images), 64)
    collapsed.encode_text = lambda texts: torch.ones(len(texts), 64)
    assert {row["share"] for row in measure.retrieval(collapsed, 12, 1)} == {0}
    confused = Oracle(images, captions[1:] + captions[:1])
    rows = measure.retrieval(confused, 12, 1)
    assert all(row["share"] < 0.2 for row in rows if row["recall at"] == 1)


@pytest.mark.parametrize("fact", ["binding", "order", "colour"])
def test_twins_differ_in_picture_and_caption_and_an_oracle_tells_them_apart(fact):
    pairs = measure.minimal_pairs(fact, 6)
    for scene, other in pairs:
        captions = world.caption(scene), world.caption(other)
        assert captions[0] != captions[1]
        if fact in ("binding", "order"):  # the same words in another order
            assert sorted(captions[0].split()) == sorted(captions[1].split())
    images = world.draw([s for pair in pairs for s in pair], 64)
    captions = [world.caption(s) for pair in pairs for s in pair]
    (row,) = pairs_of(Oracle(images, captions), fact, 6)
    assert (row["share"], row["both ways"]) == (1, 1)
    swapped = [c for i in range(0, 12, 2) for c in (captions[i + 1], captions[i])]
    (row,) = pairs_of(Oracle(images, swapped), fact, 6)
    assert (row["share"], row["both ways"]) == (0, 0)


def pairs_of(model, fact, n):
    saved, world.FACTS = world.FACTS, (fact,)
    try:
        return measure.pairs(model, n)
    finally:
        world.FACTS = saved


def test_intervals():
    low, high = evaluate.wilson(8, 10)
    assert (round(low, 3), round(high, 3)) == (0.490, 0.943)  # Wilson's own formula
    assert evaluate.wilson(10, 10)[1] == 1 and evaluate.wilson(10, 10)[0] < 0.8
    low, high = evaluate.bootstrap([0.0, 1.0] * 50)
    assert 0.36 < low < 0.45 < 0.55 < high < 0.64
    for bad in (lambda: evaluate.wilson(3, 2), lambda: evaluate.bootstrap([])):
        with pytest.raises(ValueError):
            bad()


def test_a_classifier_sees_exactly_the_pictures_that_clip_sees():
    plan = clip_lesson.RECIPES["smoke"]
    theirs = clip_lesson.drawings(mm.CLIP.from_size("smoke"), plan, 3)(5)[0]
    ours = controls.pictures(plan, 3, controls.ALL_ARTISTS)(5)
    assert torch.equal(ours.images, theirs)
    alone = controls.pictures(plan, 3, controls.ONE_ARTIST)(5)
    assert {r.artist for r in alone.records} == {"noto"}


def test_controls_train_and_compare_every_condition_from_every_seed():
    few = {"steps": 3}
    conditions = {
        "words": lambda seed: controls.train_clip("smoke", seed, **few),
        "numbers": lambda seed: controls.train_supervised(
            "smoke", seed, ("noto",), **few
        ),
        "twice": lambda seed: controls.train_clip("smoke", seed, twice=True, **few),
        "resnet": lambda seed: controls.train_clip(
            "smoke", seed, tower="resnet", **few
        ),
    }
    nouns = clip_lesson.RECIPES["smoke"].nouns
    rows = controls.compare(conditions, nouns, [0, 1])
    assert len(rows) == 4 * len(world.ARTISTS)
    assert all(len(row["shares"]) == 2 for row in rows)


def test_the_broken_losses_are_broken_as_described():
    features = torch.randn(2, 6, 8, generator=torch.Generator().manual_seed(0))
    scale = torch.tensor([math.log(10.0)])
    alike = torch.ones(6, 8)
    # Where everything is nearly alike, these targets say so and hardly push.
    pushes = []
    for loss in (controls.soft_targets, mm.clip.clip_loss):
        images = (alike + 1e-3 * features[0]).requires_grad_()
        value = loss(images, alike + 1e-3 * features[1], scale)
        pushes.append(torch.autograd.grad(value, images)[0].norm())
    assert pushes[0] < pushes[1] / 50
    images, texts = features
    longer = controls.without_normalising(images * 3, texts, scale)
    assert longer != pytest.approx(
        controls.without_normalising(images, texts, scale).item()
    )
    same = mm.clip.clip_loss(images * 3, texts, scale)
    assert same.item() == pytest.approx(mm.clip.clip_loss(images, texts, scale).item())


def test_climbing_raises_the_score_and_stays_a_picture():
    clip = mm.CLIP.from_size("smoke")
    images, scores = measure.ascend(clip, ["a fox", "a bus"], steps=30)
    assert images.shape == (2, 3, 64, 64) and images.abs().max() <= 1
    assert scores[-1] > scores[0] + 0.05
    again = F.normalize(clip.encode_image(images), dim=-1)
    assert (again * measure.text_features(clip, ["a fox", "a bus"])).sum(1).mean() > 0


def test_results_speak_of_the_checkpoints_that_are_shipped():
    models = ("clip-", "glide-", "stable-diffusion-")
    names = [n for n in evaluate.result_names() if n.startswith(models)]
    for model in models:
        assert any(name.startswith(model) for name in names), model
    for name in names:
        result = evaluate.load_result(name)
        assert not stale(name), f"measure {name} again: {result['command']}"
        assert {"about", "command", "commit", "machine", "seeds"} <= set(result)
        assert result["rows"]
        assert not name.startswith("clip-") or "+" not in result["commit"]


def test_a_result_of_other_weights_is_called_stale(tmp_path, monkeypatch):
    from mmlearn.evaluate import results

    shipped = mm.weights.find("laptop", "clip")
    facts = {"about": "nothing", "command": "none", "seconds": 0, "seeds": [0]}
    save = {"folder": tmp_path / "results", "checkpoints": {shipped.name: shipped}}
    path = results.save_result("x", [{"share": 0.5}], **facts, **save)
    kept = json.loads(path.read_text())
    assert kept["rows"] == [{"share": 0.5}]
    data = {"results": tmp_path / "results", "checkpoints": shipped.parent}
    monkeypatch.setattr(
        results, "data_path", lambda part, *more: data[part].joinpath(*more)
    )
    assert stale("x") == []
    kept["checkpoints"][shipped.name] = "0" * 64
    path.write_text(json.dumps(kept))
    assert stale("x") == [shipped.name]
    part = f"{shipped.name} (text, log_temperature)"
    results.save_result("x", [], **facts, **save | {"checkpoints": {part: shipped}})
    assert stale("x") == []
    kept = json.loads(path.read_text())["checkpoints"]
    path.write_text(path.read_text().replace(kept[part], "0" * 64))
    assert stale("x") == [part]


def test_a_part_of_a_model_has_a_hash_of_its_own(tmp_path):
    first = {"a.x": torch.zeros(3), "b.x": torch.ones(2), "ab.x": torch.ones(2)}
    path, hashes = tmp_path / "x.safetensors", []
    for change in ({}, {"b.x": torch.zeros(2)}, {"a.x": torch.ones(3)}):
        save_file(first | change, path)
        hashes.append(
            [mm.weights.sha256_of(path, parts) for parts in ("a", ["a", "b"])]
        )
    assert hashes[0][0] == hashes[1][0] != hashes[2][0]
    assert len({both for _, both in hashes}) == 3


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["dall-e"], "nothing is measured of 'dall-e'"),
        (["clip", "--only", "beauty"], "no claim 'beauty'"),
        (["clip", "--only", "pairs", "--weights", "nowhere"], "'nowhere'"),
        (["clip", "--seeds", "0"], "--seeds must be at least 1"),
    ],
)
def test_a_bad_request_gets_one_sentence(words, says, capsys):
    assert main(["evaluate", *words]) == 2
    error = capsys.readouterr().err
    assert says in error and error.count("\n") == 1


def test_an_unknown_result_is_named_with_those_there_are():
    with pytest.raises(ValueError, match=r"no result 'x'; there are: .*clip-"):
        evaluate.load_result("x")
