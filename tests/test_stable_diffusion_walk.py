"""Ways between noises: ends, lengths, angles, shapes, what is refused."""

import math
from itertools import pairwise

import pytest
import torch
from tiny_stable_diffusion import noise

from mmlearn.stable_diffusion.walk import (
    angle_between,
    circle,
    even,
    grid,
    lerp,
    slerp,
)

A, B = noise(4, 16, 16), noise(4, 16, 16, seed=1)


def test_both_ways_begin_at_the_one_and_end_at_the_other():
    for way in (lerp, slerp):
        frames = way(A, B, even(5))
        assert frames.shape == (5, 4, 16, 16) and frames.dtype == A.dtype
        assert (frames[0] - A).abs().max() < 1e-5
        assert (frames[-1] - B).abs().max() < 1e-5
        assert torch.allclose(way(A, B, 0.25), frames[1], atol=1e-6)
        assert torch.equal(way(A, B, [0.25]), way(A, B, 0.25)[None])


def test_an_arc_stays_on_the_sphere_and_a_line_cuts_through_it():
    a, b = A.double(), B.double()
    radius = A.numel() ** 0.5
    middle = {way: way(a, b, 0.5).norm() / radius for way in (lerp, slerp)}
    assert abs(middle[slerp] - 1) < 0.05 and abs(middle[lerp] - 0.5**0.5) < 0.05
    unit = [x / x.norm() for x in (a, b)]
    lengths = slerp(*unit, even(9)).flatten(1).norm(dim=1)
    assert (lengths - 1).abs().max() < 1e-12


def test_an_arc_turns_by_the_same_angle_in_every_step():
    a, b = A.double(), B.double()
    frames = slerp(a / a.norm(), b / b.norm(), even(7))
    turns = [angle_between(x, y) for x, y in pairwise(frames)]
    whole = angle_between(a, b)
    assert abs(whole - math.pi / 2) < 0.1
    assert max(turns) - min(turns) < 1e-6 and abs(sum(turns) - whole) < 1e-6


def test_between_almost_the_same_an_arc_is_a_line():
    assert torch.equal(slerp(A, A, 0.3), lerp(A, A, 0.3))
    near = A + 1e-7 * B
    assert (slerp(A, near, 0.3) - A).abs().max() < 1e-5


def test_a_circle_closes_and_its_frames_are_as_noisy_as_noise():
    frames = circle(A, B, 8)
    assert frames.shape == (8, 4, 16, 16)
    assert torch.equal(frames[0], A) and (frames[2] - B).abs().max() < 1e-6
    assert (frames[4] + A).abs().max() < 1e-6
    steps = (frames - frames.roll(-1, 0)).flatten(1).norm(dim=1)  # also last to first
    assert steps.max() / steps.min() < 1.1
    assert (frames.flatten(1).std(dim=1) - 1).abs().max() < 0.05
    assert circle(A, B, 1).shape == (1, 4, 16, 16)


def test_a_grid_has_its_corners_at_its_corners():
    corners = noise(4, 4, 8, 8, seed=2)
    frames = grid(corners, 3, 5)
    assert frames.shape == (3, 5, 4, 8, 8)
    for place, corner in zip(
        ((0, 0), (0, -1), (-1, 0), (-1, -1)), corners, strict=True
    ):
        assert (frames[place] - corner).abs().max() < 1e-5
    side = slerp(corners[0], corners[2], 0.5)
    assert (frames[1, 0] - side).abs().max() < 1e-5
    assert (frames.flatten(2).std(dim=2) - 1).abs().max() < 0.15
    assert grid(corners, 1, 1).shape == (1, 1, 4, 8, 8)


def test_precision_is_kept():
    assert slerp(A.double(), B.double(), even(3)).dtype == torch.float64
    assert lerp(A.half(), B.half(), 0.5).dtype == torch.float16


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (
            lambda: lerp(A, B[:3], 0.5),
            r"one shape, not \(4, 16, 16\) and \(3, 16, 16\)",
        ),
        (lambda: slerp(A, None, 0.5), "tensors of floats, not None"),
        (lambda: slerp(A.int(), B, 0.5), "tensors of floats, not torch.int32"),
        (lambda: slerp(A, -A, 0.5), "between opposite vectors there is no one arc"),
        (lambda: slerp(A, 0 * A, 0.5), "no angle to a vector of length 0"),
        (lambda: slerp(A, A / 0, 0.5), "no angle to a vector of length 0"),
        (lambda: slerp(A, B, [[0.5]]), "shares are one finite number"),
        (lambda: lerp(A, B, []), "shares are one finite number"),
        (lambda: lerp(A, B, float("nan")), "shares are one finite number"),
        (lambda: circle(A, B, 0), "n must be a whole number from 1, not 0"),
        (lambda: grid(noise(3, 4, 8, 8), 2, 2), r"four corners \(4, …\), not \(3, 4"),
        (lambda: grid(noise(4, 4, 8, 8), 0, 2), "rows must be a whole number from 1"),
        (lambda: even(0), "n must be a whole number from 1"),
    ],
)
def test_ways_that_cannot_be_are_refused(call, sentence):
    with pytest.raises(ValueError, match=sentence):
        call()
