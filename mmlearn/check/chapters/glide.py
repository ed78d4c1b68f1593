"""The checks of exercises/02_glide.ipynb; each returns None or a hint."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmlearn.check.chapters import glide_stand_ins as stand_ins
from mmlearn.check.hints import fitting, hint_for, near, random, shaped
from mmlearn.glide import PADDING, as_8_bit, known_part
from mmlearn.glide.inpainting import shrunk


def start_vectors(answer) -> str | None:
    """Tokens (n, c) and three tables to the vectors (n, c, width) of the start."""
    tokens = torch.tensor([[3, 0, 5, -1, -1], [1, -1, -1, -1, -1], [2, 4, 0, 6, 3]])
    words, positions = random(8, 4), random(5, 4, seed=1)
    padding = random(5, 4, seed=2).requires_grad_()
    unfit = {
        "size of tensor": "words[tokens] is (3, 5, 4), positions and padding (5, 4), "
        "but tokens == -1 is (3, 5) and does not fit: add one more axis, [:, :, None]",
        "shape mismatch": "there are 6 empty places, (6, 4), and padding is (5, 4): "
        "expand it to all captions and take its [empty] too, or use torch.where",
    }
    mine = fitting(answer, tokens, words, positions, padding, hints=unfit)
    mine = shaped(mine, 3, 5, 4)
    empty, pad = (tokens == PADDING)[:, :, None], padding.detach()
    word, last = words[tokens.clamp(min=0)], words[tokens] + positions
    said, both = word + positions, torch.where(empty, pad, word) + positions
    wrong = {
        "words[-1] is the *last* word, which now stands in every empty place": last,
        "word 0 now stands in every empty place": said,
        "word 0 is a word too, the first; only -1 says that none is there": (
            torch.where((tokens <= 0)[:, :, None], pad, said)
        ),
        "padding is of one position already: do not add the position to it": both,
        "padding was *added* to a word that is not there": last + pad * empty,
        "the words have no position: add one to each, or their order is lost": (
            torch.where(empty, pad, word)
        ),
        "all padding is one vector here; each position has one of its own": (
            torch.where(empty, pad[0], said)
        ),
        "empty places hold nothing; GLIDE has learned a vector for each": said * ~empty,
    }
    otherwise = "words[id] + positions where a word stands, padding where none does"
    if hint := hint_for(mine, torch.where(empty, pad, said), wrong, otherwise):
        return hint
    if not mine.requires_grad:
        return "the numbers are right, but padding gets no gradient: it is learned"
    return None


def words_and_pixels(answer) -> str | None:
    """Queries, keys, values of pixels, keys and values of words: result and share."""
    q, k, v = (2 * random(2, 3, 6, 4, seed=i) for i in range(3))
    text_k, text_v = (2 * random(2, 3, 5, 4, seed=i) for i in (3, 4))
    unfit = {"size": "these do not fit together; has every key its value? {error}"}
    mine = fitting(answer, q, k, v, text_k, text_v, hints=unfit)
    if not isinstance(mine, tuple | list) or len(mine) != 2:
        return "return two tensors: the result, and each pixel's share for words"
    keys, values = torch.cat([text_k, k], dim=2), torch.cat([text_v, v], dim=2)
    attend, fits = F.scaled_dot_product_attention, q @ keys.transpose(-2, -1)
    alone, crossed = attend(q, k, v), attend(q, text_k, text_v)
    unscaled, over_q = fits.softmax(-1) @ values, (fits / 2).softmax(-2) @ values
    mixed = attend(q, keys, torch.cat([v, text_v], dim=2))
    wrong = {
        "two softmaxes, added: so words cost the pixels nothing": alone + crossed,
        "no word is heard: this is attention among pixels alone": alone,
        "pixels cannot look at pixels any more: words *and* pixels answer": crossed,
        "keys have words first and values have pixels first: one order for both": mixed,
        "the fits are not divided by √d: the softmax is too sure": unscaled,
        "√d is the root of *one* head's width, the last axis: here √4, not √12": (
            attend(q, keys, values, scale=12**-0.5)
        ),
        "the softmax ran over those who ask; share among those who answer": over_q,
    }
    otherwise = "put words beside pixels in keys and values, then attend once, by √d"
    y = shaped(mine[0], 2, 3, 6, 4)
    if hint := hint_for(y, attend(q, keys, values), wrong, otherwise):
        return hint
    return _share_for_words(mine[1], (fits / 2).softmax(-1))


def _share_for_words(mine, shares: Tensor) -> str | None:
    """mine (n, heads, pixels), of shares (n, heads, pixels, 5 words + 6 pixels)."""
    words, pixels, last = shares[..., :5], shares[..., 5:], shares[..., -5:]
    if isinstance(mine, Tensor) and mine.shape == words.shape:
        return "the share is each single word's; add them up, to one number a pixel"
    wrong = {
        "that is the share that goes to pixels; the rest goes to words": pixels.sum(-1),
        "that is a word's share on average; all words together, please": words.mean(-1),
        "your share is of the last columns; where did you put words?": last.sum(-1),
        "all shares together are one; add up the words' alone": torch.ones(2, 3, 6),
    }
    otherwise = "the share: add up those columns of the softmax where the words stand"
    mine = shaped(mine, 2, 3, 6, what="the share for words")
    return hint_for(mine, words.sum(-1), wrong, otherwise)


def drop_captions(answer) -> str | None:
    """Tokens (n, c), some rows of them empty, by lot."""
    n, lots = 2000, torch.Generator().manual_seed(5)
    tokens = torch.randint(9, (n, 8), generator=torch.Generator().manual_seed(0))
    tokens[torch.arange(8) > (torch.arange(n) % 8)[:, None]] = PADDING
    before = tokens.clone()
    mine = shaped(answer(tokens, lots, 0.2), n, 8)
    if mine.dtype != before.dtype:
        return f"tokens are whole numbers, torch.int64; yours are {mine.dtype}"
    if not torch.equal(tokens, before):
        return "the tokens that were given have changed: the next epoch needs them"
    if ((mine == 0) & (before != 0)).any():
        return "0 is the first word of the vocabulary; where no word is there is -1"
    gone = (mine == PADDING).all(dim=1)
    if not torch.equal(mine[~gone], before[~gone]):
        return "single words are gone; draw a lot for each *caption*, of shape (n, 1)"
    share = gone.float().mean().item()
    if share in (0, 1):
        return "all captions share one lot; each should draw its own"
    if abs(share - 0.8) < 0.04:
        return "80 % are empty and 20 % are left: it is the other way round"
    if abs(share - 0.2) > 0.04:
        return f"{share:.0%} of the captions are empty, where share was 20 %"
    again = answer(before.clone(), lots, 0.2)
    if torch.equal((again == PADDING).all(dim=1), gone):
        return "the next batch loses the same rows: lots should differ every time"
    seeded = torch.Generator().manual_seed(5)
    if not torch.equal(answer(before.clone(), seeded, 0.2), mine):
        return "a generator of the same seed gave other lots: draw them from generator"
    few = [answer(before[4:8].clone(), lots, 0.2) for _ in range(200)]
    counts = {int((x == PADDING).all(dim=1).sum()) for x in few}
    if len(counts) == 1:
        number = f"of 4 captions always {counts.pop()} are empty"
        return f"{number}: 20 % of 4 was rounded; let each caption draw its own lot"
    return None


def guided(answer) -> str | None:
    """A network, called once, to guided ε and unguided variance (n, 6, h, w)."""
    n, calls = 3, []
    x, t = random(n, 3, 4, 4), torch.tensor([7, 400, 900])
    tokens = torch.tensor([[5, 2, -1], [8, -1, -1], [1, 9, 4]])
    empty = torch.full_like(tokens, PADDING)
    network = stand_ins.network_that_counts(calls, x, t, tokens)
    both = torch.cat([network(x, t, tokens), network(x, t, empty)])
    (c, var_c), (u, var_u) = (half.split(3, dim=1) for half in both.chunk(2))
    odd, even = both[::2, :3], both[1::2, :3]
    above, below = torch.stack([c, u], dim=1).flatten(0, 1).chunk(2)
    for s in (3.0, 1.0, 0.0, 1.5):
        calls.clear()
        mine = answer(network, x, t, tokens, empty, s)
        if isinstance(mine, Tensor) and mine.shape == (n, 3, 4, 4):
            return "six channels, please: ε has three, and the variance has three"
        mine = shaped(mine, n, 6, 4, 4)
        wrong = {
            "the halves have changed places: away from the caption": c + s * (u - c),
            "from ε_c, s = 1 would not be off: start from ε_u": c + s * (c - u),
            "s - 1 would fit a start from ε_c; ε_u needs s": u + (s - 1) * (c - u),
            "that is ε_c, unguided": c,
            "every second row is no half: chunk(2) cuts halves": even
            + s * (odd - even),
            "a picture's two rows stand together, so chunk(2) does not part c from u; "
            "[::2] and [1::2] would": below + s * (above - below),
        }
        otherwise = f"at s = {s:g} the first three are not ε_u + s (ε_c − ε_u)"
        if hint := hint_for(mine[:, :3], u + s * (c - u), wrong, otherwise):
            return hint
        wrong = {
            "the variance is guided too; leave it": var_u + s * (var_c - var_u),
            "the variance is that of the half without a caption": var_u,
        }
        otherwise = "the last three channels are the captioned half's, as they are"
        # At s = 0 nobody need read the captions, not even for the variance.
        if s and (hint := hint_for(mine[:, 3:], var_c, wrong, otherwise)):
            return hint
        if len(calls) != 1:
            return f"the numbers are right, in {len(calls)} calls: make one batch of it"
    return None


def upsampler_sees(answer) -> str | None:
    """Noise (n, 3, H, W) and small pictures (n, 3, h, w) to six channels."""
    x, small = random(2, 3, 12, 18), 1.1 * random(2, 3, 4, 6, seed=1).tanh()
    given = x.clone(), small.clone()
    unfit = {"size": "x is not square here, 12 × 18: enlarge to both, x.shape[-2:]"}
    mine = shaped(fitting(answer, x, small, hints=unfit), 2, 6, 12, 18)
    if not (torch.equal(x, given[0]) and torch.equal(small, given[1])):
        return "the tensors that were given have changed: make new ones"
    if near(mine[:, 3:], x):
        return "x comes first, and then the small picture"
    if not near(mine[:, :3], x):
        return "the first three channels should be x as it is: noise has no grey values"

    def large(y: Tensor, mode: str = "bilinear", **how) -> Tensor:
        return F.interpolate(y, (12, 18), mode=mode, **how)

    def grey(y: Tensor) -> Tensor:
        return (y * 127.5 + 127.5).round()

    right, cut, uncut = as_8_bit(small), small.clamp(-1, 1), grey(small) / 127.5 - 1
    floor = (cut * 127.5 + 127.5).floor() / 127.5 - 1
    wrong = {
        "nothing is rounded: no file holds these numbers": large(cut),
        "nothing is cut off or rounded: no file holds these numbers": large(small),
        "cut off what exceeds [-1, 1], first of all: no file holds it": large(uncut),
        "enlarged to blocks; bilinear is smooth": large(right, "nearest"),
        "align_corners=True moves the picture by a part of a pixel; leave it out": (
            large(right, align_corners=True)
        ),
        "this cuts down to the next grey value; round to the nearest": large(floor),
        "these are 511 values: [-1, 1] is 2 wide, so one grey value is 2/255": (
            large((cut * 255).round() / 255)
        ),
        "-1 and 1 are no grey values of yours: add 127.5 before rounding, not after": (
            large((cut * 127.5).round() / 127.5)
        ),
        "these are still 0 to 255; bring them back to [-1, 1]": large(grey(cut)),
    }
    otherwise = "cut off, to 0 … 255, round, back to [-1, 1], enlarge: in this order"
    if near(mine[:, 3:], grey(mine[:, 3:]) / 127.5 - 1):
        otherwise = "enlarged first, then rounded: the *small* one was in a file"
    return hint_for(mine[:, 3:], large(right), wrong, otherwise)


def what_is_known(answer) -> str | None:
    """Pictures and masks to what a smaller stage is shown (n, 4, size, size)."""
    images, mask = random(2, 3, 16, 16).tanh(), torch.zeros(2, 1, 16, 16)
    mask[0, :, 5:11, 3:12], mask[1, :, :7, 6:] = 1, 1
    mine = shaped(answer(images.clone(), mask.clone(), 4), 2, 4, 4, 4)
    small, hole = shrunk(images, mask, 4)
    right, keep = known_part(small, hole).split([3, 1], dim=1)
    some, one = F.adaptive_avg_pool2d(mask, 4), F.interpolate(mask, 4)
    partly, edges = F.adaptive_max_pool2d(1 - mask, 4), images * (1 - mask)
    if near(mine[:, :1], keep) or near(mine[:, :1], hole):
        return "the picture's three channels come first, the one that says where last"
    wrong = {
        "the fourth channel says where to paint; it should say what is known": hole,
        "the fourth channel is a share; a pixel is known, or it is not": 1 - some,
        "what is *partly* hole counts as known here: the hole leaks": partly,
        "a pixel is known if *all* it covers is; you asked one of them": 1 - one,
    }
    otherwise = "the fourth channel should be 1 where nothing that is covered is hole"
    if hint := hint_for(mine[:, 3:], keep, wrong, otherwise):
        return hint
    wrong = {
        "the picture shows what is in the hole: set what is not known to 0": small,
        "the picture shows the hole, and hides what is known": small * hole,
        "the hole's edge is half erased: set the *small* pixels there to 0 as well": (
            F.adaptive_avg_pool2d(edges, 4)
        ),
        "a small pixel has the *mean* colour of what it covers, not one pixel's": (
            F.interpolate(images, 4) * keep
        ),
    }
    otherwise = "small pictures, and 0 where they are not known"
    return hint_for(mine[:, :3], right, wrong, otherwise)


def widened(answer) -> str | None:
    """A convolution of 6 p² channels to one of 10 p², with the same result."""
    text = "right for patch = 1; in patches of 2 × 2 each channel becomes patch² = 4"
    text += ": 3 · patch² are x_t's, 4 · patch² tell what is known"
    for patch, unfit in ((1, {}), (2, {"size": text})):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            first = nn.Conv2d(6 * patch**2, 5, 3, padding=1)
        old = [first.weight.detach().clone(), first.bias.detach().clone()]
        wide = fitting(answer, first, patch, hints=unfit)
        if not isinstance(wide, nn.Conv2d):
            return f"return a torch.nn.Conv2d, not a {type(wide).__name__}"
        now = [first.weight, first.bias]
        if wide is first or not all(map(torch.equal, now, old)):
            return "`first` has changed; it goes on drawing, so make a new one"
        if hint := _wrong_weight(wide.weight.detach(), old[0], patch**2):
            return unfit.get("size", hint)
        if wide.bias is None or not torch.equal(wide.bias, first.bias):
            return "the bias is not that of `first`: a convolution is more than weights"
        seen = random(2, 10 * patch**2, 8, 8)
        x, _, small = seen.split([3 * patch**2, 4 * patch**2, 3 * patch**2], dim=1)
        mine, right = wide(seen), first(torch.cat([x, small], dim=1))
        if mine.shape != right.shape or not near(mine, right.detach()):
            return "the weights are right, but what comes out is not: padding=1?"
        if not (wide.weight.requires_grad and wide.bias.requires_grad):
            return "it draws the same, and cannot learn: it needs gradients"
        if wide.bias.data_ptr() == first.bias.data_ptr():
            return "both share *one* bias, which then learns for both: copy it"
    return None


def _wrong_weight(new: Tensor, old: Tensor, pixels: int) -> str | None:
    """new should be (5, 10 pixels, 3, 3), made of old (5, 6 pixels, 3, 3)."""
    if new.shape != (right := (5, 10 * pixels, 3, 3)):
        text = f"the new weight should be {right}, not {tuple(new.shape)}"
        return f"{text}: only inputs are new"
    if torch.equal(new[:, : 6 * pixels], old):
        return "the new channels stand last: they belong before the small picture's"
    if torch.equal(new[:, 4 * pixels :], old):
        return "the new channels stand first: they belong after x_t"
    x, known, small = new.split([3 * pixels, 4 * pixels, 3 * pixels], dim=1)
    if not torch.equal(torch.cat([x, small], dim=1), old):
        return "the weights for x_t, or for the small picture, are not what they were"
    if known.any():
        return "the new weights are not zero: it would draw something else at once"
    return None


def towards_clip(answer) -> str | None:
    """The mean of a step, moved by s Σ ∇ (n, 3, h, w)."""
    n, s = 4, 3.0
    mean, x_t, weight = (random(n, 3, 4, 4, seed=i) for i in range(3))
    variance = 0.05 + random(n, 3, 4, 4, seed=3).square()
    given, similarity = mean.clone(), stand_ins.opinion(weight)
    at_x, at_mean = (stand_ins.slope(similarity, x) for x in (x_t, mean))
    text = "no gradient was counted: ask for it within torch.enable_grad(), of a"
    lost = {"does not require grad": f"{text} tensor that requires_grad"}
    with torch.no_grad():
        mine = fitting(answer, mean, variance, x_t, similarity, s, hints=lost)
    mine = shaped(mine, n, 3, 4, 4)
    full, length = variance * at_x, at_x.flatten(1).norm(dim=1)[:, None, None, None]
    moves = {
        "the sign: the mean should go where the similarity *grows*": -full,
        "Σ is missing: what is nearly settled should hardly be moved": at_x,
        "that is √Σ, the deviation; the mean moves by Σ": variance.sqrt() * at_x,
        "the gradient of a *mean* shrinks as the batch grows: take the sum": full / n,
        "each gradient has length one: a CLIP in doubt pushes as hard": full / length,
        "the gradient is that at the mean; CLIP is asked about x_t": variance * at_mean,
    }
    wrong = {hint: given + s * move for hint, move in moves.items()}
    wrong["that is the shift; add it to the mean"] = s * full
    otherwise = "the new mean is mean + s · variance · gradient at x_t"
    if hint := hint_for(mine, given + s * full, wrong, otherwise):
        return hint
    if not torch.equal(mean, given):
        return "the mean that was given has changed: return a new tensor"
    if x_t.requires_grad:
        return "x_t now remembers what is done with it: detach() gives one of your own"
    if mine.requires_grad:
        return "the answer remembers how it was made; over 100 steps that fills memory"
    return None


def word_order(answer) -> str | None:
    """The share of pairs of prompts of which both pictures show the order asked for."""
    studio = stand_ins.Studio()
    mine, right = studio.ask(answer), torch.tensor(studio.share())
    wrong = {hint: torch.tensor(x) for hint, x in studio.mistakes().items()}
    otherwise = "count the pairs whose two relations are both True, of all pairs"
    return hint_for(torch.tensor(mine), right, wrong, otherwise)
