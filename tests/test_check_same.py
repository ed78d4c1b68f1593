"""`check.same` tells equal from almost equal, and says what differs where."""

import pytest
import torch
from torch import nn

import mmlearn as mm


class Theirs(nn.Module):
    """Single-head attention with a zero-initialised way out."""

    def __init__(self, dim=8, wrong=""):
        super().__init__()
        self.to_qkv = nn.Linear(dim, 3 * dim)
        self.out = nn.Linear(dim, dim)
        self.wrong = wrong
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(self, x):
        q, k, v = self.to_qkv(x).chunk(3, dim=-1)
        scale = 1.0 if self.wrong == "scale" else x.shape[-1] ** -0.5
        weights = (q @ k.mT * scale).softmax(-1)
        if self.wrong == "detach":
            weights = weights.detach()
        if self.wrong == "shape":
            weights, x = weights[:, :1], x[:, :1]
        return x + (v if self.wrong == "out" else self.out(weights @ v))


class Mine(nn.Module):
    """The same with other names and three projections instead of one."""

    def __init__(self, dim=8, swapped=False):
        super().__init__()
        self.q, self.k, self.v = (nn.Linear(dim, dim) for _ in range(3))
        self.project = nn.Linear(dim, dim)
        self.swapped = swapped

    def forward(self, x):
        q, k, v = self.q(x), self.k(x), self.v(x)
        q, k = (v, k) if self.swapped else (q, k)
        return x + self.project((q @ k.mT / x.shape[-1] ** 0.5).softmax(-1) @ v)


def split(tensors):
    """Their state dict as mine."""
    new = {}
    for kind in ("weight", "bias"):
        parts = tensors[f"to_qkv.{kind}"].chunk(3)
        new |= {f"{n}.{kind}": p for n, p in zip("qkv", parts, strict=True)}
        new[f"project.{kind}"] = tensors[f"out.{kind}"]
    return new


def test_equal_modules_get_a_line(capsys):
    verdict = mm.check.same(Theirs(), Theirs(), (2, 5, 8))
    assert verdict.passed
    assert capsys.readouterr().out.startswith("✓ same: outputs and gradients of")


def test_weights_move_through_a_function_and_gradients_with_them():
    assert mm.check.same(Mine(), Theirs(), (2, 5, 8), rename=split)


def test_weights_move_through_names_and_prefixes():
    class Renamed(nn.Module):
        def __init__(self):
            super().__init__()
            self.b, self.a = nn.Linear(4, 4), nn.Linear(4, 4)

        def forward(self, x):
            return self.b(self.a(x).relu())

    theirs = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4))
    assert mm.check.same(Renamed(), theirs, (3, 4), rename={"0": "a", "2": "b"})
    with pytest.raises(AssertionError, match=r"copied in order.*pass rename="):
        mm.check.same(Renamed(), theirs, (3, 4))


@pytest.mark.parametrize(
    "wrong, words",
    [
        ("scale", r"the output of shape \(2, 5, 8\) differs by up to"),
        ("detach", "same output .* another gradient: the gradient of (input|weight)"),
        ("shape", r"output has the shape \(2, 1, 8\), not \(2, 5, 8\)"),
        ("out", "the output of shape"),
    ],
)
def test_each_mistake_is_named(wrong, words):
    """The zero-initialised way out would hide all four, were it left at zero."""
    with pytest.raises(AssertionError, match=words):
        mm.check.same(Theirs(wrong=wrong), Theirs(), (2, 5, 8))


def test_a_wrong_epsilon_of_one_millionth_is_found():
    with pytest.raises(AssertionError, match="differs by up to"):
        mm.check.same(nn.LayerNorm(8, eps=1e-6), nn.LayerNorm(8), (4, 8))


def test_a_tanh_gelu_is_found_and_functions_need_no_weights():
    assert mm.check.same(nn.functional.gelu, nn.GELU(), (4, 8))
    with pytest.raises(AssertionError):
        mm.check.same(nn.GELU(approximate="tanh"), nn.functional.gelu, (4, 8))


def test_weights_that_cannot_be_copied_are_named():
    with pytest.raises(AssertionError, match=r"yours has q.weight \(8, 8\) where"):
        mm.check.same(Mine(), Theirs(), (2, 5, 8))
    with pytest.raises(AssertionError, match=r"only yours has 1\.weight"):
        two = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
        mm.check.same(two, nn.Sequential(nn.Linear(4, 4)), (3, 4))
    with pytest.raises(AssertionError, match="rename names 'nothing'"):
        mm.check.same(Theirs(), Theirs(), (2, 5, 8), rename={"nothing": "q"})


def test_nested_outputs_integers_and_masks():
    def theirs(x, ids, heads=2):
        return {
            "a": x.masked_fill(ids == 0, -torch.inf).softmax(-1),
            "b": [ids + heads],
        }

    def off_by_one(x, ids, heads=2):
        return theirs(x, ids, heads + 1)

    ids = torch.tensor([[0, 1, 2], [3, 0, 1]])
    assert mm.check.same(theirs, theirs, (2, 3), ids, heads=3)
    with pytest.raises(AssertionError, match=r"output\['b'\]\[0\] differs at 6 of 6"):
        mm.check.same(off_by_one, theirs, (2, 3), ids)


def test_both_see_the_same_random_state_and_leave_it_alone():
    def noisy(x):
        return x + torch.randn(x.shape, dtype=x.dtype)

    before = torch.random.get_rng_state()
    assert mm.check.same(noisy, noisy, (2, 3))
    assert torch.equal(before, torch.random.get_rng_state())


def test_the_modules_themselves_are_not_changed():
    mine, theirs = Theirs(), Theirs().train()
    before = {k: v.clone() for k, v in mine.state_dict().items()}
    mm.check.same(mine, theirs, (2, 5, 8))
    assert all(torch.equal(before[k], v) for k, v in mine.state_dict().items())
    assert theirs.training and not theirs.out.weight.any()


def test_code_that_makes_float32_tensors_is_compared_in_float32():
    def mixes(x):
        return x @ torch.eye(x.shape[-1])

    assert mm.check.same(mixes, lambda x: x + 0, (2, 3))


def test_bad_calls_are_refused():
    with pytest.raises(TypeError, match="not the class itself"):
        mm.check.same(Theirs, Theirs(), (2, 5, 8))
