"""GLIDE's captions: how they are read, how they reach the U-Net, what is left out."""

import warnings

import pytest
import torch
from tiny_glide import BASE, FAST, UPSAMPLER, made, noise, tiny

from mmlearn.glide import PADDING, drop_captions, unknown_words


@pytest.fixture(scope="module")
def glide():
    return tiny()


@pytest.fixture(scope="module")
def base(glide):
    return glide.base


def test_the_transformer_looks_both_ways_and_masks_nothing(base, glide):
    tokens = glide.tokenize(["a red star"])
    states = base.text(tokens)
    assert states.shape == (1, 8, 32)
    for place in range(3):
        other = tokens.clone()
        other[0, place] += 1
        moved = (base.text(other) - states).abs().amax(dim=2)[0]
        assert (moved > 1e-5).all()  # earlier and later ones, and the padding's


def test_padding_is_a_learned_vector_of_the_position_alone(base, glide):
    tokens = glide.tokenize([""])
    assert (tokens == PADDING).all()
    given = []
    hook = base.text.transformer.register_forward_pre_hook(
        lambda _, args: given.append(args[0])
    )
    base.text(tokens)
    base.text(glide.tokenize(["a red star"]))
    hook.remove()
    empty, caption = given
    assert torch.equal(empty[0], base.text.padding)
    assert torch.equal(caption[0, 3:], base.text.padding[3:])
    words = base.text.embedding(glide.tokenize(["a red star"])[0, :3])
    assert torch.equal(caption[0, :3], words + base.text.positions[:3])


@torch.no_grad()
def test_text_arrives_by_two_ways_each_of_which_is_enough(base, glide):
    x, t = noise(2, 3, 16, 16), torch.tensor([100, 900])
    tokens = glide.tokenize(["a red star", "two blue cubes"])
    said, other = base.read(tokens), base.read(glide.tokenize(["a fox", "a heart"]))
    assert torch.equal(said.vector, base.text(tokens)[:, -1])
    guess = base.guess(x, t, said)
    assert torch.equal(base(x, t, tokens), guess)
    by_time = said._replace(vector=other.vector)
    by_attention = said._replace(text_kv=other.text_kv)
    for mixed in (by_time, by_attention):
        assert (base.guess(x, t, mixed) - guess).abs().max() > 1e-4


def test_every_parameter_gets_a_gradient(glide):
    for config in (BASE, UPSAMPLER):
        stage = made(config)
        size = config.image_size
        images, small = noise(2, 3, size, size), noise(2, 3, 16, 16)
        tokens = glide.tokenize(["a red star", "two cubes"])
        batch = (images, tokens, *([small] if config.upsamples else []))
        loss, terms = stage.objective(stage, batch, torch.Generator().manual_seed(0))
        assert set(terms) == {"mse", "vlb"}
        loss.backward()
        for name, p in stage.named_parameters():
            assert p.grad is not None and p.grad.any(), name


def test_swapping_the_captions_raises_the_loss_of_a_trained_model(glide):
    """Two flat colours, hard to see under the noise: what is known is the caption's."""
    stage = made(BASE).train()
    tokens = glide.tokenize(["a red star", "a blue star"] * 8)
    colours = torch.tensor([[0.9, -0.9, -0.9], [-0.9, -0.9, 0.9]])
    images = colours.repeat(8, 1)[:, :, None, None].expand(-1, -1, 16, 16)
    generator = torch.Generator().manual_seed(0)
    optimizer = torch.optim.AdamW(stage.parameters(), lr=3e-3)

    def loss(said, t, lot):
        return stage.objective.terms(stage, (images, said), t, lot)["mse"].mean()

    for _ in range(80):
        t = torch.randint(700, 900, (16,), generator=generator)
        optimizer.zero_grad()
        loss(tokens, t, generator).backward()
        optimizer.step()
    with torch.no_grad():
        t, lot = torch.full([16], 800), torch.Generator()
        right = loss(tokens, t, lot.manual_seed(1))
        wrong = loss(tokens.roll(1, 0), t, lot.manual_seed(1))
    assert wrong > 1.1 * right


def test_a_fifth_of_the_captions_is_left_out_whole():
    tokens = torch.arange(4000).view(1000, 4)
    dropped = drop_captions(tokens, torch.Generator().manual_seed(0))
    empty = (dropped == PADDING).all(dim=1)
    assert 160 < empty.sum() < 240
    assert torch.equal(dropped[~empty], tokens[~empty])
    again = drop_captions(tokens, torch.Generator().manual_seed(0))
    assert torch.equal(dropped, again)


def test_words_that_training_never_said_are_named(glide):
    tokenizer, said = glide.tokenizer, ["a red star, a жираф", "a red zyzzyva!"]
    assert unknown_words(said, tokenizer) == ["жираф", "zyzzyva"]
    assert unknown_words(said, tokenizer, {"a", "red", "жираф"}) == ["star", "zyzzyva"]
    with pytest.warns(UserWarning, match="only spell them: 'жук'") as caught:
        glide.generate(["жук"], upsample=False, **FAST | {"stages": None})
    assert caught[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        glide.generate(["a red star"], upsample=False, **FAST | {"stages": None})


def test_a_caption_that_is_too_long_is_cut_with_a_warning(glide):
    with pytest.warns(UserWarning, match="10 tokens and only 8 fit; dropped: 'star a'"):
        tokens = glide.tokenize(["a red star a red star a red star a"])
    assert (tokens >= 0).all()
