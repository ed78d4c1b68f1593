"""What Stable Diffusion's claims train anew: kept, timed, measured, and any may win."""

import json
import time
from dataclasses import replace

import pytest
import torch
from torch import nn

from mmlearn import world
from mmlearn.evaluate import stable_diffusion_trained_autoencoder_breaks as breaks
from mmlearn.evaluate import stable_diffusion_trained_autoencoders as small
from mmlearn.evaluate import stable_diffusion_trained_compression as compression
from mmlearn.evaluate import stable_diffusion_trained_latent_pixel as latent_pixel
from mmlearn.evaluate import stable_diffusion_trained_text as text
from mmlearn.evaluate import stable_diffusion_trained_tools as tools
from mmlearn.evaluate import stable_diffusion_trained_ways as way
from mmlearn.evaluate.judged import judge_readings
from mmlearn.evaluate.reading import Reading
from mmlearn.nn.autoencoder import Autoencoder
from mmlearn.stable_diffusion import StableDiffusion
from mmlearn.train import fit
from mmlearn.train.recipes import stable_diffusion_lesson as lesson

PLAN = lesson.RECIPES["smoke"]
MODULES = {m.NAME: m for m in (latent_pixel, compression, text, breaks)}


def by_saturation(images, records, prompts=None):
    """A judge to whom whatever has colours is right, and what is grey is wrong."""
    vivid = (images.amax(1) - images.amin(1)).mean(dim=(1, 2)) > 0.02
    other = [records[i - 1] for i in range(len(records))]
    pairs = zip(vivid.tolist(), records, other, strict=True)
    readings = [Reading.of(own if right else wrong) for right, own, wrong in pairs]
    return judge_readings(records, readings, prompts)


@pytest.fixture(scope="module")
def model():
    return lesson.untrained("smoke", 0)


@pytest.fixture(scope="module")
def encoded(model):
    return lesson.encode(model, 16, 0)


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """Each claim's command, at size smoke: its result, and the folder around it."""
    out = tmp_path_factory.mktemp("claims")
    patch = pytest.MonkeyPatch()
    patch.setattr(tools, "load_judge", lambda source: by_saturation)
    words = ["program", "--size", "smoke", "--out", str(out), "--keep", str(out / "k")]
    found = {}
    for name, module in MODULES.items():
        patch.setattr("sys.argv", words)
        tools.main(name, module.__name__, module.measure)
        found[name] = json.loads((out / f"stable-diffusion-{name}.json").read_text())
    patch.undo()
    return out, found


# --- what they have in common


def test_what_is_done_is_kept_and_done_again_where_anything_differs(tmp_path):
    made = []

    def make():
        made.append(len(made))
        return {"n": made[-1]}, {"x": torch.full([2], float(made[-1]))}

    def once(own, **kept):
        found, tensors = tools.Kept(tmp_path, **kept).once("a", own, make)
        assert tensors["x"].tolist() == [found["n"]] * 2
        return found["n"]

    assert [once({"steps": 3}), once({"steps": 3})] == [0, 0]
    assert once({"steps": 4}) == 1 == once({"steps": 4})
    assert once({"steps": 4}, settings={"seed": 1}) == 2
    assert once({"steps": 4}, settings={"seed": 1}, fresh=True) == 3
    assert len(made) == 4


def test_a_training_that_fails_leaves_what_was_kept(tmp_path):
    kept = tools.Kept(tmp_path)
    kept.once("a", {}, lambda: ({"n": 1}, {}))

    def stopped():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tools.Kept(tmp_path, fresh=True).once("a", {}, stopped)
    assert kept.once("a", {}, stopped)[0] == {"n": 1}


def test_marks_are_what_a_shorter_training_would_have_averaged():
    def trained(steps, at):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            net = nn.Linear(3, 3)
        net.bias.requires_grad_(False)
        seen = tools.Marks(net, 0.9, at)
        options = {"steps": steps, "lr": 0.1, "warmup": 2, "floor": 1.0, "ema": None}
        fit(
            net,
            lambda net, x, lot: (net(x) - 1).square().mean(),
            lambda i: torch.ones(2, 3) * (i + 1),
            after_step=seen,
            progress=False,
            **options,
        )
        return net, seen

    net, seen = trained(8, [3, 8])
    assert list(seen.copies) == [3, 8] and len(seen.clock) == 8
    assert seen.clock == sorted(seen.clock)
    (short, alone) = trained(3, [3])
    assert torch.equal(alone.copies[3].weight, seen.copies[3].weight)
    assert not torch.equal(seen.copies[3].weight, seen.copies[8].weight)
    assert not torch.equal(short.weight, alone.copies[3].weight)  # it is an average
    assert seen.copies[3].bias is net.bias  # frozen, and shared
    assert tools.marks(100, (0.001, 0.5, 1.0)) == [1, 50, 100]
    assert tools.marks(1, (0.5, 1.0)) == [1]


def test_time_is_what_was_worked_and_not_what_went_by():
    def works():
        until = time.process_time() + 0.02
        while time.process_time() < until:
            pass
        time.sleep(0.02)  # as if something else had the core

    steps, each = tools.affordable(works, 1.0, tries=3)
    assert each == pytest.approx(0.02, rel=0.3)
    assert steps == round(1.0 / each)
    assert tools.affordable(works, 0.001, tries=1)[0] == 1


def test_pictures_are_kept_in_whole_numbers_and_psnr_is_of_the_pictures():
    images = torch.linspace(-1, 1, 3 * 16).reshape(1, 3, 4, 4)
    back = tools.as_floats(tools.as_bytes(images))
    assert (back - images).abs().max() <= 1 / 255
    assert tools.psnr(images * 0 + 0.02, images * 0).item() == pytest.approx(40)


# --- what a way costs


def test_multiplications_are_those_of_the_layers_and_weights_are_no_activations():
    net = nn.Linear(10, 20, bias=False)
    x = torch.ones(5, 10)
    assert way.multiplications(lambda: net(x)) == pytest.approx(5 * 200 / 1e6)
    plan = replace(PLAN, batch=5)
    one = way.Way(
        net, lambda m, b, g: m(b).square().sum(), lambda i: x, plan, None, None, None
    )
    # x and what is squared, in bf16; nobody asks for a gradient of x.
    assert way.activations(one) == 2 * (5 * 10 + 5 * 20)
    assert one.parameters == {"million trained": 0.0, "million frozen": 0.0}


def test_both_sides_learn_about_as_many_parameters():
    latents = StableDiffusion.from_size("laptop", device="meta").unet
    own = sum(p.numel() for p in latents.parameters())
    for name, config in latent_pixel.STAGES["laptop"].items():
        with torch.device("meta"):
            stage = way.TextUNet(way.StageConfig(**config))
        number = sum(p.numel() for p in stage.parameters())
        assert number == pytest.approx(own, rel=0.15), name
        assert stage.config.image_size == 64
        assert (stage.config.patch, stage.config.predicts) == (
            (1, "eps") if name == "pixels" else (4, "x0")
        )


def test_latents_and_pixels_see_the_same_scenes_in_the_same_order(model, encoded):
    found = lesson.scenes(16, 0, 64)
    latents = way.of_latents(model, encoded, PLAN, 0)
    config = latent_pixel.STAGES["smoke"]["pixels"]
    shown = tools.as_bytes(found.images)
    pixels = way.of_pixels(config, shown, found.captions, PLAN, 0)
    for index in (0, 3):
        z, _ = latents.batches(index)
        images, _ = pixels.batches(index)
        with torch.no_grad():
            again = model.encode(found.images, lesson.lots(0, range(16)))
        far = (z[:, None] - again).flatten(2).abs().sum(dim=2).argmin(dim=1)
        assert torch.equal(images, tools.as_floats(shown[far]))
    assert latents.parameters["million frozen"] > 0
    assert pixels.parameters["million frozen"] == 0


def test_equal_score_is_read_from_the_worst_ways_best():
    rows = [
        {"way": w, "share": s, "training seconds": t, "training multiplications": t / 2}
        for w, s, t in (("a", 0.2, 1), ("a", 0.6, 2), ("a", 0.9, 4))
        + (("b", 0.1, 1), ("b", 0.5, 2), ("b", 0.4, 4))
    ]
    found = latent_pixel.equal_score(rows)
    assert found["share"] == 0.5
    assert found["a"]["training seconds"] == 2 == found["b"]["training seconds"]
    assert found["a"]["training multiplications"] == 1


# --- autoencoders


class Fades(nn.Module):
    """An autoencoder whose latents are the pictures, a little blurred on the way."""

    def __init__(self, blur: float = 0.0, wrong: float = 0.0):
        super().__init__()
        self.blur, self.wrong = blur, wrong

    def encode(self, images):
        found = compression.Nothing(images)
        found.std = torch.full_like(images, 0.25)
        return found

    def decode(self, latents):
        mean = latents.mean(dim=(2, 3), keepdim=True)
        return latents + self.blur * (mean - latents) + self.wrong


def test_latents_are_measured_in_standard_deviations_of_their_own_channel():
    images = torch.rand(4, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    images[:, 2] = 0
    images[0, 2, 0, 0], images[1, 2, 0, 0] = 1, -1
    found = small.spread(Fades(), images)
    assert found["std of latents"] == pytest.approx(images.std().item())
    assert found["std, least channel"] == pytest.approx(images[:, 2].std().item())
    assert found["furthest in std"] == pytest.approx(1 / images[:, 2].std().item())
    assert found["beyond 4 std"] == pytest.approx(2 / images.numel(), rel=0.01)
    assert found["encoder's own std"] == pytest.approx(0.25)


def test_blur_loses_sharpness_and_a_shift_loses_none():
    images = 0.5 * world.scenes(4, 0, 64).images
    blurred = small.decoded(Fades(blur=0.5), images)
    shifted = small.decoded(Fades(wrong=0.02), images)
    assert small.kept(images, blurred)["sharpness"] == pytest.approx(0.25, rel=1e-3)
    found = small.kept(images, shifted)
    assert found["sharpness"] == pytest.approx(1, rel=1e-3)
    assert found["PSNR in dB"] == pytest.approx(40, abs=0.1)


def test_a_crossfade_is_known_for_one_and_a_decoder_that_errs_between_is_seen():
    images = 0.5 * world.scenes(6, 0, 64).images
    found, walks = small.between(Fades(), images)
    assert walks.shape == (3, 3, 3, 64, 64)
    assert torch.equal(walks[:, 0], images[0::2])
    assert found["as a crossfade"] == pytest.approx(100)
    assert found["between, returned"] == found["ends, returned"] == 0

    class Errs(Fades):
        """Right for pictures that it knows, and only for those."""

        def decode(self, latents):
            known = [(x == images).flatten(1).all(dim=1).any() for x in latents]
            return torch.where(torch.stack(known)[:, None, None, None], latents, 0.9)

    found, _ = small.between(Errs(), images)
    assert found["between, returned"] > 0.5 and found["ends, returned"] == 0
    assert found["as a crossfade"] < 20


def test_each_way_leaves_out_what_it_says(monkeypatch):
    losses = []

    def recorded(both, loss, made, part, **options):
        assert options["clip"] is None and options["betas"] == (0.5, 0.9)
        assert part.steps == 9
        losses.append(loss)

    monkeypatch.setattr(small, "run", recorded)
    for without in breaks.WAYS.values():
        small.trained(None, small.plan("smoke", 9), "smoke", 0, **without)
    found = {
        name: (loss.kl_weight, loss.critic_from, loss.perceptual is not None)
        for name, loss in zip(breaks.WAYS, losses, strict=True)
    }
    assert found == {
        "as it should be": (1e-6, 6, True),
        "without KL": (0, 6, True),
        "KL at weight 1": (1, 6, True),
        "without critic": (1e-6, 9, True),
        "without perceptual": (1e-6, 6, False),
    }


# --- compression


@pytest.mark.parametrize("size", ["smoke", "laptop"])
def test_a_factor_is_how_often_pictures_are_halved(size):
    for factor in compression.LEVELS[size]:
        config = compression.autoencoder_config(factor, size)
        assert f"f{config.factor}" == factor
        vae = compression.Untouched()
        if factor != "f1":
            with torch.device("meta"):
                vae = Autoencoder(config)
        model = compression.model_of(factor, vae, size, 0)
        assert model.config.latent_size * config.factor == 64
        places = [model.config.latent_size // k for k in model.unet.config.attention_at]
        assert all(place <= 16 for place in places)
        assert len(places) > 0 or size == "smoke"


def test_f1_leaves_pictures_as_they_are():
    model = compression.model_of("f1", compression.Untouched(), "smoke", 0)
    images = world.scenes(2, 0, 64).images
    model.scale = 0.7
    assert torch.equal(model.encode(images), 0.7 * images)
    assert torch.allclose(model.decode(model.encode(images)), images)
    drawn = model.generate(["a cat"], steps=1, progress=False)
    assert drawn.shape == (1, 3, 64, 64)


# --- words


def test_words_are_exchanged_and_nothing_else(monkeypatch):
    said = "a red star beside a blue heart on a reddish-starry background"
    swapped = text.exchanged(said, "red", "blue")
    assert swapped == "a blue star beside a red heart on a reddish-starry background"
    assert text.exchanged(swapped, "red", "blue") == said
    pairs = text.told_apart("pair", 24)
    assert len({pair.text for pair in pairs}) == 24
    for pair in pairs:
        assert len({item.colour for item in pair.record.items}) == 2
        assert text.exchanged(pair.text, "red", "blue") != pair.text
    assert len(text.scenes(24)) == 48 and text.BUDGETS["laptop"].heard <= 24
    monkeypatch.setattr(text, "MOST", 1)
    with pytest.raises(ValueError, match="not 99 different captions"):
        text.told_apart("single", 99)


def test_who_hears_colours_is_told_from_who_hears_nothing(monkeypatch):
    model = lesson.untrained("smoke", 0)

    def deaf(x_t, t, said):
        return torch.zeros_like(x_t)

    monkeypatch.setattr(model.unet, "forward", deaf)
    assert text.heard(model, 4) == {f"{fact} heard, %": 0 for fact in text.FACTS}
    asked = text.told_apart("single", 4, text.SEED + 1)
    wrong = [text.exchanged(prompt.text, "red", "blue") for prompt in asked]
    wrong = model.encode_text(wrong)

    def hears(x_t, t, said):
        """Worse where each is told another colour."""
        bad = (said == wrong).flatten(1).all(dim=1)[:, None, None, None]
        return torch.where(bad, 3.0, 0.0).expand_as(x_t)

    monkeypatch.setattr(model.unet, "forward", hears)
    found = text.heard(model, 4)
    assert found["colour heard, %"] > 50
    assert found["binding heard, %"] == 0


def test_a_tower_is_read_before_its_last_block_or_is_anothers(model):
    asked = tools.Asked("smoke", 0, "laptop", None, by_saturation)
    other = text.another_clip()
    found = dict(text.ways(asked, 0, other))
    assert list(found) == [text.FIRST, text.SECOND, text.OTHER]  # it is shipped
    assert list(dict(text.ways(asked, 0, None))) == [text.FIRST, text.SECOND]
    skips = [m.config.text.skip for m in found.values()]
    assert skips == [0, min(1, model.config.text.layers - 1), 1]
    state = found[text.OTHER].text_encoder.state_dict()
    assert all(torch.equal(x, state[k]) for k, x in other.text.state_dict().items())
    first, second = (found[name] for name in (text.FIRST, text.SECOND))
    for part in ("vae", "unet", "text_encoder"):
        one, two = (getattr(m, part).state_dict() for m in (first, second))
        assert all(torch.equal(one[k], x) for k, x in two.items()), part
    assert found[text.OTHER].text_encoder is not other.text


def test_means_over_seeds_have_their_least_and_most():
    rows = [{"words": "a", "share": s} for s in (0.1, 0.4)]
    rows += [{"words": "b", "share": 0.5}]
    a, b = text.over_seeds(rows, ["share"])
    assert (a["share"], a["share: least"], a["share: most"]) == (0.25, 0.1, 0.4)
    assert b["share"] == 0.5 and a["seed"] == "mean"


# --- the commands


def test_every_command_writes_its_result_and_walls(written):
    out, found = written
    for name, module in MODULES.items():
        result = found[name]
        assert result["command"] == f"python -m {module.__name__} --size smoke"
        assert result["about"] and result["commit"] and result["seeds"][0] == 0
        assert result["rows"] and "judge-laptop" in result["checkpoints"]
        assert (out / f"stable-diffusion-{name}-wall.png").is_file()
    assert (out / "stable-diffusion-autoencoder-breaks-between-wall.png").is_file()


def test_results_have_a_row_for_everything_that_is_compared(written):
    found = {name: result["rows"] for name, result in written[1].items()}
    assert {row["way"] for row in found["latent-pixel"]} == set(latent_pixel.RATES)
    for row in found["latent-pixel"]:
        assert row["training seconds"] > 0 and row["MB of activations"] > 0
        assert row["training multiplications"] > 0
    ways = [row["way"] for row in found["autoencoder-breaks"]]
    assert ways == ["real scenes", *breaks.WAYS]
    assert found["autoencoder-breaks"][0]["share"] == 1
    compared = {(r["f"], r["scenes"], r["pictures"]) for r in found["compression"]}
    kinds = (("world", "returned"), ("lesson", "returned"), ("lesson", "drawn"))
    assert compared == {(f, *k) for f in ("f1", "f4") for k in kinds}
    back = {r["f"]: r for r in found["compression"] if r["pictures"] == "returned"}
    assert back["f1"]["share"] == 1 and "PSNR in dB" not in back["f1"]
    assert 0 < back["f4"]["PSNR in dB"] < 40
    seeds = {(r["words"], r["seed"]) for r in found["text"]}
    names = (text.FIRST, text.SECOND, text.OTHER)
    assert seeds == {(name, seed) for name in names for seed in (0, "mean")}
    curves = written[1]["latent-pixel"]["curves"]
    assert all(seconds > 0 for curve in curves.values() for seconds, _ in curve)


def test_a_second_run_trains_nothing(written, monkeypatch, capsys):
    out, found = written
    words = ["program", "--size", "smoke", "--out", str(out), "--keep", str(out / "k")]
    monkeypatch.setattr("sys.argv", words)
    monkeypatch.setattr(tools, "load_judge", lambda source: by_saturation)
    monkeypatch.setattr(small, "run", None)  # calling it would fail
    tools.main(breaks.NAME, breaks.__name__, breaks.measure)
    assert "training" not in capsys.readouterr().out.replace("training seconds", "")
    again = json.loads((out / "stable-diffusion-autoencoder-breaks.json").read_text())
    assert again["rows"] == found["autoencoder-breaks"]["rows"]


def test_a_missing_model_is_one_sentence(tmp_path, monkeypatch, capsys):
    nowhere = str(tmp_path / "nowhere")
    monkeypatch.setattr("sys.argv", ["program", "--source", nowhere])
    monkeypatch.setattr(tools, "load_judge", lambda source: by_saturation)
    with pytest.raises(SystemExit):
        tools.main(latent_pixel.NAME, latent_pixel.__name__, latent_pixel.measure)
    assert "nowhere" in capsys.readouterr().err.splitlines()[-1]
