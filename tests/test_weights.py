"""Weights: saved whole or not at all, loaded safely or refused in one sentence."""

import hashlib
import json
import os
import pickle
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
import safetensors.torch
import torch
from torch import nn

from mmlearn import weights
from mmlearn.weights import WeightsError, atomic, directory


def network(width: int = 4) -> nn.Module:
    model = bare(width)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for p in model.parameters():
            p.copy_(torch.randn(p.shape, generator=generator))
    return model


def bare(width: int = 4) -> nn.Module:
    """The same network as it is made, before anything is put into it."""
    return nn.Sequential(nn.Linear(3, width), nn.BatchNorm1d(width))


class Holder(nn.Module):
    """A module whose buffers have the names, shapes and precision of some tensors."""

    def __init__(self, tensors: dict[str, torch.Tensor]):
        super().__init__()
        for name, tensor in tensors.items():
            self.register_buffer(name, torch.empty(tensor.shape, dtype=tensor.dtype))


@pytest.fixture
def saved(tmp_path) -> Path:
    return weights.save(
        tmp_path / "mine", network().state_dict(), {"width": 4}, {"seed": 0}
    )


def refused(call, *words: str) -> str:
    """The call is refused in one sentence that holds all the words."""
    with pytest.raises(WeightsError) as error:
        call()
    sentence = str(error.value)
    for word in words:
        assert word in sentence, sentence
    assert "\n" not in sentence
    return sentence


def test_what_is_saved_comes_back_bit_for_bit(saved):
    state = weights.load_state(saved)
    for name, tensor in network().state_dict().items():
        assert torch.equal(state[name], tensor) and state[name].dtype == tensor.dtype
    assert weights.load_config(saved) == {"width": 4}
    bytes_ = (saved / "model.safetensors").read_bytes()
    card = weights.load_card(saved)
    assert card == {
        "seed": 0,
        "sha256": hashlib.sha256(bytes_).hexdigest(),
        "bytes": len(bytes_),
        "parameters": 3 * 4 + 4 + 4 * 4 + 1,
    }
    assert sorted(p.name for p in saved.parent.iterdir()) == ["mine"]


def test_saved_files_are_readable_by_others(saved):
    mask = os.umask(0)
    os.umask(mask)
    assert saved.stat().st_mode & 0o777 == 0o777 & ~mask
    for path in saved.iterdir():
        assert path.stat().st_mode & 0o777 == 0o666 & ~mask


def test_half_precision_halves_the_file_and_comes_back_as_asked(saved, tmp_path):
    state = {"a": torch.randn(500, generator=torch.Generator().manual_seed(0))}
    state |= {"count": torch.tensor(70_000), "mask": torch.tensor([0.0, -torch.inf])}
    half = weights.save(tmp_path / "half", state, {}, half=True)
    loaded = weights.load_state(half)
    assert loaded["a"].dtype == torch.float16 and loaded["count"].item() == 70_000
    holder = weights.filled(lambda: Holder(state), loaded, half).state_dict()
    assert holder["a"].dtype == torch.float32 and holder["count"].item() == 70_000
    assert torch.equal(holder["a"], state["a"].half().float())
    assert torch.equal(holder["mask"], state["mask"])
    assert (half / "model.safetensors").stat().st_size < 500 * 4


def test_tied_and_transposed_tensors_are_saved(tmp_path):
    table = torch.arange(6.0).reshape(2, 3)
    state = {"in": table, "out": table, "turned": table.T}
    loaded = weights.load_state(weights.save(tmp_path / "tied", state, {}))
    assert all(torch.equal(loaded[name], state[name]) for name in state)


def test_a_network_is_made_without_weights_and_filled_with_those_saved(saved):
    made = []

    def build():
        made.append(bare())
        assert all(p.is_meta for p in made[0].parameters())
        return made[0]

    before, state = torch.get_rng_state(), weights.load_state(saved)
    filled = weights.filled(build, state, saved)
    assert torch.equal(torch.get_rng_state(), before)
    assert filled is made[0] and not filled.training
    for name, tensor in network().state_dict().items():
        assert torch.equal(filled.state_dict()[name], tensor), name
    assert all(p.requires_grad for p in filled.parameters())
    assert filled[0].weight.data_ptr() == state["0.weight"].data_ptr()  # not copied


@dataclass(frozen=True)
class Config:
    width: int
    groups: int = 8


def test_a_config_has_the_fields_of_its_model_or_is_of_another(tmp_path):
    def load(**fields):
        name = tmp_path / "-".join(["of", *fields])
        weights.save(name, {"x": torch.ones(1)}, fields)
        return lambda: weights.config_of(Config, name, "detector")

    assert load(groups=4, width=3)() == Config(3, 4)
    for fields in ({"width": 3}, {"width": 3, "groups": 4, "depth": 2}, {}):
        refused(load(**fields), "no detector", "should have the fields width, groups")


def test_nothing_is_overwritten_unless_asked(saved):
    before = {p.name: p.read_bytes() for p in saved.iterdir()}
    other = {"x": torch.ones(2)}
    refused(lambda: weights.save(saved, other, {}), "exists", "overwrite=True")
    assert {p.name: p.read_bytes() for p in saved.iterdir()} == before
    weights.save(saved, other, {"new": 1}, overwrite=True)
    assert list(weights.load_state(saved)) == ["x"]
    assert weights.load_config(saved) == {"new": 1}
    assert sorted(p.name for p in saved.parent.iterdir()) == ["mine"]


def test_a_folder_with_other_things_is_never_replaced(tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    refused(
        lambda: weights.save(tmp_path, {"x": torch.ones(1)}, {}, overwrite=True),
        "holds other things than a saved model",
    )
    assert (tmp_path / "thesis.txt").read_text() == "years of work"


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("where", ["weights", "config", "sync", "move"])
def test_a_disk_that_fails_leaves_everything_as_it_was(
    tmp_path, monkeypatch, where, overwrite
):
    target = tmp_path / "mine"
    if overwrite:
        weights.save(target, {"old": torch.ones(3)}, {"old": 1})
    before = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}

    def full(*args, **kwargs):
        raise OSError(28, "No space left on device")

    def half_written(tensors, path):
        Path(path).write_bytes(b"half of it")
        full()

    if where == "weights":
        monkeypatch.setattr(directory.safetensors.torch, "save_file", half_written)
    elif where == "config":
        monkeypatch.setattr(Path, "write_text", full)
    elif where == "sync":
        monkeypatch.setattr(atomic.os, "fsync", full)
    else:
        real = os.rename
        # The last move of all: with overwrite, the old directory is aside by then.
        monkeypatch.setattr(
            atomic.os,
            "rename",
            lambda a, b: full() if str(a).endswith(".tmp") else real(a, b),
        )
    refused(
        lambda: weights.save(target, {"new": torch.ones(2)}, {}, overwrite=overwrite),
        "could not be saved",
        "No space left on device",
        "nothing was changed",
    )
    monkeypatch.undo()
    assert {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()} == before
    assert len(list(tmp_path.iterdir())) == overwrite


def test_an_atomic_file_is_the_old_one_or_the_new_one(tmp_path):
    path = tmp_path / "deep" / "file"
    with atomic.atomic_file(path) as file:
        file.write(b"old")
    with pytest.raises(KeyboardInterrupt), atomic.atomic_file(path) as file:
        file.write(b"ne")
        raise KeyboardInterrupt
    assert path.read_bytes() == b"old" and os.listdir(path.parent) == ["file"]


def test_broken_weights_and_cards_are_not_saved(tmp_path):
    def save(state, config=None, card=None, **options):
        return lambda: weights.save(
            tmp_path / "no", state, config or {}, card, **options
        )

    one = torch.ones(1)
    refused(save({"a": one, "b": one * torch.nan}), "'b' holds nan")
    refused(save({"big": one * 1e5}, half=True), "'big'", "65,504", "half=False")
    refused(save({"a": one}, {"x": one}), "config.json can hold numbers")
    refused(save({"a": one}, card={"x": Path("y")}), "card.json can hold numbers")
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("kept", [0, 5, 100, -1])
def test_a_truncated_file_is_named_so(saved, kept):
    path = saved / "model.safetensors"
    whole = path.read_bytes()
    path.write_bytes(whole[:kept])
    left = len(whole[:kept])
    words = (str(path), "is truncated", f"{left:,} bytes instead of", "copy it again")
    refused(lambda: weights.load_state(saved), *words)
    refused(lambda: weights.load_safetensors(path), *words)
    if kept == -1:
        refused(lambda: weights.load_state(saved), f"instead of {len(whole):,}")


def test_exchanged_bytes_are_noticed_by_the_card(saved):
    path = saved / "model.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    found = hashlib.sha256(content).hexdigest()
    refused(
        lambda: weights.load_state(saved),
        "is not the file its card describes",
        f"SHA-256 {found[:12]}… instead of",
    )


def test_tensors_that_do_not_fit_are_named(saved):
    state = weights.load_state(saved)

    def load(change):
        expect = dict(state)
        change(expect)
        return lambda: weights.check_fit(state, expect, str(saved))

    refused(
        lambda: weights.filled(lambda: bare(width=5), state, saved),
        f"{saved} holds",
        "'0.weight' of shape [4, 3] where the network has [5, 3] (and 5 others)",
        "build the network from the config beside it",
    )
    one = refused(
        load(lambda e: e.update(extra=torch.ones(1))), "has no tensor 'extra' that"
    )
    assert "others" not in one
    refused(
        load(lambda e: e.pop("0.bias")), "a tensor '0.bias' that the network has not"
    )


class Evil:
    """A pickle that would run a program while it is read."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self):
        return (Path.touch, (self.path,))


@pytest.mark.parametrize("zipped", [True, False])
def test_a_pickle_under_any_name_is_refused_and_never_run(saved, tmp_path, zipped):
    trace = tmp_path / "it ran"
    path = saved / "model.safetensors"
    if zipped:
        torch.save({"state_dict": Evil(trace)}, path)
    else:
        path.write_bytes(pickle.dumps(Evil(trace)))
    words = ("is a pickle", "whatever its name says", "safetensors.torch.save_file")
    refused(lambda: weights.load_state(saved), *words)
    refused(lambda: weights.load_safetensors(path), *words)
    named = path.rename(tmp_path / "model.ckpt")
    refused(
        lambda: weights.load_plain_torch(named),
        "holds more than plain tensors",
        "it is refused",
        "safetensors.torch.save_file",
    )
    assert not trace.exists()


def test_original_files_of_plain_tensors_load(tmp_path):
    state = network().state_dict()
    for name, content in {
        "plain.pt": state,
        "old.pt": state,
        "training.ckpt": {"epoch": 3, "state_dict": state},
        "other.pt": {"model": state, "step": 7},
    }.items():
        old = name == "old.pt"
        torch.save(content, tmp_path / name, _use_new_zipfile_serialization=not old)
        loaded = weights.load_plain_torch(tmp_path / name)
        assert loaded.keys() == state.keys(), name
        assert all(torch.equal(loaded[n], state[n]) for n in state), name


def test_original_files_of_other_kinds_get_one_sentence(tmp_path, saved):
    def load(name, content=None):
        path = tmp_path / name
        if isinstance(content, bytes):
            path.write_bytes(content)
        elif content is not None:
            torch.save(content, path)
        return lambda: weights.load_plain_torch(path)

    refused(load("none.pt"), "there is no weights file")
    refused(
        load("text.pt", b"<html>not found</html>"), "is not a file made by torch.save"
    )
    refused(load("empty.pt", b""), "is not a file made by torch.save")
    refused(load("list.pt", [1, 2]), "holds no dictionary of tensors")
    refused(load("mixed.pt", {"a": torch.ones(1), "b": 3}), "no dictionary of tensors")
    refused(
        lambda: weights.load_plain_torch(saved / "model.safetensors"),
        "is a safetensors file: use load_safetensors",
    )
    torch.save({"a": torch.ones(1000)}, tmp_path / "cut.pt")
    cut = (tmp_path / "cut.pt").read_bytes()[:-500]
    refused(load("cut.pt", cut), "is truncated or damaged: copy it again")
    script = tmp_path / "script.pt"
    torch.jit.save(torch.jit.trace(nn.Linear(1, 1), torch.ones(1, 1)), script)
    refused(load("script.pt"), "is a TorchScript program", "torch.jit.load(path)")


def test_a_malformed_safetensors_file_gets_one_sentence(tmp_path):
    def write(header: bytes, length: int | None = None):
        path = tmp_path / "m.safetensors"
        size = len(header) if length is None else length
        path.write_bytes(size.to_bytes(8, "little") + header)
        return lambda: weights.load_safetensors(path)

    good = {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}
    words = "is not a safetensors file"
    refused(write(b"<html>hello</html>", 0x3C68746D6C3E6865), words)
    refused(write(b"not json"), words)
    refused(write(b"[1, 2]"), words)
    for change in ({"shape": ["many"]}, {"dtype": "F99"}, {"shape": [2]}):
        header = json.dumps({"a": {**good, **change}}).encode()
        refused(write(header + b"1234", len(header)), "is not a valid safetensors file")
    header = json.dumps({"a": {**good, "data_offsets": [0, "far"]}}).encode()
    refused(write(header + b"1234", len(header)), words)


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "card.json"])
def test_a_missing_file_is_named(saved, name):
    (saved / name).unlink()
    refused(lambda: (weights.load_config(saved), weights.load_state(saved)), name)


@pytest.mark.parametrize("text", ["{", "[1]", "\x00"])
def test_a_config_that_is_no_json_object_gets_one_sentence(saved, text):
    (saved / "config.json").write_text(text)
    refused(lambda: weights.load_config(saved), "config.json is not a JSON object")


def test_a_size_or_a_directory_is_found_and_the_shipped_ones_are_listed(
    tmp_path, monkeypatch, saved
):
    monkeypatch.setattr(
        directory, "data_path", lambda *parts: tmp_path.joinpath(*parts)
    )
    refused(
        lambda: weights.find("laptop", "clip"), "none is shipped", "save_pretrained"
    )
    for name in ("clip-laptop", "clip-gpu", "glide-laptop"):
        weights.save(tmp_path / "checkpoints" / name, {"x": torch.ones(1)}, {})
    assert weights.find("laptop", "clip") == tmp_path / "checkpoints" / "clip-laptop"
    assert weights.find(saved, "clip") == weights.find(str(saved), "clip") == saved
    refused(
        lambda: weights.find("lptop", "clip"),
        "there is no clip checkpoint 'lptop' (shipped: 'gpu', 'laptop')",
    )
    refused(
        lambda: weights.find(64, "clip"), "a size or a directory, not by 64", "'gpu'"
    )
    refused(lambda: weights.find(None, "clip"), "not by None")
    refused(lambda: weights.load_state(tmp_path / "none"), "there is no directory")


def test_a_checkpoint_killed_while_it_is_saved_does_not_appear(tmp_path):
    # A real process, killed when everything is written but for the last move.
    program = (
        "import os, signal, torch; from mmlearn import weights; "
        "from mmlearn.weights import atomic; "
        "atomic.os.rename = lambda a, b: os.kill(os.getpid(), signal.SIGKILL); "
        f"weights.save({str(tmp_path / 'mine')!r}, {{'x': torch.ones(9)}}, {{}})"
    )
    root = str(Path(__file__).parent.parent)
    done = subprocess.run(
        [sys.executable, "-c", program], env={**os.environ, "PYTHONPATH": root}
    )
    assert done.returncode == -9
    assert not (tmp_path / "mine").exists()
    weights.save(tmp_path / "mine", {"x": torch.ones(9)}, {})
    assert safetensors.torch.load_file(tmp_path / "mine" / "model.safetensors")
