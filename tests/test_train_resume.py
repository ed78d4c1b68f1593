"""A run killed at any moment goes on as if nothing had happened.

The children are real processes, forked from a server that has imported torch once,
and the kills are real SIGKILLs: from outside at moments drawn at random, and from
inside at the worst moments of saving.
"""

import csv
import multiprocessing
import multiprocessing.forkserver
import os
import random
import signal
import sys
import time

import pytest
import torch
from torch import nn

from mmlearn.train import ResumeError, TrainingStopped, fit

STEPS = 40
SETTINGS = {"steps": STEPS, "lr": 1e-2, "accumulate": 2, "log_every": 7}


def network(width: int = 32) -> nn.Module:
    model = nn.Sequential(
        nn.Linear(4, width), nn.BatchNorm1d(width), nn.Dropout(0.2), nn.Linear(width, 1)
    )
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for p in model.parameters():
            p.copy_(torch.randn(p.shape, generator=generator) * 0.3)
    return model


def batches(index: int):
    x = torch.randn(8, 4, generator=torch.Generator().manual_seed(1000 + index))
    return x, x.sum(1, keepdim=True)


def loss_fn(model, batch, generator):
    x, y = batch
    noise = torch.randn(y.shape, generator=generator) * 0.1
    loss = (model(x) - y - noise).square().mean()
    return loss, {"rmse": loss.detach().sqrt()}


def train(out, **options):
    return fit(
        network(), loss_fn, batches, out=out, progress=False, **{**SETTINGS, **options}
    )


def child(out, save_every, pause, die_at, started):
    """Train in a process of its own; kill it there if ``die_at`` says so."""
    torch.set_num_threads(1)
    if die_at is not None:
        die_in(*die_at)

    def slow(index):
        time.sleep(pause)
        return batches(index)

    started.set()
    fit(
        network(),
        loss_fn,
        slow,
        out=out,
        save_every=save_every,
        progress=False,
        **SETTINGS,
    )


def die_in(name: str, call: int, after: bool):
    """SIGKILL this process at the ``call``-th call of os.<name>, or right after it."""
    original, calls = getattr(os, name), []

    def dying(*args, **kwargs):
        calls.append(name)
        if len(calls) == call and not after:
            os.kill(os.getpid(), signal.SIGKILL)
        result = original(*args, **kwargs)
        if len(calls) == call:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    setattr(os, name, dying)


@pytest.fixture(scope="module")
def processes():
    context = multiprocessing.get_context("forkserver")
    # torch._dynamo is what torch imports when the first optimizer is built.
    context.set_forkserver_preload(["mmlearn.train", "torch._dynamo"])
    with pytest.MonkeyPatch.context() as patch:
        # Some Pythons' servers do not get sys.path, and then preload nothing.
        patch.setenv("PYTHONPATH", os.pathsep.join(path for path in sys.path if path))
        multiprocessing.forkserver.ensure_running()
    return context


def run(processes, out, *, kill_after=None, pause=0.0, die_at=None, save_every=3):
    """One child; its exit code, which is -SIGKILL if it was killed."""
    started = processes.Event()
    arguments = (out, save_every, pause, die_at, started)
    process = processes.Process(target=child, args=arguments)
    process.start()
    if kill_after is not None:
        assert started.wait(60)
        process.join(kill_after)
        process.kill()
    process.join(60)
    return process.exitcode


def content(out):
    """Everything a run leaves, but for the measured seconds."""
    saved = torch.load(out / "state.pt", weights_only=True)
    saved["log"].pop("seconds")
    for row in saved["log"]["rows"]:
        row.pop("seconds")
    with open(out / "log.csv", newline="") as file:
        rows = [
            {k: v for k, v in r.items() if k != "seconds"} for r in csv.DictReader(file)
        ]
    return saved, rows


def same(a, b) -> bool:
    """Equal bit for bit, however nested."""
    if isinstance(a, torch.Tensor):
        return a.dtype == b.dtype and torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(same(x, y) for x, y in zip(a, b, strict=True))
    return a == b


@pytest.fixture(scope="module")
def uninterrupted(processes, tmp_path_factory):
    out = tmp_path_factory.mktemp("uninterrupted")
    assert run(processes, out) == 0
    saved, rows = content(out)
    assert saved["step"] == STEPS and saved["optimizer"]["state"]
    assert [row["step"] for row in rows] == ["7", "14", "21", "28", "35", "40"]
    return saved, rows


def test_a_run_killed_at_random_moments_ends_bit_for_bit_the_same(
    processes, uninterrupted, tmp_path
):
    moments, killed, reached = random.Random(0), 0, set()
    for attempt in range(40):
        # The whole run sleeps for a third of a second; each attempt lives a little
        # longer than the one before, so that a busy machine gets ahead too.
        life = moments.uniform(0.01, 0.06 + 0.02 * attempt)
        code = run(processes, tmp_path, pause=0.004, kill_after=life)
        killed += code == -signal.SIGKILL
        if (tmp_path / "state.pt").exists():  # whole, whenever the kill came
            reached.add(torch.load(tmp_path / "state.pt", weights_only=True)["step"])
        if code == 0 or (killed >= 5 and len(reached) >= 3):
            break
    assert killed >= 3 and len(reached) >= 2, (killed, reached)
    assert run(processes, tmp_path) == 0
    assert same(content(tmp_path), uninterrupted)
    assert sorted(os.listdir(tmp_path)) == ["log.csv", "state.pt"]


@pytest.mark.parametrize("name", ["fsync", "replace"])
@pytest.mark.parametrize("after", [False, True])
def test_a_run_killed_while_saving_ends_bit_for_bit_the_same(
    processes, uninterrupted, tmp_path, name, after
):
    reached = []
    for call in range(1, 7):  # the first save, the log's, and those of later steps
        code = run(processes, tmp_path, die_at=(name, call, after), save_every=2)
        assert code == -signal.SIGKILL
        if (tmp_path / "state.pt").exists():
            reached.append(torch.load(tmp_path / "state.pt", weights_only=True)["step"])
    assert reached == sorted(reached) and reached[-1] >= 6, reached
    assert run(processes, tmp_path) == 0
    assert same(content(tmp_path), uninterrupted)
    assert sorted(os.listdir(tmp_path)) == ["log.csv", "state.pt"]


def test_the_comparison_sees_one_changed_bit(uninterrupted):
    saved, rows = uninterrupted
    weight = saved["model"]["0.weight"].clone()
    weight.view(torch.int32)[0, 0] ^= 1
    other = {**saved, "model": {**saved["model"], "0.weight": weight}}
    assert same((saved, rows), uninterrupted)
    assert not same((other, rows), uninterrupted)


def test_a_finished_run_is_not_trained_again(tmp_path):
    first = train(tmp_path)
    before = (tmp_path / "state.pt").read_bytes()
    again = train(tmp_path)
    assert (tmp_path / "state.pt").read_bytes() == before
    assert again.rows == first.rows
    for a, b in zip(again.ema.parameters(), first.ema.parameters(), strict=True):
        assert torch.equal(a, b)


def test_resume_false_starts_again(tmp_path):
    train(tmp_path)
    other = train(tmp_path, lr=1e-3, resume=False)
    assert other.column("lr")[0] < 1e-3
    assert train(tmp_path, lr=1e-3).rows == other.rows


def test_other_settings_are_refused_and_nothing_changes(tmp_path):
    train(tmp_path, settings={"batch": 8})
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}
    cases = [
        ({"lr": 3e-4}, r"lr \(saved 0.01, now 0.0003\); "),
        ({"steps": 50, "warmup": 2}, r"settings: steps \(saved 40, now 50\); run"),
        ({"settings": {"batch": 16}}, r"batch \(saved 8, now 16\)"),
        ({"settings": {}}, r"batch \(saved 8, now without it\)"),
        ({"seed": 1}, r"seed \(saved 0, now 1\).*resume=False.*resume='changed'"),
    ]
    for options, sentence in cases:
        with pytest.raises(ResumeError, match=sentence) as refused:
            train(tmp_path, **{"settings": {"batch": 8}, **options})
        assert str(tmp_path / "state.pt") in str(refused.value)
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == before


def test_another_model_is_refused_even_when_changes_are_allowed(tmp_path):
    train(tmp_path)
    for resume in (True, "changed"):
        with pytest.raises(ResumeError) as refused:
            fit(
                network(width=16),
                loss_fn,
                batches,
                out=tmp_path,
                resume=resume,
                progress=False,
                **SETTINGS,
            )
        sentence = str(refused.value)
        assert "0.weight (saved float32 [32, 4], now float32 [16, 4])" in sentence
        assert "and 6 more tensors" in sentence and "resume='changed'" not in sentence


def test_a_run_can_be_made_longer(tmp_path):
    train(tmp_path)
    options = {"steps": 60, "weight_decay": 0.5, "ema": None, "resume": "changed"}
    longer = train(tmp_path, **options)
    assert longer.column("step")[-3:] == [49, 56, 60]
    assert len(set(longer.column("step"))) == len(longer.rows)
    back = train(tmp_path, steps=70, resume="changed")  # the average begins again
    assert back.ema is not back.model


@pytest.mark.parametrize("damage", ["truncated", "a pickle", "empty"])
def test_a_damaged_state_gets_one_sentence(tmp_path, damage):
    path = tmp_path / "state.pt"
    if damage == "truncated":
        train(tmp_path)
        path.write_bytes(path.read_bytes()[:-200])
    elif damage == "a pickle":
        torch.save(print, path)
    else:
        path.write_bytes(b"")
    with pytest.raises(
        ResumeError, match="damaged or not a training state: start again"
    ):
        train(tmp_path)


def test_a_full_disk_stops_the_run_and_keeps_the_state_before(tmp_path, monkeypatch):
    import mmlearn.train.state as state

    real_save, saves = torch.save, []

    def full(content, file):
        saves.append(content["step"])
        if content["step"] == 9:
            file.write(b"half of it")
            raise OSError(28, "No space left on device")
        real_save(content, file)

    monkeypatch.setattr(state.torch, "save", full)
    with pytest.raises(
        TrainingStopped, match="after step 9 could not be written"
    ) as stop:
        train(tmp_path, save_every=3)
    assert "the state after step 6 is still there" in str(stop.value)
    assert saves == [0, 3, 6, 9]
    assert sorted(os.listdir(tmp_path)) == ["log.csv", "state.pt"]
    monkeypatch.undo()
    assert torch.load(tmp_path / "state.pt", weights_only=True)["step"] == 6
    assert train(tmp_path).rows[-1]["step"] == STEPS


def test_a_folder_that_cannot_be_made_is_noticed_before_training(tmp_path):
    (tmp_path / "runs").write_text("a file")
    with pytest.raises(TrainingStopped, match="nothing was saved before"):
        train(tmp_path / "runs")
