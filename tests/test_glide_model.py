"""GLIDE: how text gets in, how pictures come out, holes, CLIP guidance, bad input."""

import dataclasses
import math
import warnings

import pytest
import torch
import torch.nn.functional as F

import mmlearn as mm
from mmlearn import weights
from mmlearn.clip import CLIP, CLIPConfig
from mmlearn.diffusion import (
    Denoiser,
    Schedule,
    ddpm,
    evenly_spaced,
    fast27,
    log_variance,
)
from mmlearn.glide import (
    GLIDE,
    PADDING,
    SIZES,
    ClipGuided,
    NoisedCLIP,
    StageConfig,
    TextUNet,
    as_8_bit,
    drop_captions,
    generator_of,
    known_part,
    tokenize,
    unknown_words,
)
from mmlearn.paths import data_path
from mmlearn.text.bpe import Tokenizer

BASE = StageConfig(
    image_size=16,
    width=16,
    multiples=(1, 2),
    blocks=1,
    attention_at=(8,),
    vocab=2048,
    context=8,
    text_width=32,
    text_layers=1,
    text_heads=2,
    head_width=16,
    groups=8,
)
UPSAMPLER = dataclasses.replace(
    BASE,
    image_size=32,
    width=8,
    multiples=(1, 2, 2),
    upsamples=True,
    schedule="linear",
)
FAST = {"steps": 2, "progress": False, "stages": {"upsampler": {"steps": 2}}}
PROMPTS = ["a red star", "two blue cubes", ""]


def randomised(stage: TextUNet, seed: int) -> TextUNet:
    """What starts at zero takes part: at the start every guess would be zero."""
    generator = torch.Generator().manual_seed(seed)
    for p in stage.parameters():
        if not p.any():
            scale = p[0].numel() ** -0.5 if p.ndim > 1 else 0.1
            p.data = scale * torch.randn(p.shape, generator=generator)
    return stage


def made(config: StageConfig, seed: int = 0) -> TextUNet:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return randomised(TextUNet(config), seed)


@pytest.fixture(scope="module")
def tokenizer():
    return Tokenizer.load(data_path("text", "world_bpe.txt"))


@pytest.fixture(scope="module")
def glide(tokenizer):
    return GLIDE(made(BASE), made(UPSAMPLER, 1), tokenizer).eval()


@pytest.fixture(scope="module")
def base(glide):
    return glide.base


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


# --- text


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


def test_every_parameter_gets_a_gradient(tokenizer):
    for config in (BASE, UPSAMPLER):
        stage = made(config)
        size = config.image_size
        images, small = noise(2, 3, size, size), noise(2, 3, 16, 16)
        tokens = tokenize(["a red star", "two cubes"], tokenizer, 8)
        batch = (images, tokens, *([small] if config.upsamples else []))
        loss, terms = stage.objective(stage, batch, torch.Generator().manual_seed(0))
        assert set(terms) == {"mse", "vlb"}
        loss.backward()
        for name, p in stage.named_parameters():
            assert p.grad is not None and p.grad.any(), name


def test_swapping_the_captions_raises_the_loss_of_a_trained_model(tokenizer):
    """Two flat colours, hard to see under the noise: what is known is the caption's."""
    stage = made(BASE).train()
    tokens = tokenize(["a red star", "a blue star"] * 8, tokenizer, 8)
    colours = torch.tensor([[0.9, -0.9, -0.9], [-0.9, -0.9, 0.9]])
    images = colours.repeat(8, 1)[:, :, None, None].expand(-1, -1, 16, 16)
    generator = torch.Generator().manual_seed(0)
    optimizer = torch.optim.AdamW(stage.parameters(), lr=3e-3)

    def loss(said, t, lot):
        return stage.objective.terms(stage, (images, said), t, lot)["mse"].mean()

    for _ in range(120):
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


def test_words_that_training_never_said_are_named(tokenizer, glide):
    said = ["a red star, a жираф", "a red zyzzyva!"]
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


# --- pictures


def test_pictures_depend_on_prompt_seed_and_place_alone(glide):
    pictures = glide.generate(PROMPTS, **FAST)
    assert pictures.shape == (3, 3, 32, 32) and pictures.abs().max() <= 1
    assert torch.equal(glide.generate(PROMPTS, **FAST), pictures)
    others = glide.generate(["a fox", PROMPTS[1]], **FAST)
    assert (others[1] - pictures[1]).abs().max() < 2e-3
    assert (others[0] - pictures[0]).abs().max() > 1e-2
    one_by_one = glide.generate(PROMPTS, batch=1, **FAST)
    assert (one_by_one - pictures).abs().max() < 2e-3
    assert (glide.generate(PROMPTS, seed=1, **FAST) - pictures).abs().max() > 1e-2
    same = glide.generate(["a red star"] * 2, **FAST)
    assert (same[0] - same[1]).abs().max() > 1e-2


def test_neither_the_global_generator_nor_the_mode_changes(glide):
    before = torch.get_rng_state()
    glide.train()
    glide.generate(["a red star"], **FAST)
    assert torch.equal(torch.get_rng_state(), before) and glide.training
    glide.eval()


def test_captions_are_read_once_and_both_halves_are_one_batch(glide, monkeypatch):
    read, seen = [], []
    read_captions, look = TextUNet.read, TextUNet.see

    def reading(stage, tokens):
        read.append(tokens)
        return read_captions(stage, tokens)

    def looking(stage, x, *pictures):
        seen.append(len(x))
        return look(stage, x, *pictures)

    monkeypatch.setattr(TextUNet, "read", reading)
    monkeypatch.setattr(TextUNet, "see", looking)
    prompts = ["a red star", "two cubes", "a red star"]
    glide.generate(prompts, guidance=3.0, upsample=False, steps=4, progress=False)
    assert [len(tokens) for tokens in read] == [3]  # two captions, and the empty one
    assert seen == [6] * 4
    glide.generate(prompts, guidance=1.0, upsample=False, steps=4, progress=False)
    assert [len(tokens) for tokens in read] == [3, 2] and seen[4:] == [3] * 4


@torch.no_grad()
def test_guidance_goes_from_the_empty_caption_towards_the_prompt(glide, base):
    steps = []
    options = {"steps": 2, "upsample": False, "progress": False}
    glide.generate(["a red star"], callback=lambda *x: steps.append(x), **options)
    (number, t, x, x0), times = steps[0], torch.tensor([999])
    assert (number, t, steps[1][1]) == (0, 999, 499)
    assert torch.equal(
        x, torch.randn(1, 3, 16, 16, generator=generator_of(0, 0, "base"))
    )
    told, free = (
        base(x, times, glide.tokenize([p]))[:, :3] for p in ("a red star", "")
    )
    alpha, sigma = base.schedule.level(999, x)
    wanted = (x - sigma * (free + 3 * (told - free))) / alpha
    assert (wanted.clamp(-1, 1) - x0).abs().max() < 1e-3  # alpha is 5e-5 here
    # At a later step, where nothing is clamped away.
    number, t, x, x0 = steps[1]
    told, free = (
        base(x, torch.tensor([t]), glide.tokenize([p]))[:, :3]
        for p in ("a red star", "")
    )
    alpha, sigma = base.schedule.level(t, x)
    wanted = (x - sigma * (free + 3 * (told - free))) / alpha
    assert (wanted.clamp(-1, 1) - x0).abs().max() < 1e-4
    assert (wanted.abs() < 1).float().mean() > 0.1


def test_a_negative_prompt_takes_the_empty_ones_place(glide):
    options = {"upsample": False, "steps": 2, "progress": False}
    plain = glide.generate(["a red star"], **options)
    assert torch.equal(glide.generate(["a red star"], negative="", **options), plain)
    away = glide.generate(["a red star"], negative=["a fox"], **options)
    assert (away - plain).abs().max() > 1e-2
    off = {**options, "guidance": 1.0}
    same = glide.generate(["a red star"], negative="a fox", **off)
    assert torch.equal(same, glide.generate(["a red star"], **off))


def test_the_upsampler_enlarges_the_rounded_small_picture(glide, monkeypatch):
    seen, draws = [], []
    look = TextUNet.see

    def looking(stage, x, low_res, known):
        inputs = look(stage, x, low_res, known)
        if stage.config.upsamples:
            seen.append((x, low_res, inputs))
        return inputs

    monkeypatch.setattr(TextUNet, "see", looking)
    stages = {"upsampler": {"callback": lambda *x: draws.append(x)}}
    pictures = glide.generate(["a red star"], steps=2, progress=False, stages=stages)
    small = glide.generate(["a red star"], steps=2, progress=False, upsample=False)
    assert small.shape == (1, 3, 16, 16) and pictures.shape == (1, 3, 32, 32)
    x, low_res, inputs = seen[0]
    grey = low_res * 127.5 + 127.5
    assert (grey - grey.round()).abs().max() < 1e-4
    assert 0 < (low_res - small).abs().max() < 1.001 / 255
    enlarged = F.interpolate(low_res, (32, 32), mode="bilinear", align_corners=False)
    assert torch.equal(inputs, torch.cat([x, enlarged], dim=1))
    assert [t for _, t, _, _ in draws] == fast27()[::-1]
    start = torch.randn(1, 3, 32, 32, generator=generator_of(0, 0, "upsampler"))
    assert torch.equal(x, 0.997 * start)


def test_eight_bits_are_256_grey_values():
    x = torch.linspace(-1, 1, 100_001)
    assert len(as_8_bit(x).unique()) == 256
    assert (as_8_bit(x) - x).abs().max() < 1.01 / 255
    assert as_8_bit(torch.tensor([-3.0, 3.0])).tolist() == [-1, 1]


def test_every_sampler_draws(glide):
    for sampler in ("ddpm", "ddim", "dpmpp_2m"):
        options = {"sampler": sampler, "steps": 3, "progress": False}
        stages = {"upsampler": {"sampler": sampler, "steps": 2, "guidance": 2.0}}
        assert glide.generate(["a fox"], stages=stages, **options).isfinite().all()


# --- holes


@pytest.fixture(scope="module")
def filler(glide):
    return glide.for_inpainting()


def hole() -> torch.Tensor:
    mask = torch.zeros(32, 32)
    mask[7:20, 9:22] = 1
    return mask


def test_a_widened_model_draws_what_it_drew(glide, filler):
    assert filler.base.config.unet.channels_in == 7
    assert filler.upsampler.config.unet.channels_in == 10
    assert torch.equal(
        filler.generate(PROMPTS, **FAST), glide.generate(PROMPTS, **FAST)
    )
    x, t, tokens = noise(1, 3, 32, 32), torch.tensor([300]), glide.tokenize(["a fox"])
    small = noise(1, 3, 16, 16, seed=1)
    known = known_part(noise(1, 3, 32, 32, seed=2), hole()[None, None])
    with torch.no_grad():
        guess = glide.upsampler(x, t, tokens, small)
        assert (filler.upsampler(x, t, tokens, small, known) - guess).abs().max() < 1e-6
    assert filler.base.unet.first.weight is not glide.base.unet.first.weight
    assert not filler.base.unet.first.weight[:, 3:].any()


def test_after_training_it_sees_what_is_known(filler):
    stage = dataclasses.replace(BASE, inpaints=True)
    stage = made(stage).eval()
    x, t, tokens = noise(1, 3, 16, 16), torch.tensor([300]), torch.full((1, 8), PADDING)
    images, mask = noise(1, 3, 16, 16, seed=2), hole()[None, None, ::2, ::2]
    with torch.no_grad():
        blind = stage(x, t, tokens)
        nothing = known_part(images, torch.ones_like(mask))
        assert torch.equal(stage(x, t, tokens, None, nothing), blind)
        known = known_part(images, mask)
        assert (stage(x, t, tokens, None, known) - blind).abs().max() > 1e-3
        behind = torch.where(mask == 1, images + 1, images)  # cannot be seen
        assert torch.equal(known_part(behind, mask), known)


def test_outside_the_hole_nothing_changes_at_any_step(filler):
    images = noise(2, 3, 32, 32).clamp(-1, 1)
    mask, steps = hole(), []
    stages = {"upsampler": {"steps": 3, "callback": lambda *x: steps.append(x)}}
    options = {"steps": 3, "progress": False, "stages": stages}
    painted = filler.inpaint(images, mask, ["a red star", "a fox"], **options)
    outside = (mask == 0).expand_as(images)
    assert torch.equal(painted[outside], images[outside])
    assert (painted - images)[~outside].abs().mean() > 0.05
    assert len(steps) == 3
    for _, _, _, x0 in steps:
        assert torch.equal(x0[outside], images[outside])
    each = mask.expand(2, 1, 32, 32).bool()
    again = filler.inpaint(images, each, ["a red star", "a fox"], **options)
    assert torch.equal(again, painted)


def test_the_base_knows_only_small_pixels_that_are_known_whole(filler, monkeypatch):
    seen, look = [], TextUNet.see

    def looking(stage, x, low_res, known):
        seen.append(known)
        return look(stage, x, low_res, known)

    monkeypatch.setattr(TextUNet, "see", looking)
    images = noise(1, 3, 32, 32).clamp(-1, 1)
    filler.inpaint(images, hole(), ["a fox"], guidance=1.0, **FAST)
    keep = seen[0][0, 3]
    for y in range(16):
        for x in range(16):
            covered = hole()[2 * y : 2 * y + 2, 2 * x : 2 * x + 2]
            assert keep[y, x] == (0 if covered.any() else 1)
    means = F.avg_pool2d(images, 2)[0] * keep
    assert (seen[0][0, :3] - means).abs().max() < 1e-6
    assert torch.equal(seen[-1], known_part(images, hole()[None, None]))


# --- CLIP guidance


class Sure:
    """A denoiser that knows nothing of x_t, with a learned variance."""

    schedule, learned_variance = Schedule.cosine(), True

    def __init__(self):
        self.x0, self.between = (
            noise(2, 3, 4, 4).clamp(-1, 1),
            noise(2, 3, 4, 4, seed=1),
        )

    def predict(self, x_t, t):
        network = lambda x, t: torch.cat([x * 0, self.between], dim=1)  # noqa: E731
        told = Denoiser(network, self.schedule, learned_variance=True).predict(x_t, t)
        return told._replace(x0=self.x0)


def test_the_mean_of_a_step_moves_by_scale_times_variance_times_gradient():
    """Between two steps' noise-free means, by hand; nothing else changes."""
    weight = noise(3, 4, 4, seed=2)
    asked = []

    def similarity(x, t):
        asked.append(t.tolist())
        return (weight * x).sum(dim=(1, 2, 3)) + (x**2).sum(dim=(1, 2, 3)) / 2

    sure, start = Sure(), noise(2, 3, 4, 4, seed=3)
    short = sure.schedule.respaced(evenly_spaced(1000, 5))
    for scale in (0.0, 2.5):
        xs = []
        led = ClipGuided(sure, similarity, scale, short)
        generator = torch.Generator().manual_seed(0)
        see = lambda step, t, x, x0: xs.append(x)  # noqa: B023, E731
        end = ddpm(led, start, sure.schedule, 5, generator=generator, callback=see)
        xs.append(end)
        generator.manual_seed(0)
        for k, i in enumerate(reversed(range(5))):
            log_var = log_variance(short, sure.between, i)
            mean = short.posterior_mean(sure.x0, xs[k], i)
            mean = mean + scale * log_var.exp() * (weight + xs[k])
            if i > 0:
                step = torch.randn(mean.shape, generator=generator)
                mean = mean + (log_var / 2).exp() * step
            assert (mean - xs[k + 1]).abs().max() < 1e-5 * mean.abs().max()
    assert asked[:5] == [[t, t] for t in (999, 799, 599, 399, 199)]


@pytest.fixture(scope="module")
def noised(tokenizer):
    config = CLIPConfig(
        embed=16,
        image_size=16,
        patch_size=8,
        vision_width=32,
        vision_layers=1,
        vocab=2048,
        context=8,
        text_width=32,
        text_layers=1,
        head_width=16,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return NoisedCLIP(CLIP(config, Tokenizer(tokenizer.merges, 8))).eval()


def test_a_noised_clip_starts_as_its_clip_and_learns_what_noise_is(noised, tmp_path):
    x, t = noise(2, 3, 16, 16).clamp(-1, 1), torch.tensor([3, 700])
    with torch.no_grad():
        found, clip = noised.encode_image(x, t), noised.clip
        assert (found - clip.encode_image(x)).abs().max() < 1e-6
        noised.encode_image(5 * x, t)  # beyond [-1, 1], as pictures with noise are
    tokens = noised.clip.tokenize(["a red star", "a fox"])
    (image, text), scale = noised(x, t, tokens), noised.clip.logit_scale
    mm.clip.clip_loss(image, text, scale).backward()
    assert [n for n, p in noised.named_parameters() if p.grad is None] == []
    assert noised.times.grad[t].any() and not noised.times.grad[4].any()
    noised.zero_grad()
    noised.save_pretrained(tmp_path / "mine")
    again = NoisedCLIP.from_pretrained(tmp_path / "mine")
    similar = noised.similarity(["a red star", "a fox"])(x, t)
    assert torch.equal(again.similarity(["a red star", "a fox"])(x, t), similar)
    cosine = F.cosine_similarity(image, text)
    assert (similar - scale.exp() * cosine).abs().max() < 1e-4
    with pytest.raises(ValueError, match="pictures of 16 px"):
        noised.encode_image(noise(1, 3, 32, 32), t[:1])


def test_clip_guidance_raises_clips_score(glide, noised):
    options = {"steps": 10, "guidance": 1.0, "upsample": False, "progress": False}
    prompts = ["a red star", "a fox", "two cubes"]
    plain = glide.generate(prompts, **options)
    with torch.no_grad():
        similarity, end = noised.similarity(prompts), torch.zeros(3).long()
        scores = [
            similarity(
                glide.generate(prompts, clip=noised, clip_guidance=s, **options), end
            )
            for s in (0.0, 1.0)
        ]
        assert (scores[0] - similarity(plain, end)).abs().max() < 1e-3
    assert (scores[1] > scores[0] + 0.05).all()


# --- sizes and files


def test_laptop_draws_32_then_64_px_and_gpu_64_then_256():
    for size, sides in (("smoke", (32, 64)), ("laptop", (32, 64)), ("gpu", (64, 256))):
        glide = GLIDE.from_size(size, device="meta")
        stages = (glide.base, glide.upsampler)
        assert tuple(stage.config.image_size for stage in stages) == sides
        assert glide.image_size == sides[1]
        assert [s.config.schedule for s in stages] == ["cosine", "linear"]
    glide = GLIDE.from_size("laptop", device="meta")
    counts = [
        sum(p.numel() for p in s.parameters()) for s in (glide.base, glide.upsampler)
    ]
    assert 1.5e6 < counts[0] < 3e6 and counts[1] < 1.2e6
    assert mm.GLIDE is GLIDE


def test_seed_decides_the_weights_and_the_base_is_the_same_alone():
    before = torch.get_rng_state()
    first, again, other = (GLIDE.from_size("smoke", seed=s) for s in (1, 1, 2))
    alone = GLIDE.from_size("smoke", seed=1, upsampler=False)
    assert torch.equal(torch.get_rng_state(), before)
    for name, p in alone.base.named_parameters():
        assert torch.equal(p, first.base.get_parameter(name)), name
    weight = first.upsampler.unet.first.weight
    assert torch.equal(weight, again.upsampler.unet.first.weight)
    assert not torch.equal(weight, other.upsampler.unet.first.weight)


@pytest.mark.parametrize("upsampler", [True, False])
def test_a_saved_model_comes_back_with_its_words(glide, upsampler, tmp_path):
    one = GLIDE(glide.base, glide.upsampler if upsampler else None, glide.tokenizer)
    one.words = frozenset({"a", "red", "star"})
    one.save_pretrained(tmp_path / "mine", {"seed": 0})
    again = GLIDE.from_pretrained(tmp_path / "mine")
    assert again.base.config == BASE and again.words == one.words
    assert (again.upsampler is None) != upsampler
    assert again.image_size == (32 if upsampler else 16) and not again.training
    assert all(p.requires_grad for p in again.parameters())
    options = {"steps": 2, "progress": False}
    same = again.generate(["a red star"], **options)
    assert (same - one.generate(["a red star"], **options)).abs().max() < 2e-3
    one.save_pretrained(tmp_path / "half", half=True)
    rough = GLIDE.from_pretrained(tmp_path / "half")
    assert rough.base.unet.first.weight.dtype == torch.float32


def test_an_inpainting_model_comes_back_as_one(filler, tmp_path):
    again = GLIDE.from_pretrained(filler.save_pretrained(tmp_path / "mine"))
    assert again.base.config.inpaints and again.upsampler.config.inpaints
    with pytest.raises(ValueError, match="made for inpainting already"):
        again.for_inpainting()


# --- bad input


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (
            {"prompts": "a red star"},
            "prompts should be a list of strings.*'a red star'",
        ),
        ({"prompts": []}, r"prompts should be a list of strings.*not \[\]"),
        ({"prompts": None}, "prompts should be a list of strings.*not None"),
        ({"prompts": [None]}, "an empty string asks for nothing in particular"),
        ({"negative": ["a", "b"]}, "1 prompts need as many negative ones.*not 2"),
        ({"negative": [3]}, "negative prompts should be a list of strings"),
        ({"steps": 0}, "steps must be a whole number from 1 to 1000, not 0"),
        ({"guidance": -1.0}, "guidance must be a finite number from 0"),
        ({"sampler": "euler"}, "sampler must be one of ddpm, ddim, dpmpp_2m"),
        ({"seed": -1}, "seed must be a whole number from 0"),
        ({"batch": 0}, "batch must be a whole number from 1"),
        ({"stages": {"prior": {}}}, "how the \"upsampler\" is sampled, not 'prior'"),
        ({"stages": {"upsampler": {"step": 2}}}, "one of steps, guidance, .*'step'"),
        ({"stages": {"upsampler": {"steps": 0}}}, "steps must be a whole number"),
        ({"stages": {"upsampler": {"temperature": 0}}}, "temperature must be"),
        ({"upsample": False, "stages": {"upsampler": {"steps": 2}}}, "no upsampling"),
        ({"clip": object(), "sampler": "ddim"}, "CLIP guidance .* should be .ddpm."),
    ],
)
def test_wrong_requests_are_refused_before_anything_is_drawn(given, sentence, glide):
    steps = []
    given = {"prompts": ["a fox"], "callback": lambda *x: steps.append(x)} | given
    with pytest.raises(ValueError, match=sentence):
        glide.generate(**given)
    assert steps == []


IMAGES = torch.zeros(1, 3, 32, 32)


@pytest.mark.parametrize(
    ("images", "mask", "sentence"),
    [
        (torch.zeros(2, 3, 32, 32), hole(), r"each prompt, \(1, 3, 32, 32\), not \(2,"),
        (torch.zeros(1, 3, 18, 18), hole(), r"\(1, 3, 32, 32\), not \(1, 3, 18, 18\)"),
        (IMAGES + 255, hole(), r"floats in \[-1, 1\].*\[255, 255\]"),
        (IMAGES.long(), hole(), "int64"),
        (IMAGES * math.nan, hole(), "nan"),
        (IMAGES, torch.zeros(16, 16), r"\(32, 32\) for all.*not \(16, 16\)"),
        (IMAGES, torch.zeros(2, 1, 32, 32), r"\(1, 1, 32, 32\), not \(2, 1, 32, 32\)"),
        (IMAGES, hole() * 0.5, r"1 where to paint .* in \[0, 0.5\]"),
        (IMAGES, hole() * math.nan, "other values"),
        (IMAGES, "middle", "not 'middle'"),
    ],
)
def test_wrong_pictures_and_masks_are_refused(images, mask, sentence, filler):
    with pytest.raises(ValueError, match=sentence):
        filler.inpaint(images, mask, ["a fox"], **FAST)


def test_only_a_model_made_for_it_fills_holes(glide):
    with pytest.raises(ValueError, match=r"for_inpainting\(\) makes one"):
        glide.inpaint(IMAGES, hole(), ["a fox"])


def test_a_stage_refuses_pictures_that_it_cannot_use(glide):
    t, tokens = torch.tensor([1]), glide.tokenize(["a fox"])
    small, large = noise(1, 3, 16, 16), noise(1, 3, 32, 32)
    for stage, given, sentence in (
        (
            glide.base,
            (noise(1, 3, 17, 16), t, tokens),
            "17 px should be a multiple of 2",
        ),
        (glide.base, (noise(1, 4, 16, 16), t, tokens), r"pictures \(n, 3, height, wid"),
        (
            glide.base,
            (small, t, tokens[:, :4]),
            r"token ids \(n, 8\), filled up with -1",
        ),
        (glide.base, (small, t, tokens.float()), "these are torch.float32"),
        (glide.base, (small, t, tokens, small), "only an upsampler takes low_res"),
        (glide.base, (small, t, tokens, None, small), "takes no known pixels"),
        (glide.upsampler, (large, t, tokens), "an upsampler needs low_res"),
        (glide.upsampler, (large, t, tokens, small[0]), r"small pictures \(1, 3, "),
    ):
        with pytest.raises(ValueError, match=sentence):
            stage(*given)


def test_stages_that_do_not_fit_are_refused(glide, tokenizer):
    with pytest.raises(ValueError, match="18 px should be a multiple of 4"):
        dataclasses.replace(UPSAMPLER, image_size=18)
    with pytest.raises(ValueError, match="cannot be cut into 3 heads"):
        dataclasses.replace(BASE, text_heads=3)
    with pytest.raises(ValueError, match="context should be at least 1"):
        dataclasses.replace(BASE, context=0)
    with pytest.raises(ValueError, match="base is an upsampler"):
        GLIDE(glide.upsampler)
    with pytest.raises(ValueError, match="should have upsamples=True"):
        GLIDE(glide.base, glide.base)
    other = TextUNet(dataclasses.replace(UPSAMPLER, context=9))
    with pytest.raises(ValueError, match="their context should be equal, not 8 and 9"):
        GLIDE(glide.base, other)
    with pytest.raises(ValueError, match=r"514 tokens .* for 2048"):
        GLIDE(glide.base, None, Tokenizer([]))
    with pytest.raises(ValueError, match="no vocabulary: set `tokenizer`"):
        GLIDE(glide.base).generate(["a fox"])
    with pytest.raises(ValueError, match="smoke, laptop, gpu, paper, not 'huge'"):
        GLIDE.from_size("huge")
    assert set(SIZES) == {"smoke", "laptop", "gpu", "paper"}


def test_without_memory_the_batch_to_try_is_named(glide, monkeypatch):
    def full(*_):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB.")

    monkeypatch.setattr(TextUNet, "guess", full)
    with pytest.raises(MemoryError, match=r"24 pictures at once .* try batch=12\."):
        glide.generate(["a fox"] * 24, batch=24, **FAST)
    with pytest.raises(MemoryError, match="model is too large"):
        glide.generate(["a fox"], batch=1, **FAST)

    def broken(*_):
        raise RuntimeError("something else")

    monkeypatch.setattr(TextUNet, "guess", broken)
    with pytest.raises(RuntimeError, match="something else"):
        glide.generate(["a fox"], **FAST)


def test_what_is_no_glide_is_refused(glide, tmp_path):
    with pytest.raises(weights.WeightsError, match="no glide checkpoint 'huge'"):
        GLIDE.from_pretrained("huge")
    saved = weights.save(tmp_path / "unet", {"conv.weight": torch.zeros(3)}, {"ch": 3})
    with pytest.raises(weights.WeightsError, match="no GLIDE"):
        GLIDE.from_pretrained(saved)
    with pytest.raises(weights.WeightsError, match="no noised CLIP"):
        NoisedCLIP.from_pretrained(saved)
