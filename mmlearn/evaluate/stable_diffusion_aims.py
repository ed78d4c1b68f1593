"""What was hoped of the shipped Stable Diffusion, and what came of it, beside GLIDE's.

Four kinds of aims: right pictures by kind of scene, at least as many as was hoped and
more than GLIDE's; more than GLIDE's in every category; reconstructions about as right
as the scenes; and one picture in less than a second.
"""

import statistics
import time
from collections.abc import Sequence

from mmlearn.evaluate import glide_aims
from mmlearn.evaluate.generator_bench import Card, Judges, by_lot, judged
from mmlearn.evaluate.generator_claims import row_of
from mmlearn.evaluate.generators import Draws
from mmlearn.evaluate.intervals import wilson
from mmlearn.evaluate.judged import ALL_CLAUSES, WHOLE, Verdict, table
from mmlearn.evaluate.prompts import Prompt, fingerprint
from mmlearn.evaluate.results import load_result
from mmlearn.evaluate.stable_diffusion_reconstruction import of_real, painted
from mmlearn.world.render import draw

WANTED = {  # of GLIDE's questions, in their order
    "one thing: whole prompt": 0.97,
    "one thing: it is there": 0.97,
    "two things: colours bound": 0.85,
    "two things: their relation": 0.85,
    "one to four: so many": 0.75,
    "one thing, held-out pair: whole prompt": 0.85,
}
AIMS = tuple((q, WANTED.get(q), *rest) for q, _, *rest in glide_aims.AIMS)
KEPT = 0.97  # of what is right in real scenes is right in their reconstructions
GUIDED = {"steps": 20, "guidance": 3.0, "sampler": "dpmpp_2m"}
TIMED, SECONDS = 8, 1.0  # pictures, each of which should take less


def aims(
    prompts: Sequence[Prompt],
    verdicts: Sequence[Verdict],
    card: Card | None,
    tools,
) -> list[dict]:
    """What was hoped of Stable Diffusion before it was trained, and what came of it.

    Rows as `glide_aims.aims` has them. GLIDE's, and its interval: what GLIDE was
    measured to reach; better: whether the own score is above it; both None where GLIDE
    was asked other prompts. tools: with the model and the judge.
    """
    hoped = glide_aims.aims(prompts, verdicts, card, AIMS)
    rows = beside(hoped, prompts, "glide-aims", "question")
    whole = table(verdicts, card)
    every = [{"question": f"all: {r['category']}", "aim": None} | r for r in whole]
    rows += beside(every, prompts, "glide-bench", "category")
    rows += kept(tools.model, prompts, tools.judge)
    return [*rows, quick(tools.model, prompts)]


def beside(
    rows: Sequence[dict], prompts: Sequence[Prompt], result: str, key: str
) -> list[dict]:
    """Rows, each with GLIDE's row of the same ``key`` in a result beside it."""
    found = load_result(result)
    alike = found["prompts"]["sha256"] == fingerprint(prompts)
    kind = "the model's: all"  # of the bench's rows, which speak of controls as well
    theirs = {
        row[key]: row for row in found["rows"] if row.get("pictures", kind) == kind
    }
    return [
        row | _compared(row, theirs.get(row[key]) if alike else None) for row in rows
    ]


def _compared(own: dict, theirs: dict | None) -> dict:
    names = ("GLIDE's", "GLIDE's low", "GLIDE's high", "better")
    if theirs is None:
        return dict.fromkeys(names)
    both = None not in (own.get("corrected"), theirs.get("corrected"))
    share, low, high = (
        ("corrected", "corrected_low", "corrected_high")
        if both
        else ("share", "low", "high")
    )
    better = own[share] > theirs[share]
    found = (theirs[share], theirs[low], theirs[high], better)
    return dict(zip(names, found, strict=True))


def kept(model, prompts: Sequence[Prompt], judge: Judges) -> list[dict]:
    """How much of what is right in real scenes is right in their reconstructions.

    right: of reconstructions; n: of real scenes; share: the one over the other.
    """
    real = draw([p.record for p in prompts], model.image_size)
    scenes, own = (judged(judge, x, prompts) for x in (real, painted(model, real)))
    rows = []
    for category, aim in ((WHOLE, KEPT), (ALL_CLAUSES, KEPT)):
        found = of_real(own, scenes, category)
        if found is None:
            continue
        question = f"reconstructions, of the real scenes': {category}"
        words = {"question": question, "aim": aim, "met": found[0] >= aim}
        row = row_of(words, own, category, None)
        row |= {"n": row_of({}, scenes, category, None)["right"]}
        shares = (round(x, 4) for x in found)
        rows.append(row | dict(zip(("share", "low", "high"), shares, strict=True)))
    return rows


def quick(model: Draws, prompts: Sequence[Prompt], n: int = TIMED) -> dict:
    """How many of ``n`` pictures, drawn one by one, took less than a second each.

    "seconds a picture": their median.
    """
    texts = [p.text for p in by_lot(prompts, n)]
    model.generate(texts[:1], seed=0, progress=False, **GUIDED)  # the first costs more
    took = []
    for seed, text in enumerate(texts):
        began = time.perf_counter()
        model.generate([text], seed=seed, progress=False, **GUIDED)
        took.append(time.perf_counter() - began)
    k, n = sum(seconds < SECONDS for seconds in took), len(took)
    low, high = wilson(k, n)
    return {
        "question": f"one picture of {GUIDED['steps']} guided steps in under 1 s",
        "aim": 1.0,
        "met": k == n,
        "category": "time",
        "right": k,
        "wrong": n - k,
        "abstained": 0,
        "n": n,
        "prompts": n,
        "share": round(k / n, 4),
        "low": round(low, 4),
        "high": round(high, 4),
        "seconds a picture": float(f"{statistics.median(took):.3g}"),
    }
