"""The checks of exercises/05_stable_diffusion.ipynb; each returns None or a hint."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmlearn.check.chapters import stable_diffusion_edits as edits
from mmlearn.check.chapters import stable_diffusion_mistakes as mistakes
from mmlearn.check.chapters import stable_diffusion_stand_ins as stand_ins
from mmlearn.check.chapters import stable_diffusion_turns as turns
from mmlearn.check.hints import fitting, hint_for, near, random, shaped
from mmlearn.diffusion import Schedule, evenly_spaced


def latent_and_kl(answer) -> str | None:
    """Mean and log of the variance (n, c, h, w) to a draw and its KL (n,)."""
    shape = n, _, _, _ = 6, 4, 48, 48
    mean = 3 + random(*shape)
    logvar = torch.tensor([-2.0, -2.0, 1.0, 1.0])[:, None, None].expand(shape).clone()
    lots = torch.Generator().manual_seed(5)
    given = mean.clone(), logvar.clone()
    mine = answer(*given, lots)
    if not isinstance(mine, tuple | list) or len(mine) != 2:
        return "return two tensors: the latents that were drawn, and the KL"
    for name, before, now in zip(
        ("mean", "logvar"), (mean, logvar), given, strict=True
    ):
        if not torch.equal(before, now):
            return (
                f"`{name}` that you were given was changed: `+=`, `*=`, `exp_()` and "
                "their like write into it; make a new tensor"
            )
    z = shaped(mine[0], *shape, what="what was drawn")
    if hint := mistakes.wrong_draw(z, mean, logvar):
        return hint
    again = answer(mean.clone(), logvar.clone(), lots)[0]
    if near(again, z):
        return "the next call draws the same: go on with `generator`, make no new one"
    seeded = answer(mean.clone(), logvar.clone(), torch.Generator().manual_seed(5))[0]
    if not near(seeded, z):
        return "a generator of the same seed drew something else: draw from `generator`"
    kl, var, z = mine[1], logvar.exp(), z.detach()
    if isinstance(kl, Tensor) and kl.shape == ():
        return (
            "the KL is one number for the whole batch; each picture has its own, (n,)"
        )
    if isinstance(kl, Tensor) and kl.shape == shape:
        return "this is each latent's KL; a picture's is their sum, so (n,)"
    each = {
        "all of it is halved: ½ (μ² + σ² − 1 − ln σ²)": 2
        * (mean**2 + var - 1 - logvar),
        "that is σ where σ² should be: logvar is the log of the *variance*, e^logvar": (
            mean**2 + (logvar / 2).exp() - 1 - logvar
        ),
        "the logarithm is taken away, not added: it keeps σ from shrinking to 0": (
            mean**2 + var - 1 + logvar
        ),
        "ln σ² is logvar itself, and you have half of it": (
            mean**2 + var - 1 - logvar / 2
        ),
        "the − 1 is missing: N(0, 1) itself must get 0": mean**2 + var - logvar,
        "μ is not squared": mean + var - 1 - logvar,
        "that is μ² of the latent that was drawn; the KL is of the distribution, so it "
        "takes `mean` itself": z**2 + var - 1 - logvar,
        "the sign: a KL is never negative": -(mean**2 + var - 1 - logvar),
    }
    wrong = {hint: x.flatten(1).sum(dim=1) / 2 for hint, x in each.items()}
    right = (mean**2 + var - 1 - logvar).flatten(1).sum(dim=1) / 2
    wrong["that is the *mean* over a picture's latents; the KL of all is their sum"] = (
        right / mean[0].numel()
    )
    otherwise = "the KL should be ½ Σ (μ² + σ² − 1 − ln σ²), summed over each picture"
    kl = shaped(kl, n, what="the KL")
    if kl.isnan().any():
        return (
            "the KL is nan: logvar *is* ln σ² already; where it is negative it has no "
            "logarithm and no root"
        )
    return hint_for(kl, right, wrong, otherwise)


def in_latents(answer) -> str | None:
    """A class around an encoder and a decoder, which measures a scale and uses it."""
    first, other = (random(8, 3, 32, 32, seed=i) for i in (0, 1))
    first = first * torch.linspace(0.2, 3, 8)[:, None, None, None]  # dull to glaring
    other = 0.4 * other[:3, :, :16]
    mine = answer(stand_ins.encode, stand_ins.decode, first.clone())
    latents, given = stand_ins.encode(first), stand_ins.encode(other)
    if hint := mistakes.wrong_scale(getattr(mine, "scale", None), latents, first):
        return hint
    scale = float(mine.scale)
    z = shaped(mine.encode(other.clone()), *given.shape, what="what encode gives")
    wrong = {
        "encode gives latents of the autoencoder's own size: multiply by the scale": (
            given
        ),
        "encode measures a new scale on what it is given: the scale belongs to the "
        "autoencoder, and is measured once": given / given.std(),
        "encode divides by the scale, and should multiply": given / scale,
        "encode takes the mean away too; Stable Diffusion only multiplies": (
            (given - latents.mean()) * scale
        ),
    }
    otherwise = "encode should give the scale times what the encoder says"
    if hint := hint_for(z, given * scale, wrong, otherwise):
        return hint
    z = 0.8 * random(3, 4, 8, 16, seed=2)
    picture = shaped(mine.decode(z.clone()), 3, 3, 16, 32, what="what decode gives")
    wrong = {
        "the decoder was never told of the scale: divide before it": stand_ins.decode(
            z
        ),
        "decode multiplies by the scale, and encode did already: divide": (
            stand_ins.decode(z * scale)
        ),
        "the *picture* was divided by the scale; the latents should be": (
            stand_ins.decode(z) / scale
        ),
    }
    otherwise = "decode should give the decoder latents / scale"
    return hint_for(picture, stand_ins.decode(z / scale), wrong, otherwise)


def geglu(answer) -> str | None:
    """Tokens (n, t, width) and two linear maps: gated, (n, t, width)."""
    x, (fc1, fc2) = 2 * random(2, 4, 6), (nn.Linear(6, 48), nn.Linear(24, 6))
    for seed, layer in enumerate((fc1, fc2), 1):
        layer.weight.data = random(*layer.weight.shape, seed=seed) / 2
        layer.bias.data = random(*layer.bias.shape, seed=seed + 2)
    text = "fc1 makes 48 numbers of each token and fc2 wants 24: halve the *last* axis"
    mine = fitting(answer, x.clone(), fc1, fc2, hints={"mat1 and mat2": text})
    mine, (h, gate) = shaped(mine, 2, 4, 6), fc1(x).chunk(2, dim=2)
    ways = {
        "the first half gates the second; published weights have the gate *last*": (
            F.gelu(h) * gate
        ),
        "both halves went through GELU; one of them is what is let through": (
            F.gelu(h) * F.gelu(gate)
        ),
        "the halves are added; a gate multiplies": h + F.gelu(gate),
        "no GELU: the product of two linear maps alone": h * gate,
        "GELU of the product; only the gate goes through it": F.gelu(h * gate),
        "the first half is gone: this is a gate with nothing to let through": F.gelu(
            gate
        ),
        "the gate is never used": h,
        "this is GLU, with a sigmoid; GEGLU has a GELU": h * gate.sigmoid(),
        "this is ReGLU, with a ReLU; GEGLU has a GELU": h * gate.relu(),
        "this is SwiGLU, with a SiLU; GEGLU has a GELU": h * F.silu(gate),
        "GELU by its approximation with tanh; Stable Diffusion takes the exact one": (
            h * F.gelu(gate, approximate="tanh")
        ),
        "every second number is no half: chunk(2, dim=-1) cuts halves": (
            fc1(x)[..., ::2] * F.gelu(fc1(x)[..., 1::2])
        ),
    }
    right, wrong = fc2(h * F.gelu(gate)), {hint: fc2(y) for hint, y in ways.items()}
    wrong["x is added; that is done outside, where the layer norm is"] = x + right
    otherwise = "fc1, halve, first half · GELU(second half), fc2: in this order"
    return hint_for(mine, right, wrong, otherwise)


def cross_attention(answer) -> str | None:
    """Places, words, three weights, heads: the result, and each word's share."""
    text = (
        "keys and values are of the *words*, through w_k and w_v, which are as wide as "
    )
    text += "words are; queries are of the picture, through w_q"
    size = "these do not fit together: {error}"
    # First all sizes are alike, so that mistakes run through; then they are not.
    for places, k, width, source in ((6, 6, 8, 8), (6, 5, 8, 10)):
        x, words = 2 * random(2, places, width), 2 * random(2, k, source, seed=1)
        w_q = random(width, width, seed=2)
        w_k, w_v = (random(width, source, seed=i) for i in (3, 4))
        given = x, words, w_q / 2, w_k / 2, w_v / 2
        hints = {"mat1 and mat2": text, "size": size, "shape": size}
        mine = fitting(answer, *given, 2, hints=hints)
        if not isinstance(mine, tuple | list) or len(mine) != 2:
            return "return two tensors: the result, and each word's share"
        if hint := mistakes.wrong_heads(mine[0], *given):
            return hint
        y = shaped(mine[0], 2, places, width)
        if hint := mistakes.wrong_attention(y, *given):
            return hint
        q = stand_ins.parted(x @ given[2].T, 2)
        keys = stand_ins.parted(words @ given[3].T, 2)
        right = (q @ keys.transpose(2, 3) / 2).softmax(3)
        if isinstance(mine[1], Tensor) and mine[1].shape == (2, places, k):
            return "the shares are one head's, or an average; each head has its own"
        shares = shaped(mine[1], 2, 2, places, k, what="the shares")
        wrong = {"these are the fits; the shares are what the softmax makes of them": (
            q @ keys.transpose(2, 3) / 2
        )}  # fmt: skip
        otherwise = "the shares are those with which the values were averaged"
        if hint := hint_for(shares, right, wrong, otherwise):
            return hint
    return None


def v_and_back(answer) -> str | None:
    """The target, and a guess v as x0 and ε, each (n, c, h, w)."""
    x0, noise, v = (random(4, 2, 5, 5, seed=i) for i in range(3))
    sigma = torch.tensor([0.6, 0.28, 1.0, 0.0])
    alpha = (1 - sigma.square()).sqrt()
    axes = "alpha is (4,) and x0 is (4, 2, 5, 5): it needs three more axes, "
    axes += "alpha[:, None, None, None]"
    place = "the 4 numbers of alpha or sigma meet axis {} of x0, (4, 2, 5, 5). They "
    place += "belong on axis 0: all three new axes come *after* it"
    hints = {f"dimension {i}": place.format(i) for i in (1, 2)}
    given = x0.clone(), noise.clone(), v.clone(), alpha.clone(), sigma.clone()
    mine = fitting(answer, *given, hints={**hints, "size": axes})
    if not isinstance(mine, tuple | list) or len(mine) != 3:
        return "return three tensors: the target, x0 and ε"
    names = "the target", "x0", "ε"
    parts = [shaped(y, 4, 2, 5, 5, what=w) for y, w in zip(mine, names, strict=True)]
    if not all(part.isfinite().all() for part in parts):
        return (
            "there are infinities: at α = 0 no picture is left and at σ = 0 no noise: "
            "divide by neither; the formulas of v need no division"
        )
    return turns.wrong_v(parts, x0, noise, v, alpha, sigma)


def slerp(answer) -> str | None:
    """Two noises (c, h, w) and a share to what lies between them on the arc."""
    a, b = random(4, 6, 6), 1.5 * random(4, 6, 6, seed=1)
    # Of small vectors even a cosine that was not divided by the lengths has an acos.
    for size in (0.02, 1.0):
        for s in (0.25, 0.8, 0.0, 1.0):
            given = size * a, size * b
            mine = shaped(answer(*(x.clone() for x in given), s), 4, 6, 6)
            if hint := turns.wrong_arc(mine, *given, s):
                return hint
    return turns.wrong_when_parallel(answer)


def away_from(answer) -> str | None:
    """A network, called once, guided by prompts and away from negative prompts."""
    prompts = ["a cat", "a red star", "two blue cubes"]
    negative = ["", "red", "a dog at night"]
    n, x, t = 3, random(3, 4, 5, 5), torch.tensor([7, 400, 900])
    network = stand_ins.Network(x, t, prompts, negative)

    def says(texts: list[str]) -> Tensor:
        return network.says(x, t, stand_ins.read(texts))

    c, u, g = (says(texts) for texts in (prompts, [""] * n, negative))
    every = says([" ".join(negative)] * n)
    for s in (4.0, 1.0, 0.0):
        network.calls.clear()
        given = x.clone(), t.clone(), [*prompts], [*negative]
        mine = shaped(answer(network, stand_ins.read, *given, s), n, 4, 5, 5)
        wrong = {
            "nobody listens to what is not wanted: the empty prompt stands where the "
            "negative one should": u + s * (c - u),
            "this goes *towards* what is not wanted: the negative prompt stands in "
            "place of the prompt; it takes that of the empty one": u + s * (g - u),
            "the halves have changed places: away from the prompt, towards what is not "
            "wanted": c + s * (g - c),
            "the sign: go from the negative *to* the prompt": g - s * (c - g),
            "from ε_c, s = 1 would not be off: start from ε_n": c + s * (c - g),
            "s - 1 would fit a start from ε_c; ε_n needs s": g + (s - 1) * (c - g),
            "that starts from the empty prompt, so that s = 1 is not the prompt alone: "
            "start from ε_n, and no third answer is needed": u + s * (c - g),
            "three answers: s (ε_c − ε_n) needs only two, and starts from ε_n": (
                u + s * (c - u) - (g - u)
            ),
            "that is ε_c, unguided": c,
            "that is what is *not* wanted, alone": g,
            "all negative prompts became one text; each picture has its own": (
                every + s * (c - every)
            ),
        }
        otherwise = f"at s = {s:g} this is not ε_n + s (ε_c − ε_n)"
        if hint := hint_for(mine, g + s * (c - g), wrong, otherwise):
            return hint
        if len(network.calls) != 1:
            return (
                f"the numbers are right, in {len(network.calls)} calls: make one batch "
                "of it"
            )
    return None


def image_to_image(answer) -> str | None:
    """Pictures and a strength to the steps that are taken, and where they start."""
    images, scale = random(2, 3, 12, 16).tanh(), 0.3
    noise, bar = random(2, 4, 6, 8, seed=1), Schedule.scaled_linear().alphas_bar
    z, uneven = stand_ins.encode(images), [5, 30, 120, 500, 999]
    even = [(20, 0.6), (10, 1.0), (100, 0.29), (8, 0.25), (10, 0.33), (100, 0.07)]
    cases = [(evenly_spaced(1000, steps), strength) for steps, strength in even]
    cases += [(uneven, 0.6), (uneven, 0.2), (evenly_spaced(1000, 10), 0.0)]
    for times, strength in cases:
        given = images.clone(), stand_ins.encode, scale, noise.clone(), bar.clone()
        steps = [*times]
        try:
            mine = answer(*given, steps, strength)
        except IndexError:
            if strength > 0:
                raise
            return (
                "at strength 0 no step is taken: no times, and the latents as they are"
            )
        if not isinstance(mine, tuple | list) or len(mine) != 2:
            return "return two things: the list of times, and the latents to start from"
        if steps != times:
            return (
                "the list `timesteps` itself was changed, and its owner still needs "
                "it: reverse() turns it in place, [::-1] makes a new one"
            )
        if hint := edits.wrong_times(mine[0], times, strength):
            return hint
        x = shaped(mine[1], *z.shape, what="the start")
        if strength == 0 and not near(x, scale * z):
            return "at strength 0 nothing is changed: the scaled latents, without noise"
        if strength and (
            hint := edits.wrong_start(x, z, noise, scale, bar, mine[0], strength)
        ):
            return hint
        if x.dtype != images.dtype:
            return (
                f"the numbers are right, but of {x.dtype}, as `bar` is; the pictures "
                f"are {images.dtype}, and so is the decoder: bar[t].item() is a plain "
                "number"
            )
    return None
