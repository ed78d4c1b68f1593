"""CLIP's ResNet: counts, starting values, training, saving, bf16, bad input."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from mmlearn.clip import CLIP, clip_loss
from mmlearn.nn.resnet import Bottleneck, ResNet


@pytest.fixture(scope="module")
def images():
    generator = torch.Generator().manual_seed(1)
    return torch.rand(4, 3, 64, 64, generator=generator) * 2 - 1


def test_paper_size_counts_102_007_137_parameters():
    paper = CLIP.from_size("paper", tower="resnet", device="meta")
    assert sum(p.numel() for p in paper.parameters()) == 102_007_137
    assert paper.vision.pool.attention.heads == 32
    assert paper.text.transformer.blocks[0].attention.heads == 8


@pytest.mark.parametrize("size", ["smoke", "laptop", "gpu"])
def test_both_towers_have_as_many_parameters(size):
    counts = {}
    for tower in ("vit", "resnet"):
        clip = CLIP.from_size(size, tower=tower, device="meta")
        names = [n for n, _ in clip.named_parameters() if n.startswith(("vis", "ima"))]
        counts[tower] = sum(clip.get_parameter(name).numel() for name in names)
    assert counts["resnet"] == pytest.approx(counts["vit"], rel=0.01)


def test_at_the_start_each_block_is_its_shortcut(images):
    tower = CLIP.from_size("smoke", tower="resnet").vision
    blocks = [block for stage in tower.stages for block in stage]
    assert [len(stage) for stage in tower.stages] == [3, 4, 6, 3]
    with torch.no_grad():
        x = tower.stem(images)
        for block in blocks:
            assert isinstance(block, Bottleneck)
            y = block(x)
            assert torch.equal(y, block.shortcut(x).relu()) and y.std() > 0
            block.bn3.weight.fill_(1)
            assert not torch.equal(y, block(x))
            x = y


def test_attention_pooling_starts_at_the_published_scale():
    pool = CLIP.from_size("laptop", tower="resnet").vision.pool
    attention, width = pool.attention, 320
    weights = [layer.weight for layer in attention.children()]
    assert [w.shape[0] for w in weights] == [width, width, width, 128]
    for tensor in (*weights, pool.positions):
        assert tensor.std().item() == pytest.approx(width**-0.5, rel=0.1)


def trained(images, steps=20):
    """A smoke-sized model after a few steps on four pairs, and its losses."""
    clip = CLIP.from_size("smoke", tower="resnet").train()
    tokens = clip.tokenize(["a fox", "a red heart", "two cubes", "the moon"])
    optimizer, losses = torch.optim.AdamW(clip.parameters(), lr=1e-3), []
    for _ in range(steps):
        loss = clip_loss(*clip(images, tokens), clip.logit_scale)
        optimizer.zero_grad()
        loss.backward()
        assert [n for n, p in clip.named_parameters() if p.grad is None] == []
        optimizer.step()
        losses.append(loss.item())
    return clip.eval(), losses


def test_it_learns_and_a_saved_model_comes_back(images, tmp_path):
    clip, losses = trained(images)
    assert losses[0] > 1 and losses[-1] < 0.5  # chance is ln 4 = 1.39
    clip.save_pretrained(tmp_path / "mine")
    again = CLIP.from_pretrained(tmp_path / "mine")
    assert again.config == clip.config and not again.training
    assert again.config.vision_layers == (3, 4, 6, 3)
    assert again.vision.stem.bn1.num_batches_tracked == 20
    with torch.no_grad():
        features = clip.encode_image(images)
        assert torch.equal(again.encode_image(images), features)
        alone = torch.cat([clip.encode_image(image[None]) for image in images])
        torch.testing.assert_close(alone, features, atol=1e-4, rtol=1e-4)


def test_bf16_autocast_on_the_cpu_trains_and_encodes(images):
    clip = CLIP.from_size("smoke", tower="resnet").train()
    tokens = clip.tokenize(["a fox", "a red heart", "two cubes", "the moon"])
    exact = CLIP.from_size("smoke", tower="resnet").train()
    with torch.autocast("cpu", torch.bfloat16):
        features = clip.encode_image(images)
        clip_loss(features, clip.encode_text(tokens), clip.logit_scale).backward()
    assert all(p.grad.isfinite().all() for p in clip.parameters())
    with torch.no_grad():
        same = F.cosine_similarity(features.float(), exact.encode_image(images))
        assert same.min() > 0.99
        with torch.autocast("cpu", torch.bfloat16):
            rough = clip.eval().encode_image(images).float()
        same = F.cosine_similarity(rough, exact.eval().encode_image(images))
        assert same.min() > 0.99


def test_bad_input_gets_one_sentence():
    with pytest.raises(ValueError, match="one of vit, resnet, not 'cnn'"):
        CLIP.from_size("smoke", tower="cnn")
    clip = CLIP.from_size("smoke", tower="resnet").eval()
    with pytest.raises(ValueError, match=r"\(n, 3, 64, 64\).*\(2, 3, 96, 96\)"):
        clip.encode_image(torch.zeros(2, 3, 96, 96))
    with pytest.raises(ValueError, match=r"\(3, 4, 6, 3\) is a ResNet.*None, not 8"):
        replace(clip.config, patch_size=8)
    with pytest.raises(ValueError, match=r"4 is a vision transformer.*patch_size"):
        replace(clip.config, vision_layers=4)
    for bad, message in (
        ((64, 4, (3, 4, 6), 8), r"four stages.*\(3, 4, 6\)"),
        ((48, 4, (1, 1, 1, 1), 8), "48 px.*multiples of 32"),
        ((64, 5, (1, 1, 1, 1), 8), "5 should be even"),
    ):
        with pytest.raises(ValueError, match=message):
            ResNet(*bad)
