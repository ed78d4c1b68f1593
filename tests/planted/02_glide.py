"""Typical mistakes in the exercises of 02_glide, and the hint each must get."""

ORDER = """def word_order(draw, judge, pairs):
    orders = [order for a, b in pairs for order in ((a, b), (b, a))]
    records = [mm.world.arrange(*order, relation="left of") for order in orders]
    shown = []
    for verdict in judge(draw(records), records):
        names = [clause.category for clause in verdict.clauses]
        shown.append(verdict.answers[names.index("relation")])
    both = list(zip(shown[::2], shown[1::2]))
"""
WIDER = """def widened(first, patch):
    p = patch**2
    x, small = first.weight.data.split([3 * p, 3 * p], dim=1)
    known = torch.zeros(first.out_channels, 4 * p, 3, 3)
    wide = torch.nn.Conv2d(10 * p, first.out_channels, 3, padding=1)
    wide.weight.data.copy_(torch.cat([x, known, small], dim=1))
    wide.bias.data.copy_(first.bias.data)
    return wide
"""
LEAN = """def towards_clip(mean, variance, x_t, similarity, s):
    with torch.enable_grad():
        x = x_t.detach().requires_grad_()
        slope = torch.autograd.grad(similarity(x).sum(), x)[0]
    return mean + s * variance * slope
"""
HALVES = """def guided(network, x, t, tokens, empty, s):
    both = network(torch.cat([x, x]), torch.cat([t, t]), torch.cat([tokens, empty]))
    c, u = both.chunk(2)
    eps = u[:, :3] + s * (c[:, :3] - u[:, :3])
    return torch.cat([eps, c[:, 3:]], dim=1)
"""
GREY = """def upsampler_sees(x, small):
    grey = (small.clamp(-1, 1) * 127.5 + 127.5).round()
    small = grey / 127.5 - 1
    return torch.cat([x, F.interpolate(small, x.shape[2:], mode="bilinear")], dim=1)
"""
KNOWN = """def what_is_known(images, mask, size):
    small = F.adaptive_avg_pool2d(images, size)
    keep = 1 - F.adaptive_max_pool2d(mask, size)
    return torch.cat([small * keep, keep], dim=1)
"""
ATTEND = """def words_and_pixels(q, k, v, text_k, text_v):
    k, v = torch.cat([text_k, k], dim=2), torch.cat([text_v, v], dim=2)
    fits = q @ k.transpose(-2, -1) / q.shape[-1] ** 0.5
    shares = fits.softmax(dim=-1)
    return shares @ v, shares[..., : text_k.shape[2]].sum(dim=-1)
"""


def but(code: str, right: str, wrong: str) -> str:
    """The code with one thing in it changed."""
    assert right in code, right
    return code.replace(right, wrong)


PLANTED = {
    "start_vectors": [
        (
            "def start_vectors(tokens, words, positions, padding):\n"
            "    return words[tokens] + positions",
            "words[-1] is the *last* word",
        ),
        (
            "def start_vectors(tokens, words, positions, padding):\n"
            "    return words[tokens.clamp(min=0)] + positions",
            "word 0 now stands",
        ),
        (
            "def start_vectors(tokens, words, positions, padding):\n"
            "    empty = (tokens == -1)[:, :, None]\n"
            "    return torch.where(empty, padding, words[tokens]) + positions",
            "do not add the position to it",
        ),
        (
            "def start_vectors(tokens, words, positions, padding):\n"
            "    empty = (tokens == -1)[:, :, None]\n"
            "    return words[tokens] + positions + empty * padding",
            "padding was *added*",
        ),
        (
            "def start_vectors(tokens, words, positions, padding):\n"
            "    empty = (tokens == -1)[:, :, None]\n"
            "    return torch.where(empty, padding, words[tokens])",
            "the words have no position",
        ),
        (
            "def start_vectors(tokens, words, positions, padding):\n"
            "    empty = (tokens == -1)[:, :, None]\n"
            "    return torch.where(empty, padding[0], words[tokens] + positions)",
            "each position has one of its own",
        ),
        (
            "def start_vectors(tokens, words, positions, padding):\n"
            "    said = (tokens >= 0)[:, :, None]\n"
            "    return (words[tokens] + positions) * said",
            "GLIDE has learned a vector for each",
        ),
        (
            "def start_vectors(tokens, words, positions, padding):\n"
            "    empty = (tokens == -1)[:, :, None]\n"
            "    return torch.where(empty, padding.data, words[tokens] + positions)",
            "padding gets no gradient",
        ),
        (
            "def start_vectors(tokens, words, positions, padding):\n"
            "    return torch.where(tokens == -1, padding, words[tokens] + positions)",
            "add one more axis, [:, :, None]",
        ),
        (
            "def start_vectors(tokens, words, positions, padding):\n"
            "    x = words[tokens] + positions\n"
            "    x[tokens == -1] = padding\n"
            "    return x",
            "take its [empty] too",
        ),
        (
            "def start_vectors(tokens, words, positions, padding):\n"
            "    empty = (tokens <= 0)[:, :, None]\n"
            "    return torch.where(empty, padding, words[tokens] + positions)",
            "word 0 is a word too",
        ),
    ],
    "words_and_pixels": [
        (
            "def words_and_pixels(q, k, v, text_k, text_v):\n"
            "    attend = F.scaled_dot_product_attention\n"
            "    y = attend(q, k, v) + attend(q, text_k, text_v)\n"
            "    return y, torch.ones(q.shape[:3])",
            "words cost the pixels nothing",
        ),
        (
            "def words_and_pixels(q, k, v, text_k, text_v):\n"
            "    shares = (q @ k.transpose(-2, -1) / q.shape[-1] ** 0.5).softmax(-1)\n"
            "    return shares @ v, shares.sum(-1)",
            "no word is heard",
        ),
        (
            "def words_and_pixels(q, k, v, text_k, text_v):\n"
            "    fits = q @ text_k.transpose(-2, -1) / q.shape[-1] ** 0.5\n"
            "    return fits.softmax(-1) @ text_v, fits.softmax(-1).sum(-1)",
            "pixels cannot look at pixels",
        ),
        (but(ATTEND, "[text_v, v]", "[v, text_v]"), "one order for both"),
        (but(ATTEND, "torch.cat([text_v, v], dim=2)", "v"), "do not fit together"),
        (but(ATTEND, " / q.shape[-1] ** 0.5", ""), "the softmax is too sure"),
        (but(ATTEND, "q.shape[-1] **", "(q.shape[1] * q.shape[-1]) **"), "not √12"),
        (but(ATTEND, "q.shape[-1] ** 0.5", "q.shape[-1]"), "attend once, by √d"),
        (but(ATTEND, "softmax(dim=-1)", "softmax(dim=-2)"), "over those who ask"),
        (but(ATTEND, ".sum(dim=-1)", ""), "the share is each single word's"),
        (but(ATTEND, ".sum(dim=-1)", ".mean(dim=-1)"), "a word's share on average"),
        (but(ATTEND, ": text_k.shape[2]]", "text_k.shape[2] :]"), "goes to pixels"),
        (but(ATTEND, ": text_k.shape[2]]", "-text_k.shape[2] :]"), "did you put words"),
        (but(ATTEND, "[..., : text_k.shape[2]]", ""), "all shares together are one"),
        (
            "def words_and_pixels(q, k, v, text_k, text_v):\n"
            "    k, v = torch.cat([text_k, k], dim=2), torch.cat([text_v, v], dim=2)\n"
            "    return F.scaled_dot_product_attention(q, k, v)",
            "return two tensors",
        ),
    ],
    "drop_captions": [
        (
            "def drop_captions(tokens, generator, share):\n"
            "    lots = torch.rand(tokens.shape, generator=generator)\n"
            "    return torch.where(lots < share, -1, tokens)",
            "single words are gone",
        ),
        (
            "def drop_captions(tokens, generator, share):\n"
            "    lots = torch.rand(len(tokens), 1, generator=generator)\n"
            "    return torch.where(lots > share, -1, tokens)",
            "the other way round",
        ),
        (
            "def drop_captions(tokens, generator, share):\n"
            "    lots = torch.rand(len(tokens), 1, generator=generator)\n"
            "    return torch.where(lots < share, 0, tokens)",
            "0 is the first word",
        ),
        (
            "def drop_captions(tokens, generator, share):\n"
            "    dropped = tokens.clone()\n"
            "    dropped[: int(share * len(tokens))] = -1\n"
            "    return dropped",
            "loses the same rows",
        ),
        (
            "def drop_captions(tokens, generator, share):\n"
            "    dropped = tokens.clone()\n"
            "    order = torch.randperm(len(tokens), generator=generator)\n"
            "    dropped[order[: int(share * len(tokens))]] = -1\n"
            "    return dropped",
            "of 4 captions always 0 are empty",
        ),
        (
            "def drop_captions(tokens, generator, share):\n"
            "    again = torch.Generator().manual_seed(0)\n"
            "    lots = torch.rand(len(tokens), 1, generator=again)\n"
            "    return torch.where(lots < share, -1, tokens)",
            "loses the same rows",
        ),
        (
            "def drop_captions(tokens, generator, share):\n"
            "    lots = torch.rand(len(tokens), 1)\n"
            "    return torch.where(lots < share, -1, tokens)",
            "draw them from generator",
        ),
        (
            "def drop_captions(tokens, generator, share):\n"
            "    lots = torch.rand(len(tokens), generator=generator)\n"
            "    tokens[lots < share] = -1\n"
            "    return tokens",
            "the next epoch needs them",
        ),
        (
            "def drop_captions(tokens, generator, share):\n"
            "    lot = torch.rand(1, generator=generator)\n"
            "    return torch.where(lot < share, -1, tokens)",
            "all captions share one lot",
        ),
        (
            "def drop_captions(tokens, generator, share):\n"
            "    lots = torch.rand(len(tokens), 1, generator=generator)\n"
            "    return torch.where(lots < share, -1.0, tokens)",
            "whole numbers",
        ),
        (
            "def drop_captions(tokens, generator, share):\n"
            "    lots = torch.randn(len(tokens), 1, generator=generator)\n"
            "    return torch.where(lots < share, -1, tokens)",
            "where share was 20 %",
        ),
    ],
    "guided": [
        (but(HALVES, "c, u = both", "u, c = both"), "have changed places"),
        (but(HALVES, "u[:, :3] + s", "c[:, :3] + s"), "start from ε_u"),
        (but(HALVES, "+ s *", "+ (s - 1) *"), "would fit a start from ε_c"),
        (
            "def guided(network, x, t, tokens, empty, s):\n"
            "    return network(x, t, tokens)",
            "unguided",
        ),
        (
            "def guided(network, x, t, tokens, empty, s):\n"
            "    both = network(\n"
            "        torch.cat([x, x]), torch.cat([t, t]), torch.cat([tokens, empty])\n"
            "    )\n"
            "    c, u = both.chunk(2)\n"
            "    return u + s * (c - u)",
            "the variance is guided too",
        ),
        (but(HALVES, "c[:, 3:]", "u[:, 3:]"), "without a caption"),
        (but(HALVES, "torch.cat([eps, c[:, 3:]], dim=1)", "eps"), "six channels"),
        (but(HALVES, "both.chunk(2)", "both[::2], both[1::2]"), "no half"),
        (but(HALVES, "torch.cat([t, t])", "t"), "3 times and 6 captions"),
        (
            but(HALVES, "torch.cat([t, t])", "t.repeat_interleave(2)"),
            "row 1 of your batch has picture 1 and the time of picture 0",
        ),
        (
            but(HALVES, "torch.cat([x, x])", "x.repeat_interleave(2, dim=0)"),
            "rows of x, t and tokens no longer belong together",
        ),
        (
            but(
                HALVES,
                "torch.cat([tokens, empty])",
                "torch.stack([tokens, empty], dim=1).flatten(0, 1)",
            ),
            "and the caption of picture 1: rows of x, t and tokens",
        ),
        (
            "def guided(network, x, t, tokens, empty, s):\n"
            "    said = torch.stack([tokens, empty], dim=1).flatten(0, 1)\n"
            "    x, t = x.repeat_interleave(2, dim=0), t.repeat_interleave(2)\n"
            "    c, u = network(x, t, said).chunk(2)\n"
            "    eps = u[:, :3] + s * (c[:, :3] - u[:, :3])\n"
            "    return torch.cat([eps, c[:, 3:]], dim=1)",
            "a picture's two rows stand together",
        ),
        (
            "def guided(network, x, t, tokens, empty, s):\n"
            "    c, u = network(x, t, tokens), network(x, t, empty)\n"
            "    eps = u[:, :3] + s * (c[:, :3] - u[:, :3])\n"
            "    return torch.cat([eps, c[:, 3:]], dim=1)",
            "in 2 calls",
        ),
    ],
    "upsampler_sees": [
        (
            but(GREY, "small = grey / 127.5 - 1", "pass"),
            "nothing is cut off or",
        ),
        (but(GREY, "127.5).round()", "127.5)"), "nothing is rounded"),
        (but(GREY, ".clamp(-1, 1)", ""), "cut off what exceeds"),
        (but(GREY, 'mode="bilinear"', 'mode="nearest"'), "enlarged to blocks"),
        (but(GREY, 'mode="bilinear"', 'mode="bicubic"'), "in this order"),
        (but(GREY, '"bilinear"', '"bilinear", align_corners=True'), "align_corners"),
        (but(GREY, ".round()", ".floor()"), "round to the nearest"),
        (but(GREY, ".round()", ".byte()"), "round to the nearest"),
        (but(GREY, "small = grey / 127.5 - 1", "small = grey"), "still 0 to 255"),
        (
            but(GREY, " * 127.5 + 127.5).round()", " * 127.5).round() + 127.5"),
            "add 127.5 before rounding",
        ),
        (
            but(GREY, " * 127.5 + 127.5).round()", " * 255).round() / 2 + 127.5"),
            "511 values",
        ),
        (
            "def upsampler_sees(x, small):\n"
            '    large = F.interpolate(small, x.shape[2:], mode="bilinear")\n'
            "    grey = (large.clamp(-1, 1) * 127.5 + 127.5).round()\n"
            "    return torch.cat([x, grey / 127.5 - 1], dim=1)",
            "enlarged first, then rounded",
        ),
        (
            "def upsampler_sees(x, small):\n"
            "    grey = (small.clamp(-1, 1) * 127.5 + 127.5).round() / 127.5 - 1\n"
            '    large = F.interpolate(grey, x.shape[2:], mode="bilinear")\n'
            "    return torch.cat([large, x], dim=1)",
            "x comes first",
        ),
        (
            "def upsampler_sees(x, small):\n"
            '    large = F.interpolate(small, x.shape[2:], mode="bilinear")\n'
            "    both = torch.cat([x, large], dim=1)\n"
            "    return (both.clamp(-1, 1) * 127.5 + 127.5).round() / 127.5 - 1",
            "noise has no grey values",
        ),
        (but(GREY, "x.shape[2:]", "x.shape[-1]"), "x is not square here"),
        (but(GREY, "x.shape[2:]", "x.shape[2]"), "enlarge to both"),
        (but(GREY, "x.shape[2:]", "x.shape[:1:-1]"), "12 × 18"),
    ],
    "what_is_known": [
        (but(KNOWN, "keep = 1 - ", "keep = "), "it should say what is known"),
        (but(KNOWN, "max_pool2d(mask", "avg_pool2d(mask"), "is a share"),
        (
            but(
                KNOWN,
                "1 - F.adaptive_max_pool2d(mask",
                "F.adaptive_max_pool2d(1 - mask",
            ),
            "the hole leaks",
        ),
        (
            but(KNOWN, "F.adaptive_max_pool2d(mask", "F.interpolate(mask"),
            "you asked one of them",
        ),
        (but(KNOWN, "small * keep", "small"), "set what is not known to 0"),
        (but(KNOWN, "small * keep", "small * (1 - keep)"), "hides what is known"),
        (
            "def what_is_known(images, mask, size):\n"
            "    small = F.adaptive_avg_pool2d(images * (1 - mask), size)\n"
            "    keep = 1 - F.adaptive_max_pool2d(mask, size)\n"
            "    return torch.cat([small, keep], dim=1)",
            "half erased",
        ),
        (
            but(KNOWN, "F.adaptive_avg_pool2d(images", "F.interpolate(images"),
            "the *mean* colour",
        ),
        (but(KNOWN, "[small * keep, keep]", "[keep, small * keep]"), "come first"),
    ],
    "widened": [
        (
            but(WIDER, "[x, known, small]", "[x, small, known]"),
            "before the small picture's",
        ),
        (but(WIDER, "[x, known, small]", "[known, x, small]"), "stand first"),
        (but(WIDER, "torch.zeros", "torch.randn"), "are not zero"),
        (but(WIDER, "    wide.bias.data.copy_(first.bias.data)\n", ""), "the bias"),
        (
            but(WIDER, "padding=1", "padding=1, bias=False").replace(
                "    wide.bias.data.copy_(first.bias.data)\n", ""
            ),
            "the bias",
        ),
        (
            but(
                WIDER, "wide.bias.data.copy_(first.bias.data)", "wide.bias = first.bias"
            ),
            "*one* bias",
        ),
        (but(WIDER, ", padding=1", ""), "padding=1?"),
        (
            but(WIDER, "10 * p, first", "6 * p + 4, first").replace(
                ", 4 * p, 3", ", 4, 3"
            ),
            "each channel becomes patch² = 4",
        ),
        (but(WIDER, "[3 * p, 3 * p]", "[3, 3]"), "in patches of 2 × 2"),
        (but(WIDER, ", 4 * p, 3", ", 4, 3"), "4 · patch² tell what is known"),
        (but(WIDER, "patch**2", "patch"), "3 · patch² are x_t's"),
        (
            "def widened(first, patch):\n"
            "    old, new = first.weight.data, torch.zeros(5, 4, 3, 3)\n"
            "    wide = torch.nn.Conv2d(10, 5, 3, padding=1)\n"
            "    wide.weight.data = torch.cat([old[:, :3], new, old[:, 3:6]], dim=1)\n"
            "    wide.bias.data.copy_(first.bias.data)\n"
            "    return wide",
            "in patches of 2 × 2",
        ),
        (
            "def widened(first, patch):\n"
            "    old, new = first.weight.data, torch.zeros(5, 4 * patch**2, 3, 3)\n"
            "    wide = torch.nn.Conv2d(10 * patch**2, 5, 3, padding=1)\n"
            "    wide.weight.data = torch.cat([old[:, :3], new, old[:, 3:]], dim=1)\n"
            "    wide.bias.data.copy_(first.bias.data)\n"
            "    return wide",
            "in patches of 2 × 2",
        ),
        (
            "def widened(first, patch):\n"
            "    new = torch.zeros(len(first.weight), 4 * patch**2, 3, 3)\n"
            "    x, small = first.weight.data.chunk(2, dim=1)\n"
            "    first.weight = torch.nn.Parameter(torch.cat([x, new, small], dim=1))\n"
            "    return first",
            "`first` has changed",
        ),
        (
            "def widened(first, patch):\n"
            "    return torch.nn.Conv2d(10 * patch**2, 5, 3, padding=1)",
            "are not what they were",
        ),
        (
            but(WIDER, "    return wide", "    return wide.requires_grad_(False)"),
            "cannot learn",
        ),
    ],
    "towards_clip": [
        (but(LEAN, "mean + s", "mean - s"), "the sign"),
        (but(LEAN, "s * variance", "s"), "Σ is missing"),
        (but(LEAN, "variance *", "variance.sqrt() *"), "√Σ"),
        (but(LEAN, ".sum()", ".mean()"), "shrinks as the batch grows"),
        (
            but(
                LEAN,
                "    return",
                "    flat = slope.flatten(1)\n"
                "    slope = F.normalize(flat, dim=1).view_as(slope)\n"
                "    return",
            ),
            "a CLIP in doubt",
        ),
        (but(LEAN, "x_t.detach()", "mean.detach()"), "that at the mean"),
        (but(LEAN, "return mean +", "return"), "that is the shift"),
        (
            "def towards_clip(mean, variance, x_t, similarity, s):\n"
            "    x = x_t.detach().requires_grad_()\n"
            "    slope = torch.autograd.grad(similarity(x).sum(), x)[0]\n"
            "    return mean + s * variance * slope",
            "within torch.enable_grad()",
        ),
        (
            "def towards_clip(mean, variance, x_t, similarity, s):\n"
            "    with torch.enable_grad():\n"
            "        slope = torch.autograd.grad(similarity(x_t).sum(), x_t)[0]\n"
            "    return mean + s * variance * slope",
            "that requires_grad",
        ),
        (but(LEAN, "x_t.detach()", "x_t"), "x_t now remembers"),
        (
            "def towards_clip(mean, variance, x_t, similarity, s):\n"
            "    with torch.enable_grad():\n"
            "        x = x_t.detach().requires_grad_()\n"
            "        slope = torch.autograd.grad(similarity(x).sum(), x)[0]\n"
            "        return mean + s * variance * slope + 0 * x",
            "remembers how it was made",
        ),
        (
            but(LEAN, "return mean +", "mean +=") + "    return mean\n",
            "the mean that was given has changed",
        ),
    ],
    "word_order": [
        (
            ORDER + "    return sum(a is True for a in shown) / len(shown)",
            "of *pictures*",
        ),
        (
            ORDER
            + "    both = [pair for pair in both if None not in pair]\n"
            + "    return sum(a and b for a, b in both) / len(both)",
            "you left out pairs",
        ),
        (
            ORDER
            + "    good = [a is not False and b is not False for a, b in both]\n"
            + "    return sum(good) / len(good)",
            "you counted None for right",
        ),
        (ORDER + "    return sum(a == b for a, b in both) / len(both)", "both *wrong*"),
        (
            ORDER
            + "    return sum(a is True or b is True for a, b in both) / len(both)",
            "not one of them",
        ),
        (
            "def word_order(draw, judge, pairs):\n"
            "    orders = [order for a, b in pairs for order in ((a, b), (b, a))]\n"
            "    records = [mm.world.arrange(*o, relation='left of') for o in orders]\n"
            "    good = [v.whole is True for v in judge(draw(records), records)]\n"
            "    both = [a and b for a, b in zip(good[::2], good[1::2])]\n"
            "    return sum(both) / len(both)",
            "the background had a say",
        ),
        (ORDER + "    return both.count((True, True))", "divide by how many"),
        (ORDER + "    return sum(shown) / len(shown)", "is no number"),
        (ORDER + "    return both", "return one share"),
        (ORDER + "    return both.count((True, True)) / len(shown)", "not as pictures"),
        (
            "def word_order(draw, judge, pairs):\n"
            "    first = [mm.world.arrange(*p, relation='left of') for p in pairs]\n"
            "    second = [mm.world.arrange(*p, relation='right of') for p in pairs]\n"
            "    records = first + second\n"
            "    good = [v.whole for v in judge(draw(records), records)]\n"
            "    return sum(good) / len(good)",
            "keep one word, and exchange the things",
        ),
        (
            "def word_order(draw, judge, pairs):\n"
            "    records = [mm.world.arrange(*p, relation='left of') for p in pairs]\n"
            "    good = [v.whole for v in judge(draw(records), records)]\n"
            "    return sum(g is True for g in good) / len(good)",
            "'bus left of cat' was drawn 0 times",
        ),
        (
            "def word_order(draw, judge, pairs):\n"
            "    records = [mm.world.arrange(*p) for p in pairs]\n"
            "    good = [v.whole for v in judge(draw(records), records)]\n"
            "    return sum(g is True for g in good) / len(good)",
            "asks for no order",
        ),
        (
            but(
                ORDER,
                "judge(draw(records), records)",
                "judge(draw(records), records[::-1])",
            )
            + "    return both.count((True, True)) / len(both)",
            "by the record of another one",
        ),
        (
            but(ORDER, "draw(records)", "draw([mm.world.caption(r) for r in records])")
            + "    return both.count((True, True)) / len(both)",
            "draw takes records",
        ),
    ],
}
