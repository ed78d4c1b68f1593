"""Claims, measured: each with its control, its interval, and the weights it is true of.

    python -m mmlearn evaluate clip               # everything, into data/results/
    mm.evaluate.load_result("clip-naming")        # what was found, for a notebook
    mm.evaluate.load_prompts()                    # what models are asked to draw
    mm.evaluate.judge(images, records)            # what the judge says of pictures
    mm.evaluate.check(clause, reading)            # whether a picture bears a claim out

Nothing here is trained on what it measures.
"""

from mmlearn.evaluate import clip
from mmlearn.evaluate.clauses import Clause, check, clauses, nothing_else
from mmlearn.evaluate.intervals import bootstrap, wilson
from mmlearn.evaluate.judge import Judge, judge, load_judge, read
from mmlearn.evaluate.judged import (
    Verdict,
    corrected,
    corrected_interval,
    judge_readings,
    table,
)
from mmlearn.evaluate.prompts import Prompt, load_prompts
from mmlearn.evaluate.reading import Found, Reading, read_all
from mmlearn.evaluate.results import load_result, result_names, save_result

__all__ = [
    "Clause",
    "Found",
    "Judge",
    "Prompt",
    "Reading",
    "Verdict",
    "bootstrap",
    "check",
    "clauses",
    "clip",
    "corrected",
    "corrected_interval",
    "judge",
    "judge_readings",
    "load_judge",
    "load_prompts",
    "load_result",
    "nothing_else",
    "read",
    "read_all",
    "result_names",
    "save_result",
    "table",
    "wilson",
]
