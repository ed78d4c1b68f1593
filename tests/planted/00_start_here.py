"""Typical mistakes in the exercises of 00_start_here, and the hint each must get."""

PLANTED = {
    "masked_attention": [
        (
            "def masked_attention(q, k, v, mask):\n"
            "    fit = q @ k.transpose(-2, -1) / q.shape[-1] ** 0.5\n"
            "    return fit.masked_fill(~mask, 0).softmax(dim=-1) @ v",
            "e⁰ is 1",
        ),
        (
            "def masked_attention(q, k, v, mask):\n"
            "    fit = q @ k.transpose(-2, -1) / q.shape[-1] ** 0.5\n"
            "    return (fit.softmax(dim=-1) * mask) @ v",
            "no longer add up to one",
        ),
        (
            "def masked_attention(q, k, v, mask):\n"
            "    fit = (q @ k.transpose(-2, -1)).masked_fill(~mask, float('-inf'))\n"
            "    return fit.softmax(dim=-1) @ v",
            "not divided by √d",
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
    "single_steps": [
        (
            "def single_steps(alpha_bar):\n    return 1 - alpha_bar",
            "all steps so far together",
        ),
        (
            "def single_steps(alpha_bar):\n"
            "    before = torch.cat([torch.ones(1), alpha_bar[:-1]])\n"
            "    return before - alpha_bar",
            "of what was *left*",
        ),
        (
            "def single_steps(alpha_bar):\n"
            "    beta = 1 - alpha_bar / alpha_bar.roll(1)\n"
            "    return beta",
            "all right but the first",
        ),
    ],
    "jump_between": [
        (
            "def jump_between(x, alpha_bar_s, alpha_bar_t, noise):\n"
            "    return alpha_bar_t.sqrt() * x + (1 - alpha_bar_t).sqrt() * noise",
            "the jump from x₀",
        ),
        (
            "def jump_between(x, alpha_bar_s, alpha_bar_t, noise):\n"
            "    keep = alpha_bar_t / alpha_bar_s\n"
            "    return keep.sqrt() * x + (1 - alpha_bar_t).sqrt() * noise",
            "add only what is missing",
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
            "further apart",
        ),
        (
            "def read_relation(first, second):\n"
            "    x, y = second[0] - first[0], second[1] - first[1]\n"
            "    if abs(x) > abs(y):\n"
            "        return 'left of' if x > 0 else 'right of'\n"
            "    return 'above' if y > 0 else 'below'",
            "not their corners",
        ),
    ],
}
