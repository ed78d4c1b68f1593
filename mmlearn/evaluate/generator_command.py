"""``python -m mmlearn evaluate MODEL`` for text-to-image models: tables, walls, files.

    bench      right pictures, with controls; by prompt; the nearest training scenes
    guidance   right pictures and how much they differ, by guidance
    steps      right pictures and how long they take, by sampler and steps

and what one model alone is measured for (`Generator.claims`). Everything is printed,
and written into data/results/ with all that measuring it again takes; beside each table
stands a wall of the pictures it speaks of.
"""

import argparse
import importlib
import time
from dataclasses import asdict, replace
from functools import partial

import torch
from torch import Tensor

from mmlearn import weights
from mmlearn.evaluate import generator_bench as bench
from mmlearn.evaluate import generator_sweeps as sweeps
from mmlearn.evaluate.generator_claims import Claim, first_sentence
from mmlearn.evaluate.generator_kinds import by_kind
from mmlearn.evaluate.generator_request import Request, read
from mmlearn.evaluate.generator_table import as_lines, hardest
from mmlearn.evaluate.generator_tools import Tools, load
from mmlearn.evaluate.judged import Verdict
from mmlearn.evaluate.prompts import Prompt, fingerprint
from mmlearn.evaluate.results import save_result
from mmlearn.evaluate.wall import wall

GROUPS = {
    "seen": "seen: combinations that training showed",
    "held_out": "held out: combinations that training never showed",
    None: "not judged: for people to look at",
}
SHOWN = 10  # prompts on the wall of a sweep
AIMED = ("aim", "GLIDE's", "seconds a picture")  # columns of aims, where there are any


def run(args: argparse.Namespace) -> int:
    """Measure, print and write; return the exit status. ValueError: bad requests."""
    request = read(args)
    tools = load(request)
    claims = {"bench": _bench, "guidance": _guidance, "steps": _steps}
    for name in request.claims:
        claims.get(name, partial(_own, name))(request, tools)
    return 0


def _bench(request: Request, tools: Tools) -> None:
    """The table with its controls, the prompts, the nearest scenes and the wall."""
    name, k = request.generator.name, request.how.samples
    stem = f"{name}-own-{request.own}" if request.own else name
    judged = [p for p in request.prompts if p.record]
    others = [p for p in request.prompts if not p.record]
    images, verdicts = [], []
    if judged:
        found = _measured(request, tools, judged, stem)
        images, verdicts = [found.images], [*found.verdicts]
    if others:
        of = f"{len(others)} of the {len(request.prompts)} prompts have no record"
        print(
            f"{of if judged else 'No prompt has a record'} of what is asked, so no "
            "program can judge the pictures: they are on the wall, for people.",
            flush=True,
        )
        images.append(bench.asked(tools.model, others, request.how))
        verdicts += [None] * (len(others) * k)
    _walls(request, tools, stem, judged + others, torch.cat(images), verdicts)


def _measured(
    request: Request, tools: Tools, prompts: list[Prompt], stem: str
) -> bench.Bench:
    """All that a program can judge: measured, printed and saved."""
    began, how, model = time.perf_counter(), request.how, tools.model
    n, seed = request.plan.training, weights.load_card(request.source).get("seed", 0)
    training = request.generator.training(n, seed, model.image_size).images
    found = bench.bench(
        model, prompts, tools.judge, training, tools.features, how, tools.card
    )
    title = f"{stem}: {len(prompts)} prompts, {how.samples} pictures of each"
    print(tools.card_lines, "", sep="\n")
    print(as_lines(found.rows, ("pictures", "category"), title=title), "", sep="\n")
    print(*hardest(found.prompts), "", sep="\n", flush=True)
    parts = {
        "bench": (found.rows, bench.bench),
        "prompts": (found.prompts, bench.by_prompt),
        "nearest": (found.distances, bench.distances),
    }
    asked = prompts, found.verdicts, tools.card
    if rows := by_kind(*asked):
        parts["kinds"] = rows, by_kind
        names = ("scenes", "split", "category")
        print(as_lines(rows, names, title=f"{stem}: kinds"), "", sep="\n")
    if (aims := request.generator.aims) and (rows := aims(*asked, tools)):
        parts["aims"] = rows, aims
        more = [name for name in AIMED if any(name in row for row in rows)]
        print(as_lines(rows, ("question",), more, f"{stem}: aims"), "", sep="\n")
    for part, (rows, function) in parts.items():
        about = first_sentence(function)
        _save(request, tools, f"{stem}-{part}", rows, about, "bench", prompts, began)
    return found


def _walls(
    request: Request,
    tools: Tools,
    stem: str,
    prompts: list[Prompt],
    images: Tensor,
    verdicts: list[Verdict | None],
) -> None:
    """One page for our prompts; for a reader's own as many as show them all."""
    k, place = request.how.samples, {prompt.id: i for i, prompt in enumerate(prompts)}
    most = min(48, max(6, (144 if tools.model.image_size <= 32 else 96) // k))
    shown, order = prompts if request.own else bench.few(prompts, most), list(GROUPS)
    shown = sorted(shown, key=lambda prompt: order.index(prompt.split))
    pages = [shown[i : i + most] for i in range(0, len(shown), most)]
    for number, page in enumerate(pages, 1):
        at = [place[prompt.id] for prompt in page]
        several = len(pages) > 1
        title = f"{request.generator.name}: {len(page)} of {len(prompts)} prompts"
        path = wall(
            request.out / f"{stem}-wall{f'-{number}' if several else ''}.png",
            images[at],
            [prompt.text for prompt in page],
            [verdict for i in at for verdict in verdicts[i * k : (i + 1) * k]],
            title=title + (f", page {number} of {len(pages)}" if several else ""),
            note=_note(request, tools),
            groups=[GROUPS[prompt.split] for prompt in page],
        )
        print(path, flush=True)


def _note(request: Request, tools: Tools, claim: str = "bench") -> str:
    """How the pictures on a wall were made and chosen."""
    how, order = request.how, "pictures stand in the order in which they were made"
    parts = [f"guidance {how.guidance:g}", f"{how.steps} steps of {how.sampler}"]
    if claim != "bench":  # the first part is what changes, or the second
        del parts[claim == "steps"]
        order = "pictures of one prompt start from the same noise"
    parts += [f"judged at {tools.model.image_size} px"] if tools.judge else []
    chosen = "All prompts are shown" if request.own else "Prompts were drawn by lot"
    parts = [f"seed {how.seed}", *parts]
    return f"{' · '.join(parts)}. {chosen}; {order}: none was picked by its score."


def _guidance(request: Request, tools: Tools) -> None:
    began, prompts, plan = time.perf_counter(), _swept(request), request.plan
    asked = (tools.model, prompts, tools.judge, tools.features, request.how)
    found = sweeps.by_guidance(*asked, plan.scales, tools.card)
    _show(request, tools, found, "guidance", prompts, began)


def _steps(request: Request, tools: Tools) -> None:
    began, prompts, plan = time.perf_counter(), _swept(request), request.plan
    how = replace(request.how, samples=plan.each or request.how.samples)
    asked = (tools.model, prompts, tools.judge, how)
    found = sweeps.by_steps(*asked, plan.samplers, plan.steps, tools.card)
    _show(request, tools, found, "steps", prompts, began)


def _swept(request: Request) -> list[Prompt]:
    """Prompts of seen combinations, by lot: held-out ones are the bench's question."""
    seen = [p for p in request.prompts if p.split == "seen"] or request.prompts
    return bench.few(seen, request.plan.swept)


def _show(
    request: Request,
    tools: Tools,
    found: sweeps.Sweep,
    claim: str,
    prompts: list[Prompt],
    began: float,
) -> None:
    """A sweep, printed and saved, and its wall."""
    name = request.generator.name
    more = ["diversity"] if "diversity" in found.rows[0] else []
    title = f"{name}: whole prompts right, by {claim}"
    print(tools.card_lines, "", sep="\n")
    print(as_lines(found.rows, found.names, [*more, "seconds a picture"], title))
    print(flush=True)
    about = first_sentence({"guidance": sweeps.by_guidance}.get(claim, sweeps.by_steps))
    path = f"{name}-{claim}"
    _save(request, tools, path, found.rows, about, claim, prompts, began)
    shown, ways = bench.few(prompts, SHOWN), len(found.heads)
    at = [prompts.index(prompt) for prompt in shown]
    path = wall(
        request.out / f"{name}-{claim}-wall.png",
        found.images[at],
        [prompt.text for prompt in shown],
        [verdict for i in at for verdict in found.verdicts[i * ways : (i + 1) * ways]],
        title=f"{name}: the same prompts, by {claim}",
        note=_note(request, tools, claim),
        heads=found.heads,
    )
    print(path, flush=True)


def _own(name: str, request: Request, tools: Tools) -> None:
    """What this model alone is measured for: printed, saved, and its wall."""
    began, model = time.perf_counter(), request.generator.name
    module = importlib.import_module(request.generator.claims[name])
    found: Claim = module.measure(request, tools)
    print(tools.card_at(found.size)[1], "", sep="\n")
    print(as_lines(found.rows, found.names, found.more, f"{model}: {found.about}"))
    print(flush=True)
    used = tools.checkpoints | found.checkpoints
    if not found.asks_model:
        used = {name: at for name, at in used.items() if at != request.source}
    tools = replace(tools, checkpoints=used)
    path = f"{model}-{name}"
    facts = {"settings": found.settings, "pictures": len(found.images)}
    asked = (found.about, name, found.prompts, began)
    _save(request, tools, path, found.rows, *asked, **facts)
    order = "the first that were asked, in their order: none was picked by its score"
    k = len(found.heads)
    path = wall(
        request.out / f"{model}-{name}-wall.png",
        found.images[:SHOWN],
        found.texts[:SHOWN],
        found.verdicts[: SHOWN * k],
        title=f"{model}: {name}",
        note=f"{found.how} · judged at {found.size} px. These are {order}.",
        heads=found.heads,
    )
    print(path, flush=True)


def _save(
    request: Request,
    tools: Tools,
    name: str,
    rows: list[dict],
    about: str,
    claim: str,
    prompts: list[Prompt],
    began: float,
    settings: dict | None = None,
    pictures: int | None = None,
) -> None:
    """One result, with all that measuring it again takes.

    settings, pictures: how, and how many at once; the request's own where None.
    """
    asked = {"n": len(prompts), "sha256": fingerprint(prompts)}
    only = "" if request.own else f" --only {claim}"
    how = request.how
    path = save_result(
        name,
        rows,
        about=about,
        command=f"python -m mmlearn evaluate {request.generator.name}{only}"
        f"{request.words}",
        seconds=time.perf_counter() - began,
        seeds=how.seeds(pictures or len(prompts) * how.samples),
        checkpoints=tools.checkpoints,
        as_of=request.as_of,
        folder=request.out,
        facts={"prompts": asked, "settings": settings or asdict(how)},
    )
    print(f"{path}: {len(rows)} rows", flush=True)
