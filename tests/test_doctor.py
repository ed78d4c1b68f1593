"""The doctor names what is missing, damaged or too old, and what to do about it."""

import hashlib
import json
from importlib import metadata

import pytest

import mmlearn as mm
from mmlearn import diagnosis
from mmlearn.__main__ import main


@pytest.fixture
def data(tmp_path, monkeypatch):
    """A data folder with one drawing and one checkpoint, both right."""
    monkeypatch.setattr(diagnosis, "data_path", lambda *p: tmp_path.joinpath(*p))
    drawing = tmp_path / "artwork" / "noto" / "fox.webp"
    weights = tmp_path / "checkpoints" / "clip-laptop" / "model.safetensors"
    for file in (drawing, weights):
        file.parent.mkdir(parents=True)
        file.write_bytes(file.name.encode())
    digest = hashlib.sha256(b"fox.webp").hexdigest()
    (tmp_path / "artwork" / "SHA256SUMS").write_text(f"{digest}  noto/fox.webp\n")
    card = {"sha256": hashlib.sha256(b"model.safetensors").hexdigest()}
    (weights.parent / "card.json").write_text(json.dumps(card))
    return tmp_path


def lines(report):
    return [str(line) for line in report]


def test_it_reports_versions_machine_and_data(data, capsys):
    assert main(["doctor"]) == 0
    out = capsys.readouterr().out
    for word in ("Python 3", "torch 2", "CPU core", "GB memory", "artwork: 1 files"):
        assert word in out
    assert "✓ checkpoint clip-laptop" in out and "✗" not in out


def test_it_can_be_asked_in_a_notebook(data):
    report = mm.doctor()
    assert report.healthy and "All that is needed is here." in repr(report)
    assert mm.doctor().healthy, "the second call finds the function, not a module"


@pytest.mark.parametrize(
    "damage, words",
    [
        (lambda d: (d / "artwork/SHA256SUMS").unlink(), "SHA256SUMS is missing"),
        (lambda d: (d / "artwork/noto/fox.webp").unlink(), "1 of 1 files missing"),
        (
            lambda d: (d / "artwork/noto/fox.webp").write_bytes(b"?"),
            "noto/fox.webp is damaged",
        ),
        (
            lambda d: (d / "checkpoints/clip-laptop/model.safetensors").unlink(),
            "clip-laptop: its weights are missing",
        ),
        (
            lambda d: (d / "checkpoints/clip-laptop/model.safetensors").write_text("?"),
            "checkpoint clip-laptop is damaged",
        ),
        (
            lambda d: (d / "checkpoints/clip-laptop/card.json").write_text("{"),
            "its card is damaged",
        ),
    ],
)
def test_missing_and_damaged_data_are_named(data, damage, words, capsys):
    damage(data)
    assert main(["doctor"]) == 1
    (line,) = [x for x in capsys.readouterr().out.splitlines() if words in x]
    assert line.startswith("✗") and "→ git checkout data/" in line


def test_missing_and_old_packages_are_named(data, monkeypatch):
    monkeypatch.setattr(diagnosis, "requirements", lambda: {"torch": "99.1"})
    known = metadata.version

    def version(name):
        if name in ("einops", "selenium"):
            raise metadata.PackageNotFoundError(name)
        return known(name)

    monkeypatch.setattr(diagnosis.metadata, "version", version)
    report = lines(diagnosis.doctor())
    assert any(x.startswith("✗ torch") and "older than 99.1" in x for x in report)
    assert "✗ einops is not installed → python -m pip install einops" in report
    # What only tests need is told, but is no reason to fail.
    assert any(
        x.startswith("– selenium is not installed (for the tests)") for x in report
    )


def test_versions_compare_as_numbers():
    assert diagnosis.numbers("2.13.0+cpu") > diagnosis.numbers("2.6")
    assert diagnosis.numbers("10.3") > diagnosis.numbers("9.9.9")
    assert diagnosis.requirements()["torch"] == "2.6"


def test_the_command_line_refuses_in_one_sentence(monkeypatch, capsys):
    def fail(args):
        raise ValueError("there is no such thing; there are: a, b")

    monkeypatch.setattr(diagnosis, "run", fail)
    assert main(["doctor"]) == 2
    assert capsys.readouterr().err == (
        "mmlearn doctor: there is no such thing; there are: a, b\n"
    )
