"""Stable Diffusion draws: what a picture depends on, and every way to ask for one."""

import dataclasses

import pytest
import torch
from tiny_stable_diffusion import CONFIG, FAST, PROMPTS, hole, noise, pictures, tiny

from mmlearn.diffusion import evenly_spaced
from mmlearn.nn.latent_unet import LatentUNet
from mmlearn.stable_diffusion import circle, first_noise, lerp, slerp
from mmlearn.stable_diffusion.latents import composed, latent_mask, without_hole


@pytest.fixture(scope="module")
def model():
    return tiny()


@pytest.fixture
def seen():
    """Every step that a callback is shown."""
    return []


# --- generate


def test_pictures_depend_on_prompt_seed_and_place_alone(model):
    drawn = model.generate(PROMPTS, **FAST)
    assert drawn.shape == (3, 3, 32, 32) and drawn.abs().max() <= 1
    assert drawn.std() > 0.05 and not drawn.requires_grad
    assert torch.equal(model.generate(PROMPTS, **FAST), drawn)
    others = model.generate(["a fox", PROMPTS[1]], **FAST)
    assert (others[1] - drawn[1]).abs().max() < 1e-3
    assert (others[0] - drawn[0]).abs().max() > 1e-2
    one_by_one = model.generate(PROMPTS, batch=1, **FAST)
    assert (one_by_one - drawn).abs().max() < 1e-3
    assert (model.generate(PROMPTS, seed=1, **FAST) - drawn).abs().max() > 1e-2
    same = model.generate(["a red star"] * 2, **FAST)
    assert (same[0] - same[1]).abs().max() > 1e-2


def test_neither_the_global_generator_nor_the_mode_changes(model, seen):
    before = torch.get_rng_state()
    model.train()
    model.generate(
        ["a red star"], callback=lambda *_: seen.append(model.training), **FAST
    )
    assert torch.equal(torch.get_rng_state(), before) and model.training
    assert seen == [False] * 3  # while it draws, it is at rest
    model.eval()


def test_the_seed_decides_the_noise_and_not_the_precision(model):
    exact = tiny().double()
    noise_of_both = [first_noise(one, 3, [0, 1]) for one in (model, exact)]
    assert [x.dtype for x in noise_of_both] == [torch.float32, torch.float64]
    assert torch.equal(noise_of_both[0].double(), noise_of_both[1])
    drawn = [one.generate(["a fox"], **FAST) for one in (model, exact)]
    assert (drawn[0] - drawn[1]).abs().max() < 1e-3


def test_each_text_is_read_once_and_both_halves_are_one_batch(model, monkeypatch):
    read, drawn = [], []
    read_states, forward = LatentUNet.read, LatentUNet.forward
    monkeypatch.setattr(
        LatentUNet, "read", lambda u, x: read.append(len(x)) or read_states(u, x)
    )
    monkeypatch.setattr(
        LatentUNet,
        "forward",
        lambda u, x, *rest, **kv: drawn.append(len(x)) or forward(u, x, *rest, **kv),
    )
    prompts = ["a red star", "two cubes", "a red star"]
    model.generate(prompts, guidance=4.0, **FAST)
    assert read == [3] and drawn == [6] * 3  # two prompts, and the empty one
    model.generate(prompts, guidance=1.0, **FAST)
    assert read == [3, 2] and drawn[3:] == [3] * 3


@torch.no_grad()
@pytest.mark.parametrize("predicts", ["eps", "v"])
def test_guidance_goes_from_the_empty_prompt_towards_the_prompt(predicts, seen):
    model = tiny(dataclasses.replace(CONFIG, predicts=predicts))
    model.generate(["a red star"], callback=lambda *x: seen.append(x), **FAST)
    assert [(step, t) for step, t, _, _ in seen] == [(0, 999), (1, 666), (2, 332)]
    start = first_noise(model, 0, [0])
    assert torch.equal(seen[0][2], start) and start.shape == (1, 4, 8, 8)
    for _, t, x, x0 in seen:
        told, free = (
            model.unet(x, torch.tensor([t]), model.encode_text([prompt]))
            for prompt in ("a red star", "")
        )
        said, (alpha, sigma) = free + 3 * (told - free), model.schedule.level(t, x)
        wanted = (
            (x - sigma * said) / alpha
            if predicts == "eps"
            else alpha * x - sigma * said
        )
        assert (wanted - x0).abs().max() < 1e-4 / alpha


def test_a_negative_prompt_takes_the_empty_ones_place(model):
    plain = model.generate(["a red star"], **FAST)
    assert torch.equal(model.generate(["a red star"], negative="", **FAST), plain)
    away = model.generate(["a red star"], negative=["a fox"], **FAST)
    assert (away - plain).abs().max() > 1e-3
    off = {**FAST, "guidance": 1.0}
    same = model.generate(["a red star"], negative="a fox", **off)
    assert torch.equal(same, model.generate(["a red star"], **off))


def test_a_callback_sees_latents_which_decode_shows(model, seen):
    drawn = model.generate(["a fox"], callback=lambda *x: seen.append(x), **FAST)
    assert [step for step, *_ in seen] == [0, 1, 2]
    with torch.no_grad():
        frames = [model.decode(x0) for *_, x0 in seen]
    assert all(frame.shape == (1, 3, 32, 32) for frame in frames)
    assert (frames[-1].clamp(-1, 1) - drawn).abs().max() < 1e-6
    assert (frames[0] - frames[-1]).abs().max() > 1e-2


def test_every_sampler_draws(model):
    for sampler in ("ddpm", "ddim", "dpmpp_2m"):
        drawn = model.generate(PROMPTS, sampler=sampler, **FAST)
        one_by_one = model.generate(PROMPTS, sampler=sampler, batch=1, **FAST)
        assert drawn.isfinite().all() and (one_by_one - drawn).abs().max() < 1e-3


def test_in_half_precision_it_draws_the_same_scene_roughly(model):
    rough = tiny().to(torch.bfloat16)
    images, mask = pictures(1), hole()
    for ask in (
        lambda m: m.generate(["a red star"], guidance=1.5, **FAST),
        lambda m: m.edit(images, ["a fox"], guidance=1.5, **FAST),
        lambda m: m.inpaint(images, mask, ["a fox"], guidance=1.5, **FAST),
        lambda m: m.interpolate("a fox", "a star", 2, guidance=1.5, **FAST),
    ):
        exact, found = ask(model), ask(rough)
        assert found.dtype == torch.bfloat16 and found.shape == exact.shape
        assert (found - exact).abs().mean() < 0.5 * exact.std()


def test_noise_that_is_given_is_started_from(model, seen):
    given = circle(*first_noise(model, 0, [0, 1]), 4)
    drawn = model.generate(
        ["a fox"] * 4, noise=given, callback=lambda *x: seen.append(x), **FAST
    )
    assert torch.equal(seen[0][2], given)
    by_seed = model.generate(["a fox"] * 2, **FAST)
    assert (drawn[:2] - by_seed).abs().max() < 1e-3


# --- edit, vary


@torch.no_grad()
def test_of_strength_0_an_edit_is_the_reconstruction(model):
    images = pictures(2)
    wanted = model.decode(model.encode(images)).clamp(-1, 1)
    for changed in (
        model.edit(images, ["a fox", "a star"], strength=0, **FAST),
        model.vary(images, strength=0.0, **FAST),
    ):
        assert torch.equal(changed, wanted)


def test_strength_says_how_many_of_the_last_steps_are_taken(model, seen):
    images, places = pictures(2), evenly_spaced(1000, 10)
    clean = model.encode(images).detach()
    start = first_noise(model, 5, [0, 1])
    for strength, steps in ((0.3, 3), (0.7, 7), (1.0, 10)):
        seen.clear()
        model.edit(
            images,
            ["a fox", "a star"],
            strength=strength,
            steps=10,
            seed=5,
            callback=lambda *x: seen.append(x),
            progress=False,
        )
        assert [t for _, t, _, _ in seen] == places[:steps][::-1]
        bar = model.schedule.alphas_bar[places[steps - 1]].item()
        wanted = bar**0.5 * clean + (1 - bar) ** 0.5 * start
        assert (seen[0][2] - wanted).abs().max() < 1e-5


def test_more_strength_leaves_less_of_the_picture(model, monkeypatch):
    # The best guess of noise where all latents are from N(0, 1): a random U-Net would
    # say anything.
    monkeypatch.setattr(
        model.unet, "forward", lambda x, t, **_: model.schedule.level(t, x)[1] * x
    )
    images, options = pictures(2), {"steps": 10, "progress": False}
    with torch.no_grad():
        whole = model.decode(model.encode(images)).clamp(-1, 1)
    far = [
        (model.vary(images, strength=strength, **options) - whole).abs().mean()
        for strength in (0.0, 0.2, 0.6, 1.0)
    ]
    assert 0 == far[0] < far[1] < far[2] < far[3]


def test_an_edit_depends_on_words_and_vary_does_not(model):
    images = pictures(2)
    a, b = (model.edit(images, [prompt] * 2, **FAST) for prompt in ("a fox", "a star"))
    assert (a - b).abs().max() > 1e-2
    one_by_one = model.edit(images, ["a fox"] * 2, batch=1, **FAST)
    assert (one_by_one - a).abs().max() < 1e-3
    unguided = model.edit(images, ["", ""], guidance=1.0, **FAST)
    assert torch.equal(model.vary(images, **FAST), unguided)
    wide = pictures(1, 48)[:, :, :32]
    assert model.vary(wide, **FAST).shape == (1, 3, 32, 48)


# --- inpaint


def test_what_is_known_comes_back_as_it_was(model):
    images, mask = pictures(2), hole()
    painted = model.inpaint(images, mask, ["a fox", "a star"], **FAST)
    assert torch.equal(painted[:, :, mask == 0], images[:, :, mask == 0])
    assert (painted - images)[:, :, mask == 1].abs().mean() > 1e-2
    again = model.inpaint(
        images, mask.expand(2, 1, 32, 32), ["a fox", "a star"], **FAST
    )
    assert torch.equal(again, painted)
    one_by_one = model.inpaint(images, mask, ["a fox", "a star"], batch=1, **FAST)
    assert (one_by_one - painted).abs().max() < 1e-3


def test_nothing_of_what_is_under_a_hole_leaks_out(model):
    images, mask = pictures(2), hole()
    others = torch.where(mask > 0, pictures(2, seed=9), images)
    assert (others - images).abs().max() > 0.1
    a, b = (model.inpaint(x, mask, ["a fox"] * 2, **FAST) for x in (images, others))
    assert torch.equal(a, b)


@pytest.mark.parametrize("sampler", ["ddpm", "ddim", "dpmpp_2m"])
def test_known_latents_are_put_back_at_every_step(sampler, model, seen):
    images, mask = pictures(1), hole()[None, None]
    with torch.no_grad():
        clean = model.encode(without_hole(images, mask))
    keep = (latent_mask(mask, 4) == 0).expand_as(clean)
    options = FAST | {"sampler": sampler, "callback": lambda *x: seen.append(x)}
    model.inpaint(images, mask, ["a fox"], **options)
    assert len(seen) == 3
    for _, t, x, x0 in seen:
        assert torch.equal(x0[keep], clean[keep])
        assert (x0[~keep] - clean[~keep]).abs().max() > 1e-2
        if sampler != "ddpm" or t == 999:  # of which the noise is always the first
            alpha, sigma = model.schedule.level(t, x)
            first = first_noise(model, 0, [0])
            assert (x - alpha * clean - sigma * first)[keep].abs().max() < 1e-4
    assert torch.equal(seen[0][2][~keep], first_noise(model, 0, [0])[~keep])


def test_a_latent_is_known_only_if_all_of_its_pixels_are():
    mask = torch.zeros(1, 1, 16, 16)
    mask[0, 0, 7, 4] = 1
    small = latent_mask(mask, 4)
    assert small.shape == (1, 1, 4, 4) and small.nonzero().tolist() == [[0, 0, 1, 1]]
    images, painted = pictures(1, 16), noise(1, 3, 16, 16)
    whole = composed(painted, images, mask)
    assert torch.equal(whole[0, :, 7, 4], painted[0, :, 7, 4])
    whole[0, :, 7, 4] = images[0, :, 7, 4]
    assert torch.equal(whole, images)
    assert not without_hole(images, mask)[0, :, 7, 4].any()


# --- interpolate


def test_interpolate_begins_and_ends_with_the_pictures_of_its_prompts(model):
    ends = model.generate(["a red star", "two blue cubes"], **FAST)
    for text in ("lerp", "slerp"):
        way = model.interpolate("a red star", "two blue cubes", 5, text=text, **FAST)
        assert way.shape == (5, 3, 32, 32)
        assert (way[[0, -1]] - ends).abs().max() < 1e-3
        jumps = (way[1:] - way[:-1]).flatten(1).norm(dim=1)
        assert jumps.max() < (ends[0] - ends[1]).norm()
    by_two = model.interpolate("a red star", "two blue cubes", 5, batch=2, **FAST)
    way = model.interpolate("a red star", "two blue cubes", 5, **FAST)
    assert (by_two - way).abs().max() < 1e-3


@torch.no_grad()
@pytest.mark.parametrize("guidance", [0.0, 1.0, 4.0])
def test_halfway_are_half_of_the_words_and_the_middle_of_the_arc(guidance, model, seen):
    options = FAST | {"guidance": guidance, "callback": lambda *x: seen.append(x)}
    model.interpolate("a red star", "two blue cubes", 3, negative="a fox", **options)
    a, b, fox = model.encode_text(["a red star", "two blue cubes", "a fox"])
    step, t, x, x0 = seen[0]
    assert (step, t, len(x)) == (0, 999, 3)
    between = slerp(*first_noise(model, 0, [0, 1]), 0.5)
    assert (x[1] - between).abs().max() < 1e-5
    told, free = (
        model.unet(x[1:2], torch.tensor([t]), state[None])
        for state in (lerp(a, b, 0.5), fox)
    )
    alpha, sigma = model.schedule.level(t, x)
    wanted = (x[1:2] - sigma * (free + guidance * (told - free))) / alpha
    assert (wanted - x0[1:2]).abs().max() < 1e-4 / alpha


# --- refusals


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"prompts": "a red star"}, "prompts should be a list of strings"),
        ({"prompts": []}, r"prompts should be a list of strings.*not \[\]"),
        ({"negative": ["a", "b"]}, "1 prompts need as many negative ones.*not 2"),
        ({"steps": 0}, "steps must be a whole number from 1 to 1000, not 0"),
        ({"guidance": -1.0}, "guidance must be a finite number from 0"),
        ({"sampler": "euler"}, "sampler must be one of ddpm, ddim, dpmpp_2m"),
        ({"seed": -1}, "seed must be a whole number from 0"),
        ({"batch": 0}, "batch must be a whole number from 1"),
        ({"noise": torch.zeros(1, 4, 4, 4)}, r"noise should be \(1, 4, 8, 8\)"),
        ({"noise": torch.full((1, 4, 8, 8), float("inf"))}, "finite floats"),
    ],
)
def test_wrong_requests_are_refused_before_anything_is_drawn(
    given, sentence, model, seen
):
    given = {"prompts": ["a fox"], "callback": lambda *x: seen.append(x)} | given
    with pytest.raises(ValueError, match=sentence):
        model.generate(**given)
    assert seen == []


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"images": pictures(2)}, r"edit expects pictures \(1, 3, .* one for each"),
        ({"images": pictures(1)[0]}, r"not \(3, 32, 32\)"),
        ({"images": None}, "not None"),
        ({"images": pictures(1, 40)}, "a side of 40 px should be a multiple of 16"),
        (
            {"images": 100 * pictures(1)},
            r"of floats in \[-1, 1\]; these are torch.float",
        ),
        ({"images": pictures(1).int()}, "these are torch.int32"),
        ({"strength": 1.5}, r"strength should lie between 0 .* not 1\.5"),
        ({"strength": True}, "strength should lie between 0"),
        ({"strength": float("nan")}, "strength should lie between 0"),
    ],
)
def test_edits_that_cannot_be_are_refused(given, sentence, model):
    with pytest.raises(ValueError, match=sentence):
        model.edit(**{"images": pictures(1), "prompts": ["a fox"]} | given)


def test_masks_and_ways_that_cannot_be_are_refused(model):
    for mask, sentence in (
        (hole(16), r"a mask should be \(32, 32\) for all, or \(1, 1, 32, 32\), not"),
        (0.5 * hole(), r"of 1 where to paint .* other values, in \[0, 0\.5\]"),
        (None, "not None"),
    ):
        with pytest.raises(ValueError, match=sentence):
            model.inpaint(pictures(1), mask, ["a fox"])
    for given, sentence in (
        ({"n": 0}, "n must be a whole number from 1, not 0"),
        ({"text": "arc"}, "text must be one of lerp, slerp, not 'arc'"),
        ({"sampler": "ddpm"}, '"ddpm" adds other noise at every step'),
        ({"prompt_b": None}, "prompts should be a list of strings"),
    ):
        with pytest.raises(ValueError, match=sentence):
            model.interpolate(**{"prompt_a": "a", "prompt_b": "b", "n": 2} | given)


def test_without_memory_the_batch_to_try_is_named(model, monkeypatch):
    def full(*_, **__):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB.")

    monkeypatch.setattr(LatentUNet, "forward", full)
    with pytest.raises(MemoryError, match=r"24 pictures at once .* try batch=12\."):
        model.generate(["a fox"] * 24, batch=24, **FAST)
