"""Our attention is PyTorch's, and a block does what the paper's figure says."""

import pytest
import torch
import torch.nn.functional as F

from mmlearn.nn.attention import Attention
from mmlearn.nn.transformer import Block, Transformer, quick_gelu
from mmlearn.nn.vit import VisionTransformer

WIDTH, HEADS = 24, 4


@pytest.fixture(autouse=True)
def _fixed_seed():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


def pair(source_width: int = WIDTH) -> tuple[Attention, torch.nn.MultiheadAttention]:
    """Ours and PyTorch's with the same random weights, biases included."""
    ours = Attention(WIDTH, HEADS, source_width).double()
    theirs = torch.nn.MultiheadAttention(
        WIDTH, HEADS, kdim=source_width, vdim=source_width, batch_first=True
    ).double()
    letters = (ours.q, ours.k, ours.v)
    with torch.no_grad():
        if source_width == WIDTH:
            theirs.in_proj_weight.copy_(torch.cat([x.weight for x in letters]))
        else:
            theirs.q_proj_weight.copy_(ours.q.weight)
            theirs.k_proj_weight.copy_(ours.k.weight)
            theirs.v_proj_weight.copy_(ours.v.weight)
        theirs.in_proj_bias.copy_(torch.cat([x.bias for x in letters]))
        theirs.out_proj.weight.copy_(ours.out.weight)
        theirs.out_proj.bias.copy_(ours.out.bias)
    return ours, theirs


def test_self_attention_is_pytorchs():
    ours, theirs = pair()
    x = torch.randn(2, 7, WIDTH).double()
    assert (ours(x) - theirs(x, x, x)[0]).abs().max() < 1e-12


def test_causal_attention_is_pytorchs():
    ours, theirs = pair()
    x = torch.randn(2, 7, WIDTH).double()
    hidden = torch.ones(7, 7, dtype=torch.bool).triu(1)  # PyTorch's True means hidden
    expected = theirs(x, x, x, attn_mask=hidden)[0]
    assert (ours(x, causal=True) - expected).abs().max() < 1e-12
    assert (ours(x, mask=~hidden) - expected).abs().max() < 1e-12
    assert (ours(x) - expected).abs().max() > 1e-3


def test_masked_cross_attention_is_pytorchs():
    ours, theirs = pair(source_width=10)
    x, source = torch.randn(2, 7, WIDTH).double(), torch.randn(2, 5, 10).double()
    hidden = torch.zeros(2, 5, dtype=torch.bool)
    hidden[1, 3:] = True
    expected = theirs(x, source, source, key_padding_mask=hidden)[0]
    found = ours(x, source, mask=~hidden[:, None, None, :])
    assert (found - expected).abs().max() < 1e-12
    changed = source.masked_fill(hidden[:, :, None], 9.0)
    assert (ours(x, changed, mask=~hidden[:, None, None, :]) - found).abs().max() == 0


def test_gradients_are_pytorchs():
    ours, theirs = pair()
    x = torch.randn(2, 7, WIDTH).double()
    ours(x, causal=True).square().sum().backward()
    hidden = torch.ones(7, 7, dtype=torch.bool).triu(1)
    theirs(x, x, x, attn_mask=hidden)[0].square().sum().backward()
    stacked = torch.cat([y.weight.grad for y in (ours.q, ours.k, ours.v)])
    assert (stacked - theirs.in_proj_weight.grad).abs().max() < 1e-10
    assert (ours.out.weight.grad - theirs.out_proj.weight.grad).abs().max() < 1e-10


def test_block_is_pytorchs_pre_norm_layer():
    ours = Block(WIDTH, HEADS, F.gelu).double()
    theirs = torch.nn.TransformerEncoderLayer(
        WIDTH, HEADS, 4 * WIDTH, 0.0, "gelu", batch_first=True, norm_first=True
    ).double()
    a = ours.attention
    stack = {"in_proj_weight": "weight", "in_proj_bias": "bias"}
    state = {
        f"self_attn.{name}": torch.cat([getattr(x, kind) for x in (a.q, a.k, a.v)])
        for name, kind in stack.items()
    }
    for there, here in (
        ("self_attn.out_proj", a.out),
        ("linear1", ours.mlp.fc1),
        ("linear2", ours.mlp.fc2),
        ("norm1", ours.ln_1),
        ("norm2", ours.ln_2),
    ):
        state |= {f"{there}.{k}": v for k, v in here.state_dict().items()}
    theirs.load_state_dict(state)
    x = torch.randn(2, 7, WIDTH).double()
    assert (ours(x) - theirs(x)).abs().max() < 1e-12


def test_causal_transformer_never_sees_what_follows():
    stack = Transformer(WIDTH, 2, HEADS, quick_gelu).double()
    x = torch.randn(1, 6, WIDTH).double()
    changed = x.clone()
    changed[:, 4:] = 0
    same = stack(x, causal=True) - stack(changed, causal=True)
    assert same[:, :4].abs().max() == 0 and same[:, 4:].abs().max() > 1e-3


def test_vision_transformer_cuts_patches_in_reading_order():
    vit = VisionTransformer(8, 4, WIDTH, 0, HEADS, F.gelu)
    vit.ln_pre = torch.nn.Identity()
    image = torch.randn(1, 3, 8, 8)
    patch = image[:, :, :4, 4:].flatten()  # first row, second column: token 2
    expected = vit.patches.weight.flatten(1) @ patch + vit.positions[2]
    tokens = vit.tokens(image)
    assert tokens.shape == (1, 5, WIDTH)
    torch.testing.assert_close(tokens[0, 2], expected)
    assert vit(image).shape == (1, WIDTH)


def test_sizes_that_do_not_divide_are_refused():
    with pytest.raises(ValueError, match="not divisible"):
        Attention(10, 3)
    with pytest.raises(ValueError, match="cannot be cut"):
        VisionTransformer(30, 8, WIDTH, 1, HEADS, F.gelu)
