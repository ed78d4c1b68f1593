"""Two processes are one: the same weights, the same data, one log.

Run by pytest, this file starts itself under torchrun with two gloo processes; each
leaves what it saw in a file, and the tests compare.
"""

import math
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from mmlearn.train import TrainingStopped, all_gather_with_grad, fit, is_main
from mmlearn.train import distributed as d

ROOT = Path(__file__).parent.parent
STEPS = 12


def network(seed: int = 0) -> nn.Module:
    model = nn.Sequential(nn.Linear(4, 8), nn.GELU(), nn.Linear(8, 3))
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for p in model.parameters():
            p.copy_(torch.randn(p.shape, generator=generator) * 0.3)
    return model


def batches(index: int):
    x = torch.randn(8, 4, generator=torch.Generator().manual_seed(1000 + index))
    return {"index": index, "x": x}


def loss_fn(model, batch, generator):
    # Not through model.forward, as CLIP does it: DDP must follow all the same.
    x = batch["x"]
    y = model[2](model[1](model[0](x)))
    noise = torch.randn(8, 3, generator=generator) * 0.1
    loss = (y - x[:, 1:] - noise).square().mean()
    return loss, {"noise": noise.mean()}


def contrastive_fn(model, batch, generator):
    """Own rows against the rows of all processes (InfoNCE)."""
    x = batch["x"]
    one, two = model(x), model(x.flip(1))
    everything = all_gather_with_grad(two)
    places = torch.arange(len(x)) + d.rank() * len(x)
    return nn.functional.cross_entropy(one @ everything.T, places)


def big(index: int):
    """What two processes see at one step, as one batch."""
    parts = [batches(2 * index)["x"], batches(2 * index + 1)["x"]]
    return {"index": index, "x": torch.cat(parts)}


def train(loss=loss_fn, data=batches, model=None, **options):
    model = network() if model is None else model
    options = {"steps": STEPS, "lr": 1e-2, "log_every": 1, **options}
    return fit(model, loss, data, progress=False, **options)


def in_each_process(out: Path) -> None:
    """What the two processes do; results go to out/<rank>.pt."""
    torch.set_num_threads(1)
    seen: list[int] = []

    def noting(index):
        seen.append(index)
        return batches(index)

    rank = int(os.environ["RANK"])
    run = {"out": out / "run", "save_every": 5, "device": "cpu"}
    # Other weights in process 1: it must begin with those of process 0.
    history = train(data=noting, model=network(seed=rank), **run)
    result = {"seen": seen, "rows": history.rows, "main": is_main()}
    result["model"] = history.model.state_dict()
    result["ema"] = history.ema.state_dict()
    result["accumulated"] = train(accumulate=2, device="cpu").model.state_dict()
    result["contrastive"] = train(contrastive_fn, device="cpu").model.state_dict()
    result["again"] = train(**run).rows  # finished already: read, not trained

    def breaks(model, batch, generator):
        bad = batch["index"] == 2 * 3 + 1  # step 4, in process 1 only
        return loss_fn(model, batch, generator)[0] * (math.nan if bad else 1.0)

    try:
        train(breaks, device="cpu", out=out / "broken")
    except TrainingStopped as stopped:
        result["stopped"] = str(stopped)

    def interrupted(index):
        if index == 2 * 5 + 1:  # step 6, in process 1 only
            os.kill(os.getpid(), 2)
        return batches(index)

    try:
        train(data=interrupted, device="cpu", out=out / "interrupted")
    except KeyboardInterrupt as stopped:
        result["interrupted"] = str(stopped)
    mean = d.all_reduce_mean(torch.tensor([float(rank), 1.0]))
    result["mean"] = mean.tolist()
    d.barrier()
    torch.save(result, out / f"{rank}.pt")


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    out = tmp_path_factory.mktemp("two")
    command = (
        f"-m torch.distributed.run --standalone --nproc_per_node=2 {__file__} {out}"
    )
    paths = [str(ROOT), os.environ.get("PYTHONPATH", "")]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, paths))
    done = subprocess.run(
        [sys.executable, *command.split()],
        env=environment,
        timeout=120,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return [torch.load(out / f"{rank}.pt", weights_only=True) for rank in (0, 1)] + [
        out
    ]


def close(a: dict, b: dict, tolerance: float = 1e-6) -> bool:
    return all(torch.allclose(a[n], b[n], rtol=0, atol=tolerance) for n in b)


def test_two_processes_end_with_one_set_of_weights(two):
    zero, one, _ = two
    for part in ("model", "ema", "accumulated", "contrastive"):
        assert all(torch.equal(zero[part][n], one[part][n]) for n in zero[part]), part


def test_two_processes_equal_one_that_takes_both_batches_a_step(two):
    single = train(accumulate=2)
    assert close(two[0]["model"], single.model.state_dict())
    assert close(two[0]["ema"], single.ema.state_dict())
    assert not close(two[0]["model"], train().model.state_dict(), 1e-3)  # it can fail
    for mine, theirs in zip(single.rows, two[0]["rows"], strict=True):
        for name in ("loss", "lr", "noise"):
            assert mine[name] == pytest.approx(theirs[name], abs=1e-5)
        assert mine["grad_norm"] == pytest.approx(theirs["grad_norm"], rel=1e-4)


def test_accumulation_and_processes_multiply(two):
    assert close(two[0]["accumulated"], train(accumulate=4).model.state_dict())


def test_data_follow_from_seed_step_and_rank_only(two):
    zero, one, _ = two
    assert zero["seen"] == [2 * step for step in range(STEPS)]
    assert one["seen"] == [2 * step + 1 for step in range(STEPS)]


def test_a_contrastive_loss_over_all_processes_equals_one_big_batch(two):
    single = train(contrastive_fn, data=big).model.state_dict()
    assert close(two[0]["contrastive"], single, 2e-6)
    alone = train(contrastive_fn, accumulate=2).model.state_dict()
    assert not close(two[0]["contrastive"], alone, 1e-3)  # smaller batches differ


def test_only_the_first_process_writes_and_all_resume(two):
    zero, one, out = two
    assert (zero["main"], one["main"]) == (True, False)
    assert sorted(p.name for p in (out / "run").iterdir()) == ["log.csv", "state.pt"]
    assert len((out / "run" / "log.csv").read_text().splitlines()) == STEPS + 1
    assert zero["again"] == one["again"] and len(zero["again"]) == STEPS


def test_what_breaks_in_one_process_stops_both(two):
    zero, one, out = two
    for result in (zero, one):
        assert "stopped at step 4: the loss became nan" in result["stopped"]
        assert "stopped after step 6 of 12" in result["interrupted"]
    for name, step in (("broken", 3), ("interrupted", 6)):
        saved = torch.load(out / name / "state.pt", weights_only=True)
        assert saved["step"] == step
        assert all(t.isfinite().all() for t in saved["model"].values())


def test_means_over_processes(two):
    assert two[0]["mean"] == two[1]["mean"] == [0.5, 1.0]


def test_one_process_is_the_plain_path():
    module, x = network(), torch.ones(2, 3, requires_grad=True)
    assert (d.rank(), d.world(), d.is_main()) == (0, 1, True)
    assert d.wrap(module) is module
    assert d.all_reduce_mean(x) is x and all_gather_with_grad(x) is x
    d.barrier()


def test_the_device_is_the_one_asked_for_or_this_process_s_own(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert d.pick_device() == torch.device("cpu")
    with pytest.raises(ValueError, match="there is no CUDA device here"):
        d.pick_device("cuda")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert d.pick_device() == torch.device("cuda:0")
    for name, value in (("RANK", 3), ("WORLD_SIZE", 8), ("LOCAL_RANK", 3)):
        monkeypatch.setenv(name, str(value))
    assert d.pick_device() == torch.device("cuda:3")
    assert d.pick_device("cuda") == torch.device("cuda:3")
    assert d.pick_device("cpu") == torch.device("cpu")


if __name__ == "__main__":
    in_each_process(Path(sys.argv[1]))
