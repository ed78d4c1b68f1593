"""Typical mistakes in the exercises of 01_clip, and the hint each must get."""

PLANTED = {
    "cosines": [
        ("def cosines(a, b):\n    return a @ b.T", "bring them to length one"),
        (
            "def cosines(a, b):\n"
            "    return F.normalize(a, dim=0) @ F.normalize(b, dim=0).T",
            "you normalised each column",
        ),
        (
            "def cosines(a, b):\n    return F.normalize(a, dim=1) @ b.T",
            "a is normalised and b is not",
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
            "    return F.cross_entropy(logits.T, torch.arange(len(logits)))",
            "no picture its text",
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
            "def text_feature(states, tokens):\n"
            "    return states[torch.arange(len(states)), (tokens != 0).sum(dim=1)]",
            "one too late",
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
        (
            "def scaled_logits(cosines, s):\n    return cosines / s",
            "s is no temperature to divide by",
        ),
        (
            "def scaled_logits(cosines, s):\n"
            "    return s.log().clamp(max=100) * cosines",
            "log takes it once more",
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
    "recall_at_k": [
        (
            "def recall_at_k(cosines, k):\n"
            "    rank = (cosines > cosines.diagonal()).sum(dim=0)\n"
            "    return (rank < k).float().mean()",
            "each caption looks for its picture",
        ),
        (
            "def recall_at_k(cosines, k):\n"
            "    rank = (cosines > cosines.diagonal()[:, None]).sum(dim=1)\n"
            "    return (rank <= k).float().mean()",
            "one too many",
        ),
        (
            "def recall_at_k(cosines, k):\n"
            "    rank = (cosines >= cosines.diagonal()[:, None]).sum(dim=1)\n"
            "    return (rank < k).float().mean()",
            "does not stand before itself",
        ),
        (
            "def recall_at_k(cosines, k):\n"
            "    rank = (cosines > cosines.diagonal()).sum(dim=1)\n"
            "    return (rank < k).float().mean()",
            "rows and columns are mixed",
        ),
        (
            "def recall_at_k(cosines, k):\n"
            "    places = cosines.argsort(dim=1, descending=True)\n"
            "    return (places.diagonal() < k).float().mean()",
            "who stands at place i",
        ),
        (
            "def recall_at_k(cosines, k):\n"
            "    nearest = cosines.topk(k, dim=1, largest=False).indices\n"
            "    own = torch.arange(len(cosines))[:, None]\n"
            "    return (nearest == own).any(dim=1).float().mean()",
            "the k *farthest*",
        ),
        (
            "def recall_at_k(cosines, k):\n"
            "    nearest = cosines.topk(k, dim=1).indices\n"
            "    own = torch.arange(len(cosines))[:, None]\n"
            "    return (nearest == own).float().mean()",
            "do not divide by k",
        ),
        (
            "def recall_at_k(cosines, k):\n"
            "    rank = (cosines > cosines.diagonal()[:, None]).sum(dim=1)\n"
            "    return (rank < k).sum()",
            "a share lies between 0 and 1",
        ),
        (
            "def recall_at_k(cosines, k):\n"
            "    rank = (cosines > cosines.diagonal()[:, None]).sum(dim=1)\n"
            "    return rank < k",
            "one share for all pictures",
        ),
    ],
    "minimal_pairs": [
        (
            "def minimal_pairs(images, captions, twins):\n"
            "    own = (images * captions).sum(dim=1)\n"
            "    return (own > (images * twins).sum(dim=1)).float().mean()",
            "the length of a text has a say",
        ),
        (
            "def minimal_pairs(images, captions, twins):\n"
            "    own = (images - captions).norm(dim=1)\n"
            "    return (own < (images - twins).norm(dim=1)).float().mean()",
            "the length of a text has a say",
        ),
        (
            "def minimal_pairs(images, captions, twins):\n"
            "    texts = F.normalize(captions, dim=1)\n"
            "    best = (F.normalize(images, dim=1) @ texts.T).argmax(dim=1)\n"
            "    return (best == torch.arange(len(best))).float().mean()",
            "its only rival is its own twin",
        ),
        (
            "def minimal_pairs(images, captions, twins):\n"
            "    texts = F.normalize(torch.cat([captions, twins]), dim=1)\n"
            "    best = (F.normalize(images, dim=1) @ texts.T).argmax(dim=1)\n"
            "    return (best == torch.arange(len(best))).float().mean()",
            "its only rival is its own twin",
        ),
        (
            "def minimal_pairs(images, captions, twins):\n"
            "    x, c, t = (F.normalize(f, dim=1) for f in (images, captions, twins))\n"
            "    return (x @ c.T > x @ t.T).float().mean()",
            "every picture judged every pair",
        ),
        (
            "def minimal_pairs(images, captions, twins):\n"
            "    own = F.cosine_similarity(images, captions)\n"
            "    return (own >= F.cosine_similarity(images, twins)).float().mean()",
            "a tie is no preference",
        ),
        (
            "def minimal_pairs(images, captions, twins):\n"
            "    x, c, t = (F.normalize(f, dim=0) for f in (images, captions, twins))\n"
            "    return ((x * c).sum(dim=1) > (x * t).sum(dim=1)).float().mean()",
            "you normalised each column",
        ),
    ],
}
