"""`python -m mmlearn notebooks`: fresh outputs whole or not at all, measured cards."""

import base64
import io
import json

import nbformat
import numpy as np
import pytest
import sample_notebook as sample
from bs4 import BeautifulSoup  # comes with nbconvert
from PIL import Image

from mmlearn import world
from mmlearn.__main__ import main
from mmlearn.check.lint import lint
from mmlearn.notebooks import header, page, project, refresh
from mmlearn.notebooks.refresh import clean_text, with_outputs


@pytest.fixture
def book(tmp_path, monkeypatch):
    """A checkout with one notebook, and results of its own."""
    folder = tmp_path / "notebooks"
    folder.mkdir()
    monkeypatch.setattr(project, "notebooks_folder", lambda: folder)
    monkeypatch.setattr(header, "results_path", lambda: tmp_path / "results.json")
    monkeypatch.chdir(tmp_path)
    nbformat.write(sample.chapter(), folder / "09_sample.ipynb")
    return folder


def test_refresh_writes_outputs_card_and_badge_and_keeps_the_rules(book, capfd):
    path = book / "09_sample.ipynb"
    before = json.loads(path.read_text())
    assert main(["notebooks", "09", "--refresh", "--html"]) == 0
    after = json.loads(path.read_text())
    assert lint(path) == []
    assert [c["id"] for c in after["cells"]] == [c["id"] for c in before["cells"]]
    facts = json.loads((book.parent / "results.json").read_text())["09_sample"][
        "laptop"
    ]
    assert facts["seconds"] > 0 and facts["peak_mb"] > 50 and facts["torch"]
    card = "".join(after["cells"][1]["source"])
    assert "| `laptop` | under 1" in card and "CPU core" in card
    assert "Open in Colab" in "".join(after["cells"][0]["source"])
    assert "%pip install -q ./mmlearn-" in "".join(after["cells"][2]["source"])
    assert "✓ 09_sample" in capfd.readouterr().out
    html = (book.parent / "executed" / "09_sample.html").read_text(encoding="utf-8")
    assert 'alt="2 pictures: a grey slope; the same slope again"' in html


def test_a_failing_cell_leaves_the_committed_notebook_alone(book, capfd):
    path = book / "09_sample.ipynb"
    notebook = nbformat.read(path, as_version=4)
    notebook.cells.append(sample.code("shape = {}\nshape['width']"))
    nbformat.write(notebook, path)
    before = path.read_bytes()
    assert main(["notebooks", "--refresh"]) == 1
    assert path.read_bytes() == before
    assert not (book.parent / "results.json").exists()
    out = capfd.readouterr().out
    assert (
        "09_sample.ipynb, cell 10, raised KeyError: 'width' (in `shape['width']`" in out
    )


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["nothing"], "there is no notebook 'nothing'; there are: 09_sample"),
        (["--refresh", "--size", "smoke"], "committed as run at laptop size"),
    ],
)
def test_wrong_requests_get_one_sentence(book, capfd, arguments, words):
    assert main(["notebooks", *arguments]) == 2
    error = capfd.readouterr().err
    assert words in error and "Traceback" not in error


def test_headers_are_written_without_running(book, capfd):
    path = book / "09_sample.ipynb"
    assert main(["notebooks", "--headers"]) == 0
    once = path.read_bytes()
    assert b"Open in Colab" in once and b'"execution_count": null' in once
    assert main(["notebooks", "--headers"]) == 0
    assert path.read_bytes() == once and capfd.readouterr().out == "✓ 09_sample\n"


def test_badge_and_install_line_follow_the_public_address():
    unset = header.badge("01_clip", None) + header.install_line(None)
    assert "upload" in unset and unset.count(".whl") == 2
    address = "https://github.com/somebody/book"
    assert "/github/somebody/book/blob/v" in header.badge("01_clip", address)
    assert "notebooks/01_clip.ipynb" in header.badge("01_clip", address)
    assert f"git+{address}@v" in header.install_line(address)


def test_progress_bars_and_widgets_are_cleaned_away():
    bar = "\r  0%|   | 0/9 [00:00<?]\r100%|███| 9/9 [00:03<00:00, 3.1it/s]\n"
    assert clean_text("loss 1.0\n" + bar + "done\n") == "loss 1.0\ndone\n"
    assert clean_text(bar) == ""
    mime = "application/vnd.jupyter.widget-view+json"
    committed, ran = sample.chapter(), sample.chapter()
    data = {mime: {}, "text/plain": "HBox()"}
    both = [
        nbformat.v4.new_output("display_data", data=data),
        nbformat.v4.new_output("display_data", data=data | {"image/png": ""}),
    ]
    ran.cells[5].outputs = both
    kept = with_outputs(committed, ran)["cells"][5]["outputs"]
    assert [set(output["data"]) for output in kept] == [{"text/plain", "image/png"}]


def test_pages_escape_alt_text(tmp_path):
    notebook = sample.chapter()
    meta = {"image/png": {"alt": 'a "quoted" <slope>'}}
    data = {"image/png": "aGk="}
    output = nbformat.v4.new_output("display_data", data=data, metadata=meta)
    notebook.cells[5].outputs = [output]
    page.write_html(notebook, tmp_path / "page.html")
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert BeautifulSoup(text, "html.parser").img["alt"] == 'a "quoted" <slope>'


def test_a_progress_bar_that_was_displayed_is_left_out():
    bar = "100%|####| 1000/1000 [02:26<00:00,  6.83step/s, loss 0.1177]"
    outputs = [
        {"output_type": "display_data", "data": {"text/plain": text}, "metadata": {}}
        for text in (bar, "50 % of 8 are cats")
    ]
    assert refresh.clean_outputs(outputs) == outputs[1:]


def as_png(picture: Image.Image, **options) -> str:
    file = io.BytesIO()
    picture.save(file, "PNG", **options)
    return base64.b64encode(file.getvalue()).decode("ascii")


def opened(png: str) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(png)))


def test_large_pictures_are_committed_in_a_palette_that_nobody_sees():
    batch = world.scenes(48, 0, 64).images
    pixels = ((batch + 1) * 127.5).byte().permute(0, 2, 3, 1).flatten(0, 1).numpy()
    whole = Image.fromarray(pixels)
    png = as_png(whole)
    assert len(png) > refresh.LARGE
    output = {"output_type": "display_data", "data": {"image/png": png}, "metadata": {}}
    (kept,) = refresh.clean_outputs([output])
    lighter = kept["data"]["image/png"]
    assert len(lighter) < 0.6 * len(png) and output["data"]["image/png"] == png
    assert opened(lighter).size == whole.size
    seen = np.asarray(opened(lighter).convert("RGB")).astype(float)
    assert abs(seen - pixels).mean() < 4  # of 255
    assert refresh.light(lighter) == lighter  # refreshed twice, it is no worse


def test_small_and_moving_pictures_stay_as_they_are():
    lot = np.random.default_rng(0)
    frames = [Image.fromarray(lot.integers(256, size=(99, 99, 3), dtype="uint8"))] * 1
    frames += [Image.fromarray(255 - np.asarray(frames[0]))]
    moving = as_png(frames[0], save_all=True, append_images=frames[1:])
    small = as_png(frames[0].crop((0, 0, 20, 20)))
    assert len(moving) > refresh.LARGE and opened(moving).n_frames == 2
    assert refresh.light(moving) == moving and refresh.light(small) == small
