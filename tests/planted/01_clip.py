"""Typical mistakes in the exercises of 01_clip, and the hint each must get."""

PLANTED = {
    "cosines": [
        ("def cosines(a, b):\n    return a @ b.T", "bring them to length one"),
        (
            "def cosines(a, b):\n"
            "    return F.normalize(a, dim=0) @ F.normalize(b, dim=0).T",
            "you normalised each column",
        ),
    ],
    "symmetric_loss": [
        (
            "def symmetric_loss(logits):\n"
            "    return F.cross_entropy(logits, torch.arange(len(logits)))",
            "no text its picture",
        ),
        (
            "def symmetric_loss(logits):\n"
            "    labels = torch.arange(len(logits))\n"
            "    rows = F.cross_entropy(logits, labels)\n"
            "    return rows + F.cross_entropy(logits.T, labels)",
            "take their mean",
        ),
        (
            "def symmetric_loss(logits):\n"
            "    labels = torch.arange(len(logits))\n"
            "    rows = F.cross_entropy(logits.softmax(1), labels)\n"
            "    return (rows + F.cross_entropy(logits.T.softmax(1), labels)) / 2",
            "softmax is there twice",
        ),
    ],
    "text_feature": [
        (
            "def text_feature(states, tokens):\n    return states[:, -1]",
            "which is padding",
        ),
        (
            "def text_feature(states, tokens):\n"
            "    last = (tokens != 0).sum(dim=1) - 2\n"
            "    return states[torch.arange(len(states)), last]",
            "one too early",
        ),
        (
            "def text_feature(states, tokens):\n    return states.mean(dim=1)",
            "the padding too",
        ),
    ],
    "scaled_logits": [
        (
            "def scaled_logits(cosines, s):\n    return s * cosines",
            "the *logarithm* of the scale",
        ),
        (
            "def scaled_logits(cosines, s):\n    return s.exp() * cosines",
            "must not exceed 100",
        ),
        (
            "def scaled_logits(cosines, s):\n"
            "    return s.clamp(max=100).exp() * cosines",
            "a limit of 100 on s itself",
        ),
        (
            "def scaled_logits(cosines, s):\n    return cosines / s.exp()",
            "you divided",
        ),
    ],
    "ensemble": [
        (
            "def ensemble(features):\n"
            "    return F.normalize(features.mean(dim=1), dim=-1)",
            "normalise *before* the mean",
        ),
        (
            "def ensemble(features):\n"
            "    return F.normalize(features, dim=-1).mean(dim=1)",
            "normalise once more",
        ),
    ],
}
