"""A small notebook that keeps every rule of a chapter, for tests of the machinery."""

import nbformat.v4 as v4

SETUP = """import os
import sys

if "google.colab" in sys.modules:  # installs on Colab, and nowhere else
    %pip install -q mmlearn
import torch
import mmlearn as mm"""
PARAMETERS = """SIZE = os.environ.get("MMLEARN_SIZE", "laptop")
SEED = int(os.environ.get("MMLEARN_SEED", "0"))
TRAIN = os.environ.get("MMLEARN_TRAIN", "0") == "1\""""
PICTURE = """images = torch.linspace(-1, 1, 64).expand(2, 3, 64, 64)
mm.show.images(images, ["a grey slope", "the same slope again"])"""
WIDGET = """def draw(brightness):
    return torch.full((3, 32, 32), brightness / 100)


mm.show.widget(draw, alt="A grey square of that brightness", brightness=(-90, 90))"""
PROOF = """mm.check.same(torch.nn.functional.gelu, torch.nn.GELU(), (2, 5))"""


def markdown(source: str, *tags: str):
    return v4.new_markdown_cell(source, metadata={"tags": list(tags)} if tags else {})


def code(source: str, *tags: str):
    return v4.new_code_cell(source, metadata={"tags": list(tags)} if tags else {})


def chapter():
    """Title, card, setup, parameters, a picture, a widget and a proof."""
    cells = [
        markdown("# A sample\n\nIt shows a slope.\n\n<!-- badge -->\n<!-- /badge -->"),
        markdown("**Card.**\n\n<!-- measured -->\n<!-- /measured -->", "card"),
        code(SETUP, "setup"),
        code(PARAMETERS, "parameters"),
        markdown("A slope has a brightness at each column. " * 300),
        code(PICTURE),
        code("print(tuple(images.shape))\nlen(images)", "nbval-check-output"),
        code(WIDGET),
        code(PROOF, "nbval-check-output"),
    ]
    for number, cell in enumerate(cells):
        cell["id"] = f"cell-{number}"
    notebook = v4.new_notebook(cells=cells)
    notebook.metadata["kernelspec"] = {
        "display_name": "Python 3 (ipykernel)",
        "language": "python",
        "name": "python3",
    }
    return notebook
