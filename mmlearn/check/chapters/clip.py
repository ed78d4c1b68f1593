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
