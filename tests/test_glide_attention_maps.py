"""Attention maps are what the layer computes; only a base with attention has them."""

import dataclasses

import pytest
import torch
from tiny_glide import BASE, UPSAMPLER, made, noise

from mmlearn.glide import text_shares


def given(n=2):
    tokens = torch.full((n, BASE.context), -1)
    tokens[:, :3] = torch.arange(3 * n).view(n, 3) + 300
    return noise(n, 3, 16, 16), 500, tokens


@pytest.mark.parametrize("layer", range(4))
def test_the_shares_are_the_softmax_that_the_layer_computes(layer, monkeypatch):
    stage, seen = made(BASE), []
    attend = torch.nn.functional.scaled_dot_product_attention

    def watched(q, k, v, **options):
        seen.append((q @ k.mT / q.shape[-1] ** 0.5).softmax(-1).mean(1))
        return attend(q, k, v, **options)

    shares = text_shares(stage, *given(), layer=layer)
    monkeypatch.setattr(torch.nn.functional, "scaled_dot_product_attention", watched)
    with torch.no_grad():
        x, t, tokens = given()
        said = stage.read(tokens)
        seen.clear()  # what the text transformer attends to is another matter
        stage.guess(x, torch.full([2], t), said)
    assert len(stage.unet.attentions) == len(seen) == 4
    wanted = seen[layer][:, :, : BASE.context].mT
    assert shares.shape[:2] == (2, BASE.context) and shares.shape[2] in (8, 4)
    torch.testing.assert_close(shares.flatten(2), wanted)
    spent = shares.sum(1)
    assert 0 < spent.min() and spent.max() < 1


def test_a_stage_without_maps_is_refused_and_no_hook_stays():
    for config in (UPSAMPLER, dataclasses.replace(BASE, attention_at=())):
        with pytest.raises(ValueError, match="a base that has attention"):
            text_shares(made(config), *given())
    stage = made(BASE)
    with pytest.raises(IndexError):
        text_shares(stage, *given(), layer=9)
    text_shares(stage, *given())
    assert not any(layer._forward_pre_hooks for layer in stage.unet.attentions)
