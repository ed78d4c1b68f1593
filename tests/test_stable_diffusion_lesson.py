"""The Stable Diffusion chapter's own training: what is encoded, and what learns."""

from dataclasses import replace

import pytest
import torch

from mmlearn import weights, world
from mmlearn.stable_diffusion import StableDiffusion
from mmlearn.train import command
from mmlearn.train.recipes import glide_lesson
from mmlearn.train.recipes import stable_diffusion_lesson as lesson

PLAN = lesson.RECIPES["smoke"]


@pytest.fixture(scope="module")
def model():
    return lesson.untrained("smoke", 0)


@pytest.fixture(scope="module")
def encoded(model):
    return lesson.encode(model, PLAN.scenes, 0)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    out = tmp_path_factory.mktemp("lesson")
    lesson.train("smoke", out=out, progress=False)
    return out


def test_the_world_is_that_of_glides_lesson_at_twice_the_side(model):
    assert lesson.GRAMMAR is glide_lesson.GRAMMAR
    assert lesson.PROMPTS is glide_lesson.PROMPTS
    ours, theirs = lesson.scenes(6, 0, model.image_size), glide_lesson.scenes(6, 0)
    assert ours.records == theirs.records and ours.images.shape[-1] == 64
    said = {world.caption(world.compose(lesson.GRAMMAR, 7, i)) for i in range(400)}
    spoken = {word for text in said for word in text.split()}
    assert lesson.words() == spoken and "penguin" in spoken and "green" not in spoken


def test_an_encoded_scene_is_its_own_latent_and_its_own_caption(model, encoded):
    assert encoded.latents.shape == (32, 4, 16, 16) and len(encoded) == 32
    found = lesson.scenes(32, 0, 64)
    assert len(encoded.text) == len(set(found.captions)) < 32
    with torch.no_grad():
        latents = model.encode(found.images, lesson.lots(0, range(32)))
        text = model.encode_text(found.captions)
    order = torch.tensor([3, 0, 31, 3])
    drawn, said = encoded.rows(order)
    assert torch.allclose(said, text[order], atol=1e-4)
    far = (drawn - latents[order].roll(1, 0)).abs().mean()
    assert (drawn - latents[order]).abs().mean() < 0.1 * far  # bf16, and no more
    assert encoded.latents.std().item() == pytest.approx(1, abs=0.1)


def test_a_scene_is_encoded_alike_whatever_stands_beside_it(
    model, encoded, monkeypatch
):
    monkeypatch.setattr(lesson, "AT_ONCE", 7)
    again = lesson.encode(model, 10, 0)
    assert torch.allclose(again.latents, encoded.latents[:10], atol=0.1)
    assert not torch.allclose(again.latents.flip(0), encoded.latents[:10], atol=0.1)
    assert not torch.equal(lesson.encode(model, 3, 1).latents, again.latents[:3])


def test_every_scene_is_seen_once_an_epoch_in_another_order(encoded):
    batch = lesson.batches(encoded, PLAN, 0)

    def seen(latents) -> list[int]:
        """The numbers of the scenes that these are."""
        apart = (latents[:, None] - encoded.latents).flatten(2).abs().sum(dim=2)
        return apart.argmin(dim=1).tolist()

    epochs = [[n for i in range(4) for n in seen(batch(k + i)[0])] for k in (0, 4)]
    assert [sorted(epoch) for epoch in epochs] == [list(range(32))] * 2
    assert epochs[0] != epochs[1] != list(range(32))
    latents, text = batch(3)
    assert latents.shape == (8, 4, 16, 16) and text.shape == (8, 32, 64)
    assert torch.equal(text, encoded.text[encoded.said[seen(latents)]])
    assert all(map(torch.equal, batch(3), (latents, text)))  # of its number alone
    with pytest.raises(ValueError, match="a batch of 33 needs as many scenes"):
        lesson.batches(encoded, replace(PLAN, batch=33), 0)


def test_one_caption_in_ten_is_left_out(model, encoded, monkeypatch):
    heard = []

    def guess(x_t, t, text):
        heard.append(text)
        return torch.zeros_like(x_t)

    monkeypatch.setattr(model.unet, "forward", guess)
    text = encoded.text[:1].expand(2_000, -1, -1)
    batch = (torch.zeros(2_000, 4, 4, 4), text)
    lesson.loss_of(model)(model, batch, torch.Generator().manual_seed(0))
    empty = (heard[0] == model.encode_text([""])).flatten(1).all(dim=1)
    assert torch.equal(heard[0][~empty], text[~empty])
    assert empty.float().mean() == pytest.approx(0.1, abs=0.02)


def test_a_models_unet_begins_anew_and_the_rest_is_its_own(tmp_path):
    first = StableDiffusion.from_size("smoke", seed=5)
    first.scale = 0.3
    first.save_pretrained(tmp_path / "model")
    model = lesson.untrained("laptop", 0, tmp_path / "model")
    assert model.config == first.config and model.scale == 0.3
    for part, same in (("vae", True), ("text_encoder", True), ("unet", False)):
        old, new = (getattr(m, part).state_dict() for m in (first, model))
        assert all(torch.equal(old[k], x) for k, x in new.items()) == same, part
    again, other = (lesson.untrained("smoke", seed) for seed in (0, 1))
    weight = model.unet.first.weight
    assert torch.equal(weight, again.unet.first.weight)
    assert not torch.equal(weight, other.unet.first.weight)


def test_only_the_unet_learns_and_what_was_trained_draws(run, model):
    trained = StableDiffusion.from_pretrained(run / "model")
    for part in ("vae", "text_encoder"):
        before, after = (getattr(m, part).state_dict() for m in (model, trained))
        assert all(torch.allclose(before[k], x, atol=1e-3) for k, x in after.items())
    before, after = model.unet.state_dict(), trained.unet.state_dict()
    assert all(not torch.equal(before[name], x) for name, x in after.items())
    assert trained.scale == model.scale != 1
    drawn = trained.generate(lesson.PROMPTS[:2], steps=2, progress=False)
    assert drawn.shape == (2, 3, 64, 64) and drawn.isfinite().all()
    card = weights.load_card(run / "model")
    assert card["recipe"].endswith("stable-diffusion-lesson --size smoke --seed 0")
    assert card["steps"] == PLAN.steps


def test_the_command_knows_the_lesson_and_its_sizes():
    assert "stable_diffusion_lesson" in command.known_models()
    with pytest.raises(ValueError, match="smoke, laptop, gpu, not 'paper'"):
        lesson.untrained("paper", 0)
