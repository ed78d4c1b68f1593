"""A notebook as one HTML file, its alt text kept."""

from pathlib import Path

import nbformat
from nbconvert import HTMLExporter

from mmlearn.weights.atomic import atomic_file

# nbconvert's lab template drops the alt text of output figures; this one keeps it.
TEMPLATE = """
{%- extends 'lab/index.html.j2' -%}
{% block data_png scoped %}
<div class="jp-RenderedImage jp-OutputArea-output {{ extra_class }}">
<img src="data:image/png;base64,{{ output.data['image/png'] | escape_html }}"
alt="{{ (output | get_metadata('alt', 'image/png') or '') | escape_html }}">
</div>
{%- endblock data_png %}
"""


def write_html(notebook: dict, path: Path) -> None:
    """Write the page beside the executed notebook."""
    exporter = HTMLExporter(raw_template=TEMPLATE)
    exporter.embed_images = True
    exporter.language_code = "en"
    node = nbformat.from_dict(notebook)
    page, _ = exporter.from_notebook_node(node, {"metadata": {"name": path.stem}})
    with atomic_file(path) as file:
        file.write(page.encode("utf-8"))
