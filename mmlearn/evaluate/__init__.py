"""Claims, measured: each with its control, its interval, and the weights it is true of.

    python -m mmlearn evaluate clip               # everything, into data/results/
    mm.evaluate.load_result("clip-naming")        # what was found, for a notebook

Nothing here is trained on what it measures.
"""

from mmlearn.evaluate import clip
from mmlearn.evaluate.intervals import bootstrap, wilson
from mmlearn.evaluate.results import load_result, result_names, save_result

__all__ = ["bootstrap", "clip", "load_result", "result_names", "save_result", "wilson"]
