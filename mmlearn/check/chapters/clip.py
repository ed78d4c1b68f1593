"""The checks of exercises/01_clip.ipynb; each returns None or a hint."""

import math

import torch
import torch.nn.functional as F

EOT = 99


def _random(*shape, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def cosines(answer) -> str | None:
    """(n, d) and (m, d) to the matrix of cosines (n, m)."""
    a, b = 3 * _random(4, 8), 5 * _random(6, 8, seed=1)
    mine, right = answer(a, b), F.normalize(a, dim=1) @ F.normalize(b, dim=1).T
    if mine.shape != right.shape:
        return f"4 pictures and 6 texts make a (4, 6) matrix, not {tuple(mine.shape)}"
    if torch.allclose(mine, right, atol=1e-5):
        return None
    if torch.allclose(mine, a @ b.T, atol=1e-4):
        return "these are dot products: longer vectors win, so bring them to length one"
    if torch.allclose(mine, F.normalize(a, dim=0) @ F.normalize(b, dim=0).T, atol=1e-5):
        return "you normalised each column; it is each *row* that is one feature"
    if torch.allclose(mine, F.normalize(a, dim=1) @ b.T, atol=1e-4):
        return "a is normalised and b is not: both need length one"
    if mine.abs().max() > 1.001:
        return f"a cosine lies between -1 and 1, and one of these is {mine.max():.2f}"
    return "divide each row by its own length, then take all dot products"


def symmetric_loss(answer) -> str | None:
    """CLIP's loss from logits (n, n): rows are pictures, columns texts."""
    logits = 3 * _random(5, 5)
    labels = torch.arange(5)
    rows, columns = F.cross_entropy(logits, labels), F.cross_entropy(logits.T, labels)
    mine, right = torch.as_tensor(answer(logits)), (rows + columns) / 2
    if mine.numel() != 1:
        return f"a loss is one number, not a tensor of shape {tuple(mine.shape)}"
    if torch.allclose(mine, right, atol=1e-5):
        return None
    if torch.allclose(mine, rows, atol=1e-5):
        return "each picture chooses its text, but no text its picture: add the columns"
    if torch.allclose(mine, columns, atol=1e-5):
        return "each text chooses its picture, but no picture its text: add the rows"
    if torch.allclose(mine, rows + columns, atol=1e-5):
        return "both directions are there; take their mean, so that it starts at ln n"
    wrong = {
        "the softmax is there twice: cross_entropy makes one of its own": (
            F.cross_entropy(logits.softmax(1), labels)
            + F.cross_entropy(logits.T.softmax(1), labels)
        )
        / 2,
        "every row was told that column 0 is right; row i's answer is column i": (
            F.cross_entropy(logits, 0 * labels) + F.cross_entropy(logits.T, 0 * labels)
        )
        / 2,
        "you added up over the pairs; take the mean, so that it starts at ln n": (
            5 * right
        ),
        "the sign is wrong: a loss falls when the right pairs get larger": -right,
    }
    for hint, value in wrong.items():
        if torch.allclose(mine, value, atol=1e-5):
            return hint
    return "make rows choose, then columns (the transpose); label i belongs to row i"


def text_feature(answer) -> str | None:
    """States (n, t, w) and tokens (n, t) to the state at each EOT (n, w)."""
    states = _random(3, 6, 4)
    tokens = torch.tensor(
        [[1, 7, EOT, 0, 0, 0], [1, 5, 6, 8, EOT, 0], [1, EOT, 0, 0, 0, 0]]
    )
    mine = answer(states, tokens)
    if mine.shape == (3, 3, 4):
        return "every row met every position: index rows and positions together, [r, p]"
    if mine.shape != (3, 4):
        return f"one state for each of 3 texts is (3, 4), not {tuple(mine.shape)}"
    if torch.allclose(mine, states[range(3), [2, 4, 1]]):
        return None
    if torch.allclose(mine, states[:, -1]):
        return (
            "you took the last position, which is padding in every one of these texts"
        )
    if torch.allclose(mine, states[:, 0]):
        return "you took the start token, which has seen nothing but itself"
    if torch.allclose(mine, states[range(3), [1, 3, 0]]):
        return "one too early: that is the last word; EOT is the token after it"
    if torch.allclose(mine, states[range(3), [3, 5, 2]]):
        return "one too late: that is the first padding; EOT is the token before it"
    if torch.allclose(mine, states.mean(1)):
        return (
            "you averaged all positions, the padding too; one of them has read it all"
        )
    return "find each row's EOT, the highest id, and take the state at that position"


def scaled_logits(answer) -> str | None:
    """Cosines (n, m) and the learned s, clamped, to logits exp(s) · cosines."""
    table = _random(3, 4).tanh()
    for start in (math.log(1 / 0.07), math.log(50), 6.0):
        s = torch.tensor([start], requires_grad=True)
        mine, right = answer(table, s), min(math.exp(start), 100) * table
        if torch.allclose(mine, right, rtol=1e-4):
            if start < 4.6 and not mine.requires_grad:
                return "the numbers are right, but s gets no gradient: it is learned"
            continue
        if torch.allclose(mine, start * table, rtol=1e-4):
            return "s is the *logarithm* of the scale; multiply by exp(s)"
        if torch.allclose(mine, table / math.exp(start), rtol=1e-4):
            return "you divided: exp(s) is the scale, the temperature is one over it"
        if torch.allclose(mine, table / start, rtol=1e-4):
            return "s is no temperature to divide by: exp(s) is the scale, a factor"
        if torch.allclose(mine, math.log(start) * table, rtol=1e-4):
            return "s is a logarithm already: exp undoes it, log takes it once more"
        if torch.allclose(mine, math.exp(start) * table, rtol=1e-4):
            return (
                f"exp({start:.0f}) is {math.exp(start):.0f}; the scale must not exceed "
                "100 (a limit of 100 on s itself would allow exp(100))"
            )
        if torch.allclose(mine, torch.full_like(mine, 100)) or (mine > 99).all():
            return "the limit works the wrong way round: it is a *largest* value"
        return "logits are exp(s) times the cosines, with exp(s) at most 100"
    return None


def ensemble(answer) -> str | None:
    """Sentence features (labels, templates, d) to a classifier (labels, d)."""
    features = _random(4, 7, 8) * torch.linspace(0.2, 5, 7)[None, :, None]
    mine = answer(features)
    unit = F.normalize(features, dim=-1)
    right = F.normalize(unit.mean(1), dim=-1)
    if mine.shape != right.shape:
        return f"one vector for each of 4 labels is (4, 8), not {tuple(mine.shape)}"
    if torch.allclose(mine, right, atol=1e-5):
        return None
    if torch.allclose(mine, unit.mean(1), atol=1e-5):
        return "the mean of unit vectors is shorter than one: normalise once more"
    if torch.allclose(mine, F.normalize(features.mean(1), dim=-1), atol=1e-5):
        return "long features outvote short ones: normalise *before* the mean too"
    if torch.allclose(mine, features.mean(1), atol=1e-5):
        return "nothing is normalised: do it before the mean and after it"
    return "normalise each sentence, average over the templates, normalise the result"


def _shares(answers) -> torch.Tensor:
    """Answers as one vector; AssertionError, with a hint, if they are no shares."""
    found = [torch.as_tensor(answer).float() for answer in answers]
    if found[0].numel() != 1:
        shape = tuple(found[0].shape)
        raise AssertionError(f"return one share for all pictures, not shape {shape}")
    found = torch.stack([share.reshape(()) for share in found])
    if found.max() > 1:
        raise AssertionError(
            f"a share lies between 0 and 1, and one of these is {found.max():.1f}: "
            "divide the number of hits by the number of pictures"
        )
    return found


def _first_hint(mine, wrong: dict) -> str | None:
    """The hint of the first mistake that yields the same shares, if any does."""
    for hint, values in wrong.items():
        if any(torch.allclose(mine, value, atol=1e-4) for value in values):
            return hint
    return None


def recall_at_k(answer) -> str | None:
    """Cosines (n, n) and k to the share of rows whose diagonal is among the k best."""
    n, ks = 20, (1, 3, 6)
    cosines = (_random(n, n) + torch.eye(n)).tanh()
    mine = _shares(answer(cosines.clone(), k) for k in ks)

    def shares(rank, shift=0):
        return torch.stack([(rank < k + shift).float().mean() for k in ks])

    own, order = cosines.diagonal(), cosines.argsort(dim=1, descending=True)
    rank = (cosines > own[:, None]).sum(1)
    right = shares(rank)
    if torch.allclose(mine, right, atol=1e-4):
        return None
    wrong = {
        "here each caption looks for its picture; let each picture, a row, look": [
            shares((cosines > own).sum(0))
        ],
        "one too many: the nearest has rank 0, so the k nearest have rank < k": [
            shares(rank, 1)
        ],
        "one too few: the own caption does not stand before itself; count with >": [
            shares(rank, -1)
        ],
        "a large cosine is near, and you took the k *farthest* captions": [
            shares((cosines < own[:, None]).sum(1))
        ],
        "argsort says who stands at place i, not at which place caption i stands": [
            shares(order.diagonal()),
            shares(cosines.argsort(dim=1).diagonal()),
        ],
        "rows and columns are mixed: own cosines as [:, None], counted over dim=1": [
            shares((cosines > own).sum(1)),
            shares((cosines > own[:, None]).sum(0)),
        ],
        "k makes no difference to your answer: that is recall at 1": [
            right[:1].expand(len(ks))
        ],
        "do not divide by k: each picture has one right caption, not k of them": [
            right / torch.tensor(ks)
        ],
        "this is the share of those that miss; count those that hit": [1 - right],
    }
    return _first_hint(mine, wrong) or (
        "a picture hits if fewer than k captions of its row have a larger cosine"
    )


# Of features (n, d) of pictures x, their captions c and the twins t: who prefers what.


def _own_wins(x, c, t):
    return (x * c).sum(1) > (x * t).sum(1)


def _nearer(x, c, t):
    return (x - c).norm(dim=1) < (x - t).norm(dim=1)


def _of_captions(x, c, t):
    return (x @ c.T).argmax(1) == torch.arange(len(x))


def _of_all(x, c, t):
    return (x @ torch.cat([c, t]).T).argmax(1) == torch.arange(len(x))


def _of_twins(x, c, t):
    return (x * c).sum(1) > (x @ t.T).amax(1)


def _everybody(x, c, t):
    return x @ c.T > x @ t.T


def _over_pictures(x, c, t):
    return (x * c).sum(0) > (x * t).sum(0)


def minimal_pairs(answer) -> str | None:
    """Features (n, d) of pictures, captions, twins to the share preferring its own."""
    n, batches = 30, []
    for seed in (0, 10, 20):
        x, c, t, sizes = (_random(n, 6, seed=seed + i) for i in range(4))
        lengths = sizes.exp()[:, :3, None].unbind(1)
        features = (2 * x, 1.5 * x + c, x + t)
        batches.append([f * size for f, size in zip(features, lengths, strict=True)])
    mine = _shares(answer(*(f.clone() for f in batch)) for batch in batches)

    def shares(prefers, dim: int = 1):
        found = [prefers(*(F.normalize(f, dim=dim) for f in b)) for b in batches]
        return torch.stack([each.float().mean() for each in found])

    def raw(prefers):
        return torch.stack([prefers(*batch).float().mean() for batch in batches])

    right = shares(_own_wins)
    if torch.allclose(mine, right, atol=1e-4):
        # A tower deaf to word order; axes of length one, so that the tie is exact.
        same = 3 * torch.eye(4)
        if torch.as_tensor(answer(2 * torch.eye(4), same, same.clone())) > 0:
            return "a tie is no preference: who only counts words would be all right"
        return None
    rivals = (_of_captions, _of_all, _of_twins)
    wrong = {
        "the length of a text has a say here: cosines need rows of length one": [
            raw(_own_wins),
            raw(_nearer),
        ],
        "you normalised each column; it is each *row* that is one feature": [
            shares(_own_wins, dim=0)
        ],
        "each picture chose from the whole batch; its only rival is its own twin": [
            *map(shares, rivals),
            *map(raw, rivals),
        ],
        "every picture judged every pair; picture i has a say on pair i alone": [
            shares(_everybody),
            raw(_everybody),
        ],
        "you added up over the pictures; a dot product runs over the features": [
            shares(_over_pictures),
            raw(_over_pictures),
        ],
        "this is the share that prefers the twin: turn the comparison round": [
            1 - right
        ],
    }
    return _first_hint(mine, wrong) or (
        "compare cosine(picture i, caption i) with cosine(picture i, twin i)"
    )
