"""The training loop: what each part of a step does, and how a run stops."""

import argparse
import csv
import math
import os
import signal
import sys
import threading
import types

import pytest
import torch
from torch import nn

from mmlearn.train import (
    TrainingStopped,
    adamw,
    command,
    ema_decay,
    fit,
    loop,
    recipes,
    schedule,
)
from mmlearn.train.batch import to_device
from mmlearn.train.ema import EMA
from mmlearn.train.precision import pick_precision
from mmlearn.train.progress import loss_in_words, loss_picture


def network(dropout: float = 0.0) -> nn.Module:
    """A small network whose weights depend on nothing but this line."""
    model = nn.Sequential(
        nn.Linear(4, 8), nn.LayerNorm(8), nn.Dropout(dropout), nn.Linear(8, 1)
    )
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for p in model.parameters():
            p.copy_(torch.randn(p.shape, generator=generator) * 0.3)
    return model


def batches(index: int, size: int = 8):
    generator = torch.Generator().manual_seed(1000 + index)
    x = torch.randn(size, 4, generator=generator)
    return x, x.sum(1, keepdim=True)


def loss_fn(model, batch, generator):
    x, y = batch
    noise = torch.randn(y.shape, generator=generator) * 0.1
    loss = (model(x) - y - noise).square().mean()
    return loss, {"rmse": loss.detach().sqrt()}


def quiet(model, loss_fn, batches, **options):
    return fit(model, loss_fn, batches, progress=False, **options)


def test_training_lowers_the_loss_and_the_average_is_ready_to_use():
    history = quiet(network(), loss_fn, batches, steps=200, lr=1e-2)
    assert history.column("loss")[-1] < 0.1 * history.column("loss")[0]
    assert not history.ema.training and not history.model.training
    x, y = batches(10_000, size=64)
    assert (history.ema(x) - y).square().mean() < 0.1
    assert "200 steps" in repr(history)


def test_the_schedule_rises_in_a_line_and_falls_along_a_cosine():
    values = [schedule(t, steps=14, warmup=4, floor=0.1) for t in range(14)]
    assert values[:5] == [0.25, 0.5, 0.75, 1.0, 1.0]
    assert values[9] == pytest.approx(0.1 + 0.9 * 0.5)  # half way down
    assert values[13] == pytest.approx(
        0.1 + 0.9 * 0.5 * (1 + math.cos(math.pi * 9 / 10))
    )
    assert schedule(14, steps=14, warmup=4, floor=0.1) == pytest.approx(0.1)
    assert values[4:] == sorted(values[4:], reverse=True)


def test_the_loop_uses_the_schedule():
    history = quiet(network(), loss_fn, batches, steps=10, lr=0.5, warmup=3, floor=0.2)
    expected = [0.5 * schedule(t, 10, 3, 0.2) for t in range(10)]
    assert history.column("lr") == pytest.approx(expected)


def test_gains_biases_and_scalars_do_not_decay():
    model = network()
    model.temperature = nn.Parameter(torch.ones(1))
    decays = {
        id(p): group["weight_decay"]
        for group in adamw(model, weight_decay=0.3).param_groups
        for p in group["params"]
    }
    for name, p in model.named_parameters():
        assert decays[id(p)] == (0.3 if name in ("0.weight", "3.weight") else 0.0), name
    with pytest.raises(ValueError, match="nothing in this model is trainable"):
        adamw(network().requires_grad_(False))


def test_a_part_can_learn_more_slowly_than_the_rest():
    model = nn.ModuleDict({"a": nn.Linear(2, 2), "ab": nn.Linear(2, 2)})
    factors = {}
    for group in adamw(model, slower={"a": 0.1}).param_groups:
        factors |= {id(p): group["factor"] for p in group["params"]}
    assert [factors[id(p)] for p in model["a"].parameters()] == [0.1, 0.1]
    assert [factors[id(p)] for p in model["ab"].parameters()] == [1.0, 1.0]
    with pytest.raises(ValueError, match="no such part"):
        adamw(model, slower={"text": 0.1})


def test_the_loop_moves_a_slower_part_less():
    def moved(slower):
        torch.manual_seed(0)
        model = nn.ModuleDict({"a": nn.Linear(3, 3), "b": nn.Linear(3, 3)})
        before = {name: p.detach().clone() for name, p in model.named_parameters()}

        def loss(model, batch, generator):
            return (model["b"](model["a"](batch)) - batch).square().mean()

        options = {"steps": 1, "slower": slower, "ema": None}
        fit(model, loss, lambda i: torch.eye(3), **options)
        return {n: (p - before[n]).abs().max() for n, p in model.named_parameters()}

    alike, slow = moved(None), moved({"a": 0.1})
    assert torch.allclose(slow["a.weight"], 0.1 * alike["a.weight"], rtol=1e-2)
    assert torch.equal(slow["b.weight"], alike["b.weight"])


def test_compiled_in_place_the_model_comes_back_a_plain_one(monkeypatch):
    calls, model = [], nn.Sequential(nn.Linear(2, 1))

    def compiles(self):
        calls.append(self)
        self._compiled_call_impl = self._call_impl

    monkeypatch.setattr(nn.Module, "compile", compiles)
    history = fit(
        model,
        lambda model, batch, generator: model(batch).square().mean(),
        lambda i: torch.ones(1, 2),
        steps=2,
        compile=True,
    )
    assert calls == [model[0]] and model[0]._compiled_call_impl is None
    assert list(history.ema.state_dict()) == ["0.weight", "0.bias"]


def test_the_average_follows_its_formula():
    assert [ema_decay(t, 0.999) for t in (0, 1, 90)] == [1 / 10, 2 / 11, 91 / 100]
    assert ema_decay(10**6, 0.999) == 0.999
    model = nn.Linear(1, 1, bias=False)
    nn.init.constant_(model.weight, 5.0)
    ema, expected = EMA(model, 0.5), 5.0
    for step, value in enumerate([1.0, -2.0, 7.0, 3.0, 0.0, 1.0, 1.0, 2.0, 4.0, 8.0]):
        nn.init.constant_(model.weight, value)
        ema.update(step)
        keep = min(0.5, (1 + step) / (10 + step))
        expected = keep * expected + (1 - keep) * value
    assert ema.model.weight.item() == pytest.approx(expected, rel=1e-6)


def test_the_average_shares_what_is_frozen_and_copies_buffers():
    model = nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3))
    model[0].requires_grad_(False)
    ema = EMA(model, 0.9)
    assert ema.model[0].weight is model[0].weight
    assert ema.model[1].weight is not model[1].weight
    model(torch.ones(4, 3) * torch.arange(4)[:, None])
    ema.update(0)
    assert torch.equal(ema.model[1].running_mean, model[1].running_mean)
    assert EMA(model, None).model is model


def test_the_average_in_the_loop_is_the_average_of_the_steps():
    seen = []
    model = network()
    begin = model[0].weight.detach().clone()

    def note(model):
        seen.append(model[0].weight.detach().clone())

    history = quiet(model, loss_fn, batches, steps=20, ema=0.6, after_step=note)
    expected = begin
    for step, weight in enumerate(seen):
        keep = ema_decay(step, 0.6)
        expected = keep * expected + (1 - keep) * weight
    assert torch.allclose(history.ema[0].weight, expected, atol=1e-6)


def test_accumulating_small_batches_equals_one_big_batch():
    def plain(model, batch, generator):
        return (model(batch[0]) - batch[1]).square().mean()

    def big(index):
        parts = [batches(3 * index + k) for k in range(3)]
        return tuple(torch.cat(part) for part in zip(*parts, strict=True))

    options = {"steps": 15, "lr": 1e-2}
    small = quiet(network(), plain, batches, accumulate=3, **options)
    large = quiet(network(), plain, big, **options)
    assert small.column("loss") == pytest.approx(large.column("loss"), rel=1e-4)
    for a, b in zip(small.model.parameters(), large.model.parameters(), strict=True):
        assert torch.allclose(a, b, atol=1e-5)
    other = quiet(network(), plain, batches, **options)  # and it can fail
    assert not torch.allclose(other.model[0].weight, large.model[0].weight, atol=1e-3)


def test_gradients_are_clipped_and_the_norm_before_is_logged():
    moved = {}
    for clip in (1e-12, None):
        model = network()
        history = quiet(
            model,
            lambda m, b, g: 1e3 * loss_fn(m, b, g)[0],
            batches,
            steps=1,
            clip=clip,
        )
        # Adam divides by the gradient's size, except where its epsilon of 1e-8 rules.
        moved[clip] = (model[0].weight - network()[0].weight).abs().max().item()
        assert history.column("grad_norm")[0] > 100
    assert moved[1e-12] < 0.02 * moved[None]


def test_after_step_has_the_last_word():
    def clamp(model):
        model[3].bias.clamp_(-0.01, 0.01)

    history = quiet(network(), loss_fn, batches, steps=5, lr=0.1, after_step=clamp)
    assert history.model[3].bias.abs().item() <= 0.01


def test_random_numbers_depend_on_the_seed_and_the_batch_only():
    def draws(seed, **options):
        seen = []

        def noting(model, batch, generator):
            seen.append(torch.rand(1, generator=generator).item())
            return loss_fn(model, batch, generator)

        model = network(dropout=0.5)
        quiet(model, noting, batches, steps=4, seed=seed, **options)
        return seen, model[0].weight.detach()

    (one, weight), (again, same), (other, _) = draws(0), draws(0), draws(1)
    assert one == again and len(set(one)) == 4 and not set(one) & set(other)
    assert torch.equal(weight, same)  # dropout too
    assert draws(0, accumulate=2)[0][:4] == one  # by the batch's number in the run


def test_the_global_generators_are_left_as_they_were():
    import random

    import numpy as np

    model = network(dropout=0.5)
    torch.manual_seed(5)
    before = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist()
    quiet(model, loss_fn, batches, steps=3)
    assert torch.equal(torch.get_rng_state(), before[0])
    assert random.getstate() == before[1]
    assert np.random.get_state()[1].tolist() == before[2]


def test_the_log_holds_means_between_rows(tmp_path):
    every = quiet(network(), loss_fn, batches, steps=10, log_every=1)
    some = quiet(network(), loss_fn, batches, steps=10, log_every=4, out=tmp_path)
    losses = every.column("loss")
    means = [sum(losses[:4]) / 4, sum(losses[4:8]) / 4, sum(losses[8:]) / 2]
    assert some.column("step") == [4, 8, 10]
    assert some.column("loss") == pytest.approx(means)
    with open(tmp_path / "log.csv") as file:
        rows = list(csv.DictReader(file))
    names = ["step", "loss", "lr", "grad_norm", "seconds", "rmse"]
    assert list(rows[0]) == names and [int(row["step"]) for row in rows] == [4, 8, 10]
    assert [float(row["loss"]) for row in rows] == pytest.approx(means, rel=1e-6)


def test_a_column_that_appears_late_gets_its_place(tmp_path):
    def late(model, batch, generator):
        loss, _ = loss_fn(model, batch, generator)
        return loss, ({"late": 1.0} if batch[0][0, 0] == batches(2)[0][0, 0] else {})

    quiet(network(), late, batches, steps=4, log_every=1, out=tmp_path)
    with open(tmp_path / "log.csv") as file:
        assert [row["late"] for row in csv.DictReader(file)] == ["", "", "1", ""]


@pytest.mark.parametrize("broken", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_stops_the_run_and_keeps_the_last_good_state(
    tmp_path, broken
):
    def breaks(model, batch, generator):
        bad = torch.equal(batch[0], batches(6)[0])
        return loss_fn(model, batch, generator)[0] * (broken if bad else 1.0)

    model = network()
    with pytest.raises(TrainingStopped) as stopped:
        quiet(model, breaks, batches, steps=12, out=tmp_path, save_every=4)
    sentence = str(stopped.value)
    assert f"stopped at step 7: the loss became {broken}" in sentence
    assert "after step 6, is" in sentence and str(tmp_path / "state.pt") in sentence
    saved = torch.load(tmp_path / "state.pt", weights_only=True)
    good = network()
    with pytest.raises(TrainingStopped):
        quiet(good, breaks, batches, steps=12)
    assert saved["step"] == 6
    for name, weight in saved["model"].items():
        assert weight.isfinite().all()
        assert torch.equal(weight, model.state_dict()[name])  # unharmed in memory too
        assert torch.equal(weight, good.state_dict()[name])


def test_a_gradient_that_is_not_finite_stops_the_run_too():
    def breaks(model, batch, generator):
        # The square root's slope at 0 is infinite though its value is fine.
        return (model(batch[0]) * 0).square().sum().sqrt()

    with pytest.raises(
        TrainingStopped, match=r"step 1: .* gradient's norm nan; no state"
    ):
        quiet(network(), breaks, batches, steps=3)


def test_a_run_that_stopped_can_go_on_with_a_lower_lr(tmp_path):
    def breaks(model, batch, generator):
        bad = torch.equal(batch[0], batches(2)[0])
        return loss_fn(model, batch, generator)[0] * (math.nan if bad else 1.0)

    options = {"steps": 5, "out": tmp_path, "log_every": 1}
    with pytest.raises(TrainingStopped):
        quiet(network(), breaks, batches, **options)
    history = quiet(network(), loss_fn, batches, lr=1e-4, resume="changed", **options)
    assert history.column("step") == [1, 2, 3, 4, 5]
    assert history.column("lr")[1] > 1e-4 > history.column("lr")[2]


def test_a_spoilt_running_statistic_is_not_saved(tmp_path):
    model = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.Linear(4, 1))

    def spoilt(index):
        x, y = batches(index)
        return (x * math.nan if index == 3 else x), y

    with pytest.raises(TrainingStopped, match="after step 2, is"):
        quiet(model, loss_fn, spoilt, steps=6, out=tmp_path, save_every=2)
    saved = torch.load(tmp_path / "state.pt", weights_only=True)
    assert all(t.isfinite().all() for t in saved["model"].values())


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_finishes_the_step_saves_and_stops(tmp_path, number):
    before = signal.getsignal(number)

    def interrupting(index):
        if index == 3:
            os.kill(os.getpid(), number)
        return batches(index)

    with pytest.raises(KeyboardInterrupt, match="after step 4 of 9, saved in"):
        quiet(network(), loss_fn, interrupting, steps=9, out=tmp_path)
    assert torch.load(tmp_path / "state.pt", weights_only=True)["step"] == 4
    assert signal.getsignal(number) is before
    whole = quiet(network(), loss_fn, batches, steps=9)
    rest = quiet(network(), loss_fn, batches, steps=9, out=tmp_path)
    assert torch.equal(whole.model[0].weight, rest.model[0].weight)


def test_training_works_outside_the_main_thread():
    thread = threading.Thread(
        target=lambda: done.append(quiet(network(), loss_fn, batches, steps=2))
    )
    done = []
    thread.start()
    thread.join()
    assert done[0].steps == 2


def test_bf16_on_the_cpu_trains_and_keeps_float32_weights():
    kinds = set()

    def noting(model, batch, generator):
        kinds.add(model(batch[0]).dtype)
        return loss_fn(model, batch, generator)

    history = quiet(network(), noting, batches, steps=100, lr=1e-2, precision="bf16")
    assert kinds == {torch.bfloat16}
    assert history.model[0].weight.dtype == torch.float32
    assert history.column("loss")[-1] < 0.3 * history.column("loss")[0]


def test_precision_is_chosen_by_the_device(monkeypatch):
    cpu, cuda = torch.device("cpu"), torch.device("cuda:0")
    assert pick_precision("auto", cpu) == "fp32"
    for capability, precision in [((7, 5), "fp16"), ((8, 0), "bf16"), ((9, 0), "bf16")]:
        monkeypatch.setattr(
            torch.cuda, "get_device_capability", lambda d, c=capability: c
        )
        assert pick_precision("auto", cuda) == precision
    with pytest.raises(ValueError, match="fp16 needs CUDA"):
        pick_precision("fp16", cpu)
    with pytest.raises(ValueError, match="fp32, bf16 or fp16, not 'half'"):
        pick_precision("half", cpu)


def test_a_scaled_loss_trains_alike_and_skips_what_overflows(monkeypatch):
    # fp16's scaler, here on the CPU, where autocast stays in float32.
    plain = quiet(network(), loss_fn, batches, steps=10)
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**10)
    monkeypatch.setattr(loop, "grad_scaler", lambda precision, device: scaler)
    scaled = quiet(network(), loss_fn, batches, steps=10, accumulate=1)
    assert torch.allclose(scaled.model[0].weight, plain.model[0].weight, atol=1e-6)
    assert scaled.column("grad_norm") == pytest.approx(plain.column("grad_norm"))

    weights = []

    def overflows(model, batch, generator):
        weights.append(model[0].weight.detach().clone())
        loss, _ = loss_fn(model, batch, generator)
        # A finite loss whose gradient, once scaled, is beyond float32.
        return loss * (1e37 if 2 <= len(weights) <= 3 else 1.0)

    quiet(network(), overflows, batches, steps=6)
    assert torch.equal(weights[1], weights[2]) and torch.equal(weights[2], weights[3])
    assert not torch.equal(weights[3], weights[4])
    assert scaler.get_scale() == 2.0**8

    def always(model, batch, generator):
        return (model(batch[0]) * 0).square().sum().sqrt()

    with pytest.raises(TrainingStopped, match="stopped at step 10: the loss is finite"):
        quiet(network(), always, batches, steps=50)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"steps": 0}, "steps must be a whole number from 1, not 0"),
        ({"steps": "10"}, "steps must be a whole number from 1, not '10'"),
        ({"steps": 1, "accumulate": 0}, "accumulate must be a whole number from 1"),
        ({"steps": 1, "lr": -1.0}, "lr must be above 0, not -1.0"),
        ({"steps": 1, "ema": 1.0}, "ema is a decay from 0 to below 1"),
        (
            {"steps": 1, "resume": "yes"},
            "resume is True, False or 'changed', not 'yes'",
        ),
    ],
)
def test_wrong_settings_get_one_sentence(options, sentence):
    with pytest.raises(ValueError, match=sentence):
        quiet(network(), loss_fn, batches, **options)


def test_a_loss_that_is_not_one_number_gets_one_sentence():
    with pytest.raises(ValueError, match=r"the loss has shape \[8, 1\]"):
        quiet(network(), lambda m, b, g: m(b[0]), batches, steps=1)


def test_batches_of_every_packing_reach_the_device():
    import dataclasses

    @dataclasses.dataclass(frozen=True)
    class Batch:
        images: torch.Tensor
        captions: list[str]

    meta, one = torch.device("meta"), torch.ones(1)
    moved = to_device({"a": (one, ["x", one]), "b": Batch(one, ["a fox"])}, meta)
    assert moved["a"][0].is_meta and moved["a"][1][1].is_meta
    assert moved["b"].images.is_meta and moved["b"].captions == ["a fox"]


def test_in_a_file_the_progress_is_a_few_lines(capsys):
    fit(network(), loss_fn, batches, steps=300)
    lines = capsys.readouterr().err.strip().splitlines()
    assert 1 <= len(lines) <= 12
    assert "300/300" in lines[-1] and "loss" in lines[-1] and "\r" not in lines[-1]


def test_in_a_notebook_one_line_is_replaced_and_the_plot_has_alt_text(monkeypatch):
    IPython = pytest.importorskip("IPython")
    import IPython.display as shown

    outputs = {}

    class Handle:
        def __init__(self, name):
            self.name = name

        def update(self, bundle, **options):
            outputs[self.name].append((bundle, options))

    def display(bundle, *, display_id, **options):
        handle = Handle(len(outputs))
        outputs[handle.name] = [(bundle, options)]
        return handle

    shell = types.SimpleNamespace(kernel=object())
    monkeypatch.setattr(IPython, "get_ipython", lambda: shell)
    monkeypatch.setattr(shown, "display", display)
    fit(network(), loss_fn, batches, steps=300, plot=True)
    assert len(outputs) == 2 and all(len(said) < 20 for said in outputs.values())
    (picture, options), (line, _) = (said[-1] for said in outputs.values())
    if "image/png" in line:  # either may have been shown first
        (line, _), (picture, options) = (said[-1] for said in outputs.values())
    assert "300/300" in line["text/plain"] and "loss" in line["text/plain"]
    alt = options["metadata"]["image/png"]["alt"]
    assert "line plot of the training loss" in alt and picture["text/plain"] == alt
    assert picture["image/png"].startswith("iVBOR")  # a PNG in base64


def test_the_picture_of_the_loss_is_a_png_and_its_words_are_true():
    rows = [{"step": 10, "loss": 2.0}, {"step": 20, "loss": 0.25}]
    assert loss_picture(rows).startswith(b"\x89PNG")
    assert "2 at step 10, 0.25 at step 20, lowest 0.25" in loss_in_words(rows)


def command_line(*words: str) -> int:
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    return command.run(parser.parse_args(words))


def test_the_command_hands_its_arguments_to_the_recipe(monkeypatch, tmp_path):
    calls = []
    recipe = types.ModuleType("toy")
    recipe.train = lambda size, **options: calls.append((size, options))
    monkeypatch.setitem(sys.modules, f"{recipes.__name__}.toy_model", recipe)
    monkeypatch.setattr(command, "known_models", lambda: ["toy_model"])
    words = f"toy-model --size smoke --steps 7 --seed 3 --out {tmp_path} --restart"
    assert command_line(*words.split(), "--device", "cpu") == 0
    options = {"seed": 3, "steps": 7, "out": tmp_path, "device": "cpu", "resume": False}
    assert calls == [("smoke", options)]


def test_the_command_answers_bad_input_in_one_sentence(monkeypatch, capsys):
    assert command_line("klip") == 2
    assert "there is no recipe for 'klip'; there are: " in capsys.readouterr().err
    with pytest.raises(SystemExit):
        command_line("clip", "--steps", "none")
    assert "must be a whole number from 1, not 'none'" in capsys.readouterr().err

    def stops(size, **options):
        raise TrainingStopped("training stopped at step 3")

    recipe = types.ModuleType("toy")
    recipe.train = stops
    monkeypatch.setitem(sys.modules, f"{recipes.__name__}.toy", recipe)
    monkeypatch.setattr(command, "known_models", lambda: ["toy"])
    assert command_line("toy") == 1
    assert capsys.readouterr().err == "mmlearn train: training stopped at step 3\n"
