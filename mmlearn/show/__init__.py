"""Pictures, charts and widgets: everything a notebook shows goes through here.

Every picture is an opaque PNG (so it reads on light and on dark pages) and carries
alt text (so it reads without eyes).
"""

from mmlearn.show.charts import bars, lines, matrix
from mmlearn.show.comparison import dots
from mmlearn.show.diagram_book import book_map
from mmlearn.show.diagram_clip import clip_figure
from mmlearn.show.diagram_glide import glide_figure
from mmlearn.show.diagram_stable_diffusion import stable_diffusion_figure
from mmlearn.show.diagram_unet import unet_diagram
from mmlearn.show.figures import COLOURS, INK, PAPER, axes, figure, to_image
from mmlearn.show.mask_painter import Painter, painter
from mmlearn.show.moving import animation
from mmlearn.show.pictures import grid, images
from mmlearn.show.tables import table
from mmlearn.show.widgets import widget

__all__ = [
    "COLOURS",
    "INK",
    "PAPER",
    "Painter",
    "animation",
    "axes",
    "bars",
    "book_map",
    "clip_figure",
    "dots",
    "figure",
    "glide_figure",
    "grid",
    "images",
    "lines",
    "matrix",
    "painter",
    "stable_diffusion_figure",
    "table",
    "to_image",
    "unet_diagram",
    "widget",
]
