"""CLIP: published counts and starting values, its loss, its classifier, bad input."""

import math

import pytest
import torch
import torch.nn.functional as F

from mmlearn import weights
from mmlearn.clip import (
    CLIP,
    SIZES,
    CLIPConfig,
    clamp_logit_scale,
    clip_loss,
    zero_shot_classifier,
)
from mmlearn.text.bpe import Tokenizer
from mmlearn.train.recipes import clip_lesson as recipe


@pytest.fixture(scope="module")
def clip():
    return CLIP.from_size("smoke").eval()


@pytest.fixture(scope="module")
def images():
    return torch.rand(4, 3, 64, 64, generator=torch.Generator().manual_seed(0)) * 2 - 1


def test_paper_size_counts_151_277_313_parameters():
    paper = CLIP.from_size("paper", device="meta")
    assert sum(p.numel() for p in paper.parameters()) == 151_277_313
    assert (paper.config.context, paper.config.vocab) == (77, 49_408)
    assert paper.text.transformer.blocks[0].attention.heads == 8
    assert paper.vision.transformer.blocks[0].attention.heads == 12


def test_starting_values_are_the_published_ones():
    config = CLIPConfig.from_size("laptop")
    clip, width = CLIP.from_size("laptop"), config.text_width
    block = clip.text.transformer.blocks[0]
    residual = (width * 2 * config.text_layers) ** -0.5
    for tensor, std in (
        (clip.text.embedding.weight, 0.02),
        (clip.text.positions, 0.01),
        (block.attention.q.weight, width**-0.5),
        (block.attention.out.weight, residual),
        (block.mlp.fc1.weight, (2 * width) ** -0.5),
        (block.mlp.fc2.weight, residual),
        (clip.text_projection, width**-0.5),
        (clip.image_projection, config.vision_width**-0.5),
        (clip.vision.positions, config.vision_width**-0.5),
        (clip.vision.class_token, config.vision_width**-0.5),
    ):
        assert tensor.std().item() == pytest.approx(std, rel=0.15)
        assert abs(tensor.mean().item()) < std / 4
    assert clip.logit_scale.shape == (1,)
    assert clip.logit_scale.item() == pytest.approx(2.659, abs=1e-3)
    assert clip.vision.patches.bias is None


def test_seed_decides_the_weights_and_the_global_generator_stands_still():
    before = torch.get_rng_state()
    first, again, other = (CLIP.from_size("smoke", seed=s) for s in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(first.image_projection, again.image_projection)
    assert not torch.equal(first.image_projection, other.image_projection)


def test_features_do_not_depend_on_what_pads_the_caption(clip):
    tokens = clip.tokenize(["a fox", "two red hearts"])
    end = tokens.argmax(dim=1).max() + 1
    padded = tokens.clone()
    padded[0, 4:] = 7
    with torch.no_grad():
        whole = clip.encode_text(tokens)
        assert (clip.encode_text(tokens[:, :end]) - whole).abs().max() < 1e-5
        assert (clip.encode_text(padded) - whole).abs().max() < 1e-5


def test_loss_is_the_mean_of_both_directions():
    generator = torch.Generator().manual_seed(0)
    a, b = torch.randn(2, 5, 8, generator=generator).double()
    scale = torch.tensor([1.5]).double()
    cosine = torch.tensor([[F.cosine_similarity(x, y, dim=0) for y in b] for x in a])
    p = math.exp(1.5) * cosine
    rows = -p.log_softmax(dim=1).diagonal().mean()
    columns = -p.log_softmax(dim=0).diagonal().mean()
    assert clip_loss(a, b, scale).item() == pytest.approx((rows + columns).item() / 2)
    assert not math.isclose(rows, columns, rel_tol=1e-3)


def test_loss_starts_near_chance_and_only_order_matters():
    generator = torch.Generator().manual_seed(0)
    a, b = torch.randn(2, 256, 64, generator=generator)
    cold = clip_loss(a, b, torch.zeros(1)).item()
    assert cold == pytest.approx(math.log(256), abs=0.05)
    order = torch.randperm(256, generator=generator)
    scale = torch.tensor([2.0])
    together = clip_loss(a[order], b[order], scale)
    assert together.item() == pytest.approx(clip_loss(a, b, scale).item(), abs=1e-5)
    assert clip_loss(a, a, scale) < clip_loss(a, a[order], scale)


def test_swapping_the_captions_raises_the_loss_of_a_trained_model(images):
    """A few steps on four pairs: what was learned must sit in the pairing."""
    clip = CLIP.from_size("smoke").train()
    tokens = clip.tokenize(["a fox", "a red heart", "two cubes", "the moon"])
    optimizer = torch.optim.AdamW(clip.parameters(), lr=1e-3)
    for _ in range(20):
        loss = clip_loss(*clip(images, tokens), clip.logit_scale)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        clamp_logit_scale(clip)
    with torch.no_grad():
        right = clip_loss(*clip(images, tokens), clip.logit_scale)
        wrong = clip_loss(*clip(images, tokens.roll(1, 0)), clip.logit_scale)
    assert right < 0.5 and wrong > right + 1  # chance is ln 4 = 1.39


def test_scale_is_clamped_at_one_hundred(clip):
    clip = CLIP(clip.config)
    with torch.no_grad():
        clip.logit_scale.fill_(9.0)
    clamp_logit_scale(clip)
    assert clip.logit_scale.exp().item() == pytest.approx(100)


def test_every_parameter_gets_a_gradient(images):
    clip = CLIP.from_size("smoke")
    tokens = clip.tokenize(["a fox", "a red heart", "two cubes", "the moon"])
    clip_loss(*clip(images, tokens), clip.logit_scale).backward()
    assert [n for n, p in clip.named_parameters() if p.grad is None] == []


def test_classifier_averages_unit_vectors_of_filled_templates(clip):
    templates = ["a {}", "a flat drawing of a {}"]
    found = zero_shot_classifier(clip, ["fox", "moon"], templates)
    with torch.no_grad():
        for row, label in zip(found, ["fox", "moon"], strict=True):
            sentences = [t.replace("{}", label) for t in templates]
            features = clip.encode_text(clip.tokenize(sentences))
            features = features / features.norm(dim=1, keepdim=True)
            mean = features[0] + features[1]
            torch.testing.assert_close(row, mean / mean.norm())


def test_images_are_brought_to_the_mean_and_spread_of_the_weights(clip, images):
    from dataclasses import replace

    published = {"mean": (0.48, 0.46, 0.41), "std": (0.27, 0.26, 0.28)}
    other = CLIP(replace(clip.config, **published)).eval()
    other.load_state_dict(clip.state_dict())
    mean, std = (torch.tensor(x)[:, None, None] for x in published.values())
    normalised = ((images + 1) / 2 - mean) / std
    with torch.no_grad():
        expected = clip.vision(normalised) @ clip.image_projection
        torch.testing.assert_close(other.encode_image(images), expected)
        plain = clip.vision(images) @ clip.image_projection
        torch.testing.assert_close(clip.encode_image(images), plain)


def test_a_saved_model_comes_back_with_its_vocabulary(clip, images, tmp_path):
    clip.save_pretrained(tmp_path / "mine", {"seed": 0})
    again = CLIP.from_pretrained(tmp_path / "mine")
    assert again.config == clip.config and not again.training
    assert all(p.requires_grad for p in again.parameters())
    with torch.no_grad():
        assert torch.equal(again.encode_image(images), clip.encode_image(images))
    assert torch.equal(again.tokenize("a fox"), clip.tokenize("a fox"))
    with pytest.raises(weights.WeightsError, match="exists"):
        clip.save_pretrained(tmp_path / "mine")


def test_half_precision_is_half_as_large_and_loads_as_float(clip, images, tmp_path):
    for half in (False, True):
        clip.save_pretrained(tmp_path / str(half), half=half)
    full, small = (
        (tmp_path / str(half) / "model.safetensors").stat().st_size
        for half in (False, True)
    )
    assert small < 0.51 * full
    again = CLIP.from_pretrained(tmp_path / "True")
    with torch.no_grad():
        error = again.encode_image(images) - clip.encode_image(images)
    assert again.logit_scale.dtype == torch.float32 and error.abs().max() < 0.02


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (torch.zeros(2, 3, 32, 32), r"\(2, 3, 32, 32\)"),
        (torch.zeros(3, 64, 64), r"\(3, 64, 64\)"),
        (torch.zeros(0, 3, 64, 64), r"\(0, 3, 64, 64\)"),
        (torch.zeros(2, 3, 64, 64, dtype=torch.uint8), "uint8"),
        (torch.full((2, 3, 64, 64), 255.0), r"\[255, 255\]"),
        (torch.full((2, 3, 64, 64), math.nan), "nan"),
    ],
)
def test_bad_images_are_refused(bad, message, clip):
    with pytest.raises(ValueError, match=rf"expects floats .*\[-1, 1\].*{message}"):
        clip.encode_image(bad)


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (torch.zeros(2, 33, dtype=torch.long), r"\(2, 33\)"),
        (torch.zeros(5, dtype=torch.long), r"\(5,\)"),
        (torch.zeros(0, 5, dtype=torch.long), r"\(0, 5\)"),
        (torch.zeros(2, 5), "float32"),
        (torch.full((1, 5), 49_407), "49407.*another vocabulary"),
    ],
)
def test_bad_tokens_are_refused(bad, message, clip):
    with pytest.raises(ValueError, match=rf"at most 32\).*{message}"):
        clip.encode_text(bad)


def test_bad_names_labels_and_templates_are_refused(clip, tmp_path):
    with pytest.raises(ValueError, match="smoke, laptop, gpu, paper, not 'huge'"):
        CLIP.from_size("huge")
    with pytest.raises(ValueError, match="quick_gelu, gelu, not 'relu'"):
        CLIPConfig(**SIZES["smoke"], activation="relu")
    with pytest.raises(ValueError, match="at least one label"):
        zero_shot_classifier(clip, [])
    with pytest.raises(ValueError, match="at least one template"):
        zero_shot_classifier(clip, ["fox"], [])
    with pytest.raises(ValueError, match=r"'a photo' has no \{\}"):
        zero_shot_classifier(clip, ["fox"], ["a photo"])
    with pytest.raises(ValueError, match=r"516 tokens.*2048"):
        CLIP(clip.config, Tokenizer.train(["a fox"], 600))
    with pytest.raises(ValueError, match="no vocabulary"):
        CLIP(clip.config).tokenize("a fox")
    with pytest.raises(weights.WeightsError, match="no clip checkpoint 'huge'"):
        CLIP.from_pretrained("huge")


def test_recipe_shows_no_noun_twice_and_every_batch_again():
    batches = recipe.drawings(CLIP.from_size("laptop"), recipe.RECIPES["laptop"], 0)
    images, tokens = batches(3)
    assert images.shape == (40, 3, 64, 64) and len(tokens) == 40
    assert len({tuple(row) for row in tokens.tolist()}) == 40
    assert tokens.shape[1] < 10  # the padding is cut
    again, other = batches(3), batches(4)
    assert torch.equal(images, again[0]) and torch.equal(tokens, again[1])
    assert not torch.equal(images, other[0])


def test_recipe_shares_a_batch_among_processes(monkeypatch):
    clip = CLIP.from_size("laptop")
    whole = recipe.drawings(clip, recipe.RECIPES["laptop"], 0)(3)[0]
    monkeypatch.setattr(recipe.distributed, "world", lambda: 2)
    batches = recipe.drawings(clip, recipe.RECIPES["laptop"], 0)
    first, second = batches(6)[0], batches(7)[0]
    assert torch.equal(torch.stack([first, second], 1).flatten(0, 1), whole)
    monkeypatch.setattr(recipe.distributed, "world", lambda: 3)
    with pytest.raises(ValueError, match="40 cannot be shared by 3 processes"):
        recipe.drawings(clip, recipe.RECIPES["laptop"], 0)(0)


def test_augmentation_stays_in_range_and_draws_from_its_generator(images):
    first, again, other = (
        recipe.augment(images, torch.Generator().manual_seed(seed))
        for seed in (0, 0, 1)
    )
    assert first.shape == images.shape and first.abs().max() <= 1
    assert torch.equal(first, again) and not torch.equal(first, other)
    grey = images.mean(dim=1, keepdim=True).expand(-1, 3, -1, -1)
    still_grey = recipe.augment(grey, torch.Generator().manual_seed(0))
    assert (still_grey - still_grey[:, :1]).abs().max() < 1e-5


def test_recipe_saves_a_model_that_names_its_scores(tmp_path):
    recipe.train("smoke", seed=0, steps=2, out=tmp_path, device="cpu", resume=False)
    again = CLIP.from_pretrained(tmp_path / "model")
    assert again.tokenizer is not None
    card = weights.load_card(tmp_path / "model")
    assert card["steps"] == 2 and card["scores"]["chance"] == 1 / 16
    with pytest.raises(ValueError, match="smoke, laptop, gpu, not 'paper'"):
        recipe.train("paper", out=tmp_path)
