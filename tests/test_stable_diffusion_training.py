"""How Stable Diffusion is trained: its autoencoder, what is encoded, both recipes."""

import shutil
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from tiny_stable_diffusion import noise, pictures

import mmlearn as mm
from mmlearn import weights, world
from mmlearn.clip import CLIPConfig
from mmlearn.glide.grammar import vocabulary
from mmlearn.nn.autoencoder import Autoencoder
from mmlearn.stable_diffusion import StableDiffusion, config_of, states
from mmlearn.stable_diffusion.autoencoders import load_autoencoder, save_autoencoder
from mmlearn.train import command, distributed
from mmlearn.train.autoencoder_loss import perceptual_distance
from mmlearn.train.randomness import mix
from mmlearn.train.recipes import autoencoder
from mmlearn.train.recipes import stable_diffusion as recipe
from mmlearn.train.recipes.autoencoder import Looks

PLAN = recipe.RECIPES["smoke"]
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The autoencoder alone, and then the whole recipe in the folder around it."""
    out = tmp_path_factory.mktemp("stable-diffusion")
    autoencoder.train("smoke", out=out / "autoencoder", progress=False)
    alone = (out / "autoencoder" / "state.pt").stat().st_mtime_ns
    recipe.train("smoke", out=out, progress=False)
    card = weights.load_card(out / "model")
    return SimpleNamespace(out=out, alone=alone, card=card)


@pytest.fixture(scope="module")
def model(run):
    """What the U-Net's training starts from."""
    return recipe.untrained("smoke", 0, run.out / "autoencoder" / "model")


# --- the autoencoder


def test_looks_are_the_states_of_patches_of_normalised_pictures_after_each_block():
    c = CLIPConfig.from_size("smoke")
    clip = mm.CLIP(replace(c, mean=(0.4, 0.5, 0.6), std=(0.2, 0.3, 0.4))).eval()
    asked = []
    clip.vision.register_forward_pre_hook(lambda _, given: asked.append(given[0]))
    looks, images = Looks(clip.requires_grad_(False)), pictures(3, 64)
    layers = looks(images)
    clip.encode_image(images)
    assert torch.equal(*asked) and not torch.allclose(asked[0], images)
    assert [x.shape for x in layers] == [(3, 16, 64)] * c.vision_layers
    assert torch.equal(layers[-1], clip.vision.tokens(asked[0])[:, 1:])
    assert not torch.equal(layers[0], layers[-1])
    assert looks(pictures(3, 128))[0].shape == (3, 16, 64)  # brought to the CLIP's size


def test_the_shipped_clip_tells_another_picture_from_a_worse_one_and_does_not_learn():
    clip = autoencoder.trained_clip()
    images = world.scenes(4, 3, 64).images
    worse = (images + 0.05 * noise(4, 3, 64, 64)).requires_grad_()  # beyond [-1, 1] too
    looks = Looks(clip)
    far = perceptual_distance(looks, images, images.roll(1, 0))
    near = perceptual_distance(looks, images, worse)
    assert (far > 3 * near).all() and (near > 0).all()
    assert not perceptual_distance(looks, images, images).any()
    near.sum().backward()
    assert worse.grad.flatten(1).any(dim=1).all()
    assert not any(p.requires_grad for p in clip.parameters()) and not clip.training


def test_the_critic_sets_in_after_two_thirds_of_the_steps():
    model = autoencoder.untrained("smoke", 0)
    loss = autoencoder.loss_of(autoencoder.trained_clip(), steps=9)
    lot = torch.Generator().manual_seed(0)
    for step, heard in ((0, False), (5, False), (6, True), (8, True)):
        _, terms = loss(model, (pictures(2, 64), step), lot)
        assert ("critic" in terms) == heard and "perceptual" in terms


def test_the_autoencoders_batches_are_scenes_of_training_and_processes_share_them(
    monkeypatch,
):
    config, part = config_of("smoke"), autoencoder.RECIPES["smoke"]
    batch = autoencoder.batches(config, part, 0)
    images, step = batch(3)
    assert images.shape == (4, 3, 64, 64) and step == 3
    assert not torch.equal(images, batch(4)[0])
    taught = replace(autoencoder.TAUGHT, split="train")
    scenes = world.scenes(4, 0, 64, start=12, grammar=taught)
    assert torch.equal(images, scenes.images)
    monkeypatch.setattr(distributed, "world", lambda: 2)
    halves = [batch(2 * 3 + rank) for rank in (0, 1)]
    assert torch.equal(images, torch.cat([half for half, _ in halves]))
    assert [step for _, step in halves] == [3, 3]


def test_many_processes_find_a_gradient_for_every_weight_of_a_waiting_critic(
    monkeypatch,
):
    clip, images = autoencoder.trained_clip(), pictures(2, 64)
    for processes, wanted in ((1, False), (2, True)):
        monkeypatch.setattr(distributed, "world", lambda n=processes: n)
        both, lot = autoencoder.untrained("smoke", 0), torch.Generator()
        autoencoder.loss_of(clip, 9)(both, (images, 0), lot)[0].backward()
        assert all((p.grad is not None) == wanted for p in both.critic.parameters())
        assert not any(wanted and p.grad.any() for p in both.critic.parameters())


def test_the_average_is_saved_with_the_scale_of_its_own_latents(run):
    vae, trained = load_autoencoder(run.out / "autoencoder" / "model")
    state = torch.load(run.out / "autoencoder" / "state.pt", weights_only=True)["ema"]
    for name, weight in vae.state_dict().items():
        assert torch.equal(weight, state[f"vae.{name}"].half().float()), name
    with torch.no_grad():
        posterior = vae.encode(world.scenes(64, 9, 64).images)
    latents = posterior.sample(torch.Generator().manual_seed(1))
    assert trained.scale * latents.std().item() == pytest.approx(1, abs=0.05)
    assert abs(trained.scale * posterior.mode.std().item() - 1) > 0.05  # of 9 steps
    assert trained.image_size == 64 and trained.vae == config_of("smoke").vae


def test_the_autoencoders_card_says_how_well_pictures_come_back(run):
    card = weights.load_card(run.out / "autoencoder" / "model")
    assert card["recipe"].endswith("mmlearn train autoencoder --size smoke --seed 0")
    assert card["steps"] == 9
    config = config_of("smoke")

    class Perfect(Autoencoder):
        def forward(self, images, generator=None):
            return images + self.wrong, None

    perfect = Perfect(config.vae)
    perfect.wrong = 0.02  # 0.01 of values in [0, 1]: 40 dB, but for what is clamped
    found = autoencoder.scores(perfect, config, n=8)
    assert found["PSNR in dB"] == pytest.approx(40, abs=3) and found["L1"] <= 0.01
    assert set(found) == set(card["scores"])
    assert 3 < card["scores"]["PSNR in dB"] < 30  # nine steps


# --- what is encoded


def encoded(model, seed: int = 0) -> recipe.Encoded:
    return recipe.Encoded(model, PLAN, PLAN.steps, seed, CPU)


def test_a_batch_is_the_same_whether_its_chunk_was_held_or_not(model):
    going = encoded(model)
    run_through = [going(index) for index in range(PLAN.steps)]
    for index in (9, 2, 5):
        fresh = encoded(model)(index)
        for held, again in zip(run_through[index], fresh, strict=True):
            assert (
                held == again if isinstance(held, float) else torch.equal(held, again)
            )
        other = encoded(model, seed=1)(index)
        assert not torch.equal(other[0], fresh[0])


def test_a_chunk_is_encoded_once_and_every_scene_is_seen_once_an_epoch(
    model, monkeypatch
):
    asked, scenes = [], world.scenes

    def counted(n, seed, size, **options):
        asked.append((n, options["start"]))
        return scenes(n, seed, size, **options)

    monkeypatch.setattr(recipe.world, "scenes", counted)
    batches = encoded(model)
    rows, epochs = PLAN.rows, PLAN.epochs
    seen = [batches(index)[0] for index in range(rows * epochs)]
    assert asked == [(8, 0), (8, 8)]
    batches(rows * epochs)
    assert asked[2:] == [(8, 16), (8, 24)]

    def sums(parts) -> torch.Tensor:
        """A number for each scene, in order of size."""
        return torch.cat(parts).flatten(1).double().sum(dim=1).sort().values

    first, second = sums(seen[:rows]), sums(seen[rows:])
    assert torch.equal(first, second) and len(first.unique()) == 16
    assert not torch.equal(seen[0], seen[rows])  # in another order


def test_latents_and_states_are_those_of_one_scene_and_its_caption(model):
    batches = encoded(model)
    latents, text, _ = batches(6)  # of the second chunk
    assert latents.shape == (8, 4, 16, 16) and text.shape == (8, 32, 128)
    assert latents.dtype == text.dtype == torch.float32
    grammar = replace(recipe.TAUGHT, split="train", **batches.lesson(1).shows)
    scenes = world.scenes(16, 0, 64, start=16, grammar=grammar)
    lots = [
        torch.Generator().manual_seed(mix(0, number, recipe.NOISE))
        for number in range(16, 32)
    ]
    with torch.no_grad():
        expected = model.encode(scenes.images, lots)
        said = model.encode_text(scenes.captions)
    nearest = (latents[:, None] - expected).flatten(2).abs().mean(dim=2).argmin(dim=1)
    assert len(nearest.unique()) == 8
    assert nearest.remainder(8).tolist() == list(range(8))  # each in its own column
    for got, wanted in ((latents, expected), (text, said)):
        near = (got - wanted[nearest]).abs().mean()
        far = (got - wanted[nearest].roll(1, 0)).abs().mean()
        assert near < 0.15 * far, (near, far)


def test_processes_encode_their_own_columns_and_see_what_one_would(model, monkeypatch):
    latents, text, noisy = encoded(model)(3)
    monkeypatch.setattr(distributed, "world", lambda: 2)
    halves = [encoded(model)(2 * 3 + rank) for rank in (0, 1)]
    assert halves[0][0].shape == (4, 4, 16, 16)
    near = {"atol": 0.05}  # bf16 of fewer pictures at once
    assert torch.allclose(latents, torch.cat([half[0] for half in halves]), **near)
    assert torch.allclose(text, torch.cat([half[1] for half in halves]), **near)
    assert not torch.allclose(latents.flip(0), latents, **near)
    assert [half[2] for half in halves] == [noisy, noisy]


def test_the_scenes_go_through_the_course(model):
    plan = replace(PLAN, rows=64, epochs=6)
    whole = recipe.Encoded(model, plan, 15_000, 0, CPU)
    lessons = [whole.lesson(chunk) for chunk in range(-(-15_000 // whole.length))]
    assert lessons == sorted(lessons, key=lambda lesson: lesson.until)
    shares = [lesson.shows["kinds"].count("relation") for lesson in lessons]
    ends = {lesson.until for lesson in lessons}
    assert shares[-1] > 0 and ends == {lesson.until for lesson in recipe.COURSE}


def test_every_batch_of_a_mixed_lesson_holds_all_its_worlds(model):
    plan = replace(PLAN, rows=4, epochs=2, batch=16)
    shows = ({"kinds": ("single",)}, {"kinds": ("count",), "counts": (4,)})
    course = [recipe.Mixed(1.0, shows, hushed=0.0, noisy=0.0)]
    batches = recipe.Encoded(model, plan, 8, 0, CPU, course)
    captions = []
    tell = model.encode_text
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(model, "encode_text", lambda x: captions.append(x) or tell(x))
        _, text, _ = batches(1)
    four = [["four " in said for said in row] for row in captions]
    assert four == [[row % 2 == 1] * 16 for row in range(4)]
    ours = tell([said for row in captions[1::2] for said in row])
    gap = (text[:, None] - ours).abs().flatten(2).mean(2).min(1).values
    assert 0 < (gap < 0.5 * gap.max()).sum() < 16


def test_the_revision_asks_in_all_relations_and_ends_with_all_the_world(model):
    plan = recipe.REVISIONS["laptop"]
    whole = recipe.Encoded(model, plan, plan.steps, 0, CPU, recipe.REVISION)
    chunks = range(-(-plan.steps // whole.length))
    ends = {whole.lesson(chunk).until for chunk in chunks}
    assert ends == {lesson.until for lesson in recipe.REVISION}
    assert plan.rows % 4 == 0  # so that each world has its share
    first, *_, last = recipe.REVISION
    relations = set(recipe.TAUGHT.relations)
    for shows in first.shows:
        assert set(shows.get("relations", relations)) == relations
    assert all("things" not in shows for shows in last.shows)


# --- the U-Net


@pytest.mark.parametrize("noisy", [0.0, 1.0])
def test_one_caption_in_ten_is_dropped_and_times_are_drawn_as_the_lesson_says(
    model, monkeypatch, noisy
):
    heard = []

    def guess(x_t, t, text):
        heard.append((t, text))
        return torch.zeros_like(x_t)

    monkeypatch.setattr(model.unet, "forward", guess)
    text = noise(3000, 32, 128)
    batch = (torch.zeros(3000, 4, 4, 4), text, noisy)
    recipe.loss_of(model)(model, batch, torch.Generator().manual_seed(0))
    ((t, said),) = heard
    own = (said == text).flatten(1).all(dim=1)
    empty = (said == model.encode_text([""])).flatten(1).all(dim=1)
    assert torch.equal(own, ~empty)
    assert empty.float().mean() == pytest.approx(0.1, abs=0.02)
    expected = 1000 * (1 + noisy) / (2 + noisy)  # of a density that rises as t^noisy
    assert t.float().mean() == pytest.approx(expected, abs=20)
    assert t.min() < 60 and 990 < t.max() < 1000


def test_only_the_unet_learns(run, model):
    trained = StableDiffusion.from_pretrained(run.out / "model")
    vae, numbers = load_autoencoder(run.out / "autoencoder" / "model")
    clip = mm.CLIP.from_pretrained("laptop")
    for part, source in (("vae", vae), ("text_encoder", clip.text)):
        ours = getattr(trained, part).state_dict()
        assert all(torch.equal(ours[k], x) for k, x in source.state_dict().items())
    assert trained.scale == numbers.scale != 1
    before, after = model.unet.state_dict(), trained.unet.state_dict()
    assert all(not torch.equal(before[name], x) for name, x in after.items())


def test_the_revision_begins_with_what_the_course_left(run):
    before = StableDiffusion.from_pretrained(run.out / "unet" / "model")
    after = StableDiffusion.from_pretrained(run.out / "model")
    first, second = (m.unet.state_dict() for m in (before, after))
    near = sum((first[k] - x).abs().mean().item() for k, x in second.items())
    fresh = recipe.untrained("smoke", 0, run.out / "autoencoder" / "model").unet
    far = sum(
        (fresh.state_dict()[k] - x).abs().mean().item() for k, x in second.items()
    )
    assert 0 < near < far


def test_a_part_trained_alone_is_found_finished(run):
    state = run.out / "autoencoder" / "state.pt"
    assert state.stat().st_mtime_ns == run.alone
    assert {"autoencoder", "stable_diffusion"} <= set(command.known_models())


def test_the_card_tells_of_all_parts(run):
    wanted = {"recipe", "commit", "seed", "steps", "seconds", "hardware", "curve"}
    assert {*wanted, "parts", "scores", "sha256"} <= set(run.card)
    assert run.card["recipe"].endswith("train stable-diffusion --size smoke --seed 0")
    parts = run.card["parts"]
    assert list(parts) == ["autoencoder", "unet", "revision"]
    assert run.card["steps"] == 9 + 10 + 4 == sum(p["steps"] for p in parts.values())
    before = weights.load_card(run.out / "unet" / "model")
    assert before["parts"]["unet"] == parts["unet"]
    assert list(before["parts"]) == ["autoencoder", "unet"] and before["steps"] == 19
    assert "PSNR in dB" in parts["autoencoder"]["scores"]
    told = [f"{whose} captions" for whose in ("own", "others'", "empty")]
    assert list(run.card["scores"]) == told
    assert all(0 < error < 2 for error in run.card["scores"].values())


def test_a_model_that_reads_scores_its_own_captions_best(model, monkeypatch):
    captions = world.scenes(
        128, 5, 64, grammar=replace(recipe.TAUGHT, split="test")
    ).captions
    own = model.encode_text(captions)

    def knows(x_t, t, text):
        """Nothing, and a little less of what another caption asks for."""
        right = (text == own).flatten(1).all(dim=1)
        return torch.where(right, 0.0, 3.0)[:, None, None, None].expand_as(x_t)

    monkeypatch.setattr(model.unet, "forward", knows)
    found = list(recipe.scores(model).values())
    assert found[0] < found[1] and found[0] < found[2]


def test_what_was_trained_comes_back_and_draws(run):
    model = StableDiffusion.from_pretrained(run.out / "model")
    assert model.words == frozenset(vocabulary()) and model.image_size == 64
    prompts = ["a red star at night", "two cats in the snow"]
    drawn = model.generate(prompts, steps=2, progress=False)
    assert drawn.shape == (2, 3, 64, 64) and drawn.isfinite().all()
    again = model.generate(prompts, steps=2, progress=False)
    other = model.generate(prompts, steps=2, seed=1, progress=False)
    assert torch.equal(drawn, again) and not torch.equal(drawn, other)


def test_a_run_that_was_killed_goes_on_as_if_nothing_had_happened(
    run, tmp_path, monkeypatch
):
    shutil.copytree(run.out / "autoencoder", tmp_path / "autoencoder")
    whole = recipe.Encoded.__call__

    def killed(self, index):
        if index == 6:  # within the second chunk
            raise MemoryError
        return whole(self, index)

    options = {"out": tmp_path, "progress": False, "save_every": 1}
    with monkeypatch.context() as patch:
        patch.setattr(recipe.Encoded, "__call__", killed)
        with pytest.raises(MemoryError):
            recipe.train("smoke", **options)
    state = tmp_path / "unet" / "state.pt"
    assert torch.load(state, weights_only=True)["step"] == 6
    recipe.train("smoke", **options)
    found = [weights.load_state(out / "model") for out in (tmp_path, run.out)]
    assert all(torch.equal(x, found[1][name]) for name, x in found[0].items())
    other = weights.load_state(tmp_path / "model")
    before = torch.load(state, weights_only=True)["model"]["unet.last.weight"]
    assert not torch.equal(before.half(), other["unet.last.weight"])  # an average


def test_the_text_tower_can_be_read_before_its_last_block(run, model):
    second = recipe.untrained("smoke", 0, run.out / "autoencoder" / "model", skip=1)
    tokens = second.tokenize(["a red star"])
    assert second.config.text.skip == 1 and model.config.text.skip == 0
    early = states(second.text_encoder, tokens, skip=1)
    assert torch.equal(second.read(tokens), early)
    assert not torch.allclose(early, model.read(tokens), atol=0.1)


# --- what is refused


def fails(capsys, out) -> str:
    """What the command says when it cannot train."""
    words = ["stable-diffusion", "--size", "smoke", "--out", str(out)]
    parser = command.argparse.ArgumentParser()
    command.add_arguments(parser)
    assert command.run(parser.parse_args(words)) == 1
    return capsys.readouterr().err


def test_an_autoencoder_of_another_size_or_another_model_is_refused(
    run, tmp_path, capsys
):
    there = tmp_path / "autoencoder" / "model"
    other = Autoencoder(replace(config_of("smoke").vae, width=16))
    save_autoencoder(there, other, scale=0.5, image_size=128)
    said = fails(capsys, tmp_path)
    assert "an autoencoder for pictures of 128 px" in said and "'smoke'" in said
    shutil.rmtree(there)
    shutil.copytree(run.out / "model", there)
    assert "is a saved model, but no autoencoder" in fails(capsys, tmp_path)
    (there / "config.json").unlink()
    assert "has no config.json" in fails(capsys, tmp_path)
    assert not (tmp_path / "unet").exists()


def test_without_the_shipped_clip_nothing_is_trained(monkeypatch, tmp_path, capsys):
    empty = tmp_path / "empty"
    monkeypatch.setattr(weights.directory, "data_path", lambda *parts: empty)
    said = fails(capsys, tmp_path / "out")
    assert "trained with the eyes and words of the shipped CLIP" in said
    assert "none is shipped" in said and said.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_a_clip_without_patches_cannot_look():
    resnet = mm.CLIP.from_size("smoke", tower="resnet")
    with pytest.raises(weights.WeightsError, match="is a ResNet"):
        Looks(resnet)


def test_a_size_without_a_recipe_is_refused():
    for train in (recipe.train, autoencoder.train):
        with pytest.raises(ValueError, match="smoke, laptop, gpu, not 'paper'"):
            train("paper", out=None)
