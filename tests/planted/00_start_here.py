"""Typical mistakes in the exercises of 00_start_here, and the hint each must get."""

PLANTED = {
    "attention": [
        (
            "def attention(q, k, v):\n"
            "    return (q @ k.transpose(-2, -1)).softmax(dim=-1) @ v",
            "not divided by √d",
        ),
        (
            "def attention(q, k, v):\n"
            "    fit = q @ k.transpose(-2, -1) / q.shape[-1] ** 0.5\n"
            "    return fit.softmax(dim=-2) @ v",
            "runs over the queries",
        ),
    ],
    "causal_mask": [
        (
            "def causal_mask(t):\n    return torch.ones(t, t, dtype=torch.bool).triu()",
            "the future, not the past",
        ),
        (
            "def causal_mask(t):\n"
            "    return torch.ones(t, t, dtype=torch.bool).tril(-1)",
            "keep the diagonal",
        ),
        (
            "def causal_mask(t):\n"
            "    return torch.ones(t, t, dtype=torch.bool).triu(1)",
            "'may look'",
        ),
    ],
    "split_heads": [
        (
            "def split_heads(x, heads):\n"
            '    return rearrange(x, "n t (d h) -> n h t d", h=heads)',
            "every fourth number",
        ),
        (
            "def split_heads(x, heads):\n"
            "    n, t, w = x.shape\n"
            "    return x.reshape(n, heads, t, w // heads)",
            "without moving the axes",
        ),
    ],
    "noise_schedule": [
        (
            "def noise_schedule(beta):\n    return 1 - torch.cumsum(beta, dim=0)",
            "does not add up",
        ),
        (
            "def noise_schedule(beta):\n    return torch.cumprod(beta, dim=0)",
            "what remains, 1 - β",
        ),
    ],
    "add_noise": [
        (
            "def add_noise(x0, alpha_bar, noise):\n"
            "    return alpha_bar * x0 + (1 - alpha_bar) * noise",
            "the roots are missing",
        ),
        (
            "def add_noise(x0, alpha_bar, noise):\n"
            "    a = alpha_bar ** 0.5\n"
            "    return (1 - alpha_bar) ** 0.5 * x0 + a * noise",
            "changed places",
        ),
    ],
    "read_relation": [
        (
            "def read_relation(first, second):\n"
            "    x = (second[0] + second[2] - first[0] - first[2]) / 2\n"
            "    y = (second[1] + second[3] - first[1] - first[3]) / 2\n"
            "    if abs(x) > abs(y):\n"
            "        return 'left of' if x > 0 else 'right of'\n"
            "    return 'below' if y > 0 else 'above'",
            "y grows downwards",
        ),
        (
            "def read_relation(first, second):\n"
            "    return 'left of' if first[0] < second[0] else 'right of'",
            "along which axis",
        ),
    ],
}
