"""Random numbers that depend only on where in the training they are drawn.

Each batch of the whole run has an index; the numbers drawn for it come from
``(seed, index)``. So there is no generator's state to save, a resumed run draws what
the uninterrupted one would have drawn, and two processes draw what one would have.
"""

import contextlib
import hashlib
from collections.abc import Iterator

import torch


def mix(*numbers: int) -> int:
    """One 63-bit seed from several numbers, unrelated for neighbouring numbers."""
    text = "/".join(str(int(n)) for n in numbers).encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "big") >> 1


@contextlib.contextmanager
def randomness(
    seed: int, index: int, device: torch.device | str = "cpu"
) -> Iterator[torch.Generator]:
    """Yield a generator on ``device`` for batch ``index`` of the run ``seed``.

    Dropout can draw from torch's global generators only: within the block they are
    seeded in the same way, and afterwards they stand where they stood before.
    """
    device = torch.device(device)
    generator = torch.Generator(device).manual_seed(mix(seed, index, 0))
    globals_ = [torch.default_generator]
    if device.type == "cuda":
        number = torch.cuda.current_device() if device.index is None else device.index
        globals_.append(torch.cuda.default_generators[number])
    before = [g.get_state() for g in globals_]
    try:
        for g in globals_:
            g.manual_seed(mix(seed, index, 1))
        yield generator
    finally:
        for g, state in zip(globals_, before, strict=True):
            g.set_state(state)
