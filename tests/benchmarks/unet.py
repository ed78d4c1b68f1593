"""How fast the U-Net is: ``python tests/benchmarks/unet.py [--device cuda] [--tiny]``.

Beside `diffusers`' UNet2DConditionModel in the same run, on the same inputs: once as
the very same net (the same function to 1e-10, see tests/test_unet_parity.py), once with
its usual blocks, which have nearly as many parameters and operations. One training
step, and 20 guided steps with both halves in one batch; fp32 and bf16; theirs in both
memory layouts. Rounds are interleaved, and each time is the median over rounds.
Writes data/results/unet_speed_cpu.json; ``--tiny`` tries everything and writes nothing.
"""

import argparse
import json
import statistics
import time
from contextlib import nullcontext
from datetime import date

import diffusers
import torch
import torch.nn.functional as F
from torch.utils.flop_counter import FlopCounterMode

from mmlearn.machine import describe
from mmlearn.nn.unet import UNet, UNetConfig
from mmlearn.paths import data_path

SIZE, WORDS, TEXT, VECTOR = 32, 24, 128, 128
CONFIG = UNetConfig(
    image_size=SIZE,
    width=32,
    multiples=(1, 2, 4),
    blocks=1,
    attention_at=(16, 8),
    head_width=64,
    text_width=TEXT,
    vector_width=VECTOR,
)
COMMON = {
    "sample_size": SIZE,
    "in_channels": 3,
    "out_channels": 3,
    "layers_per_block": 1,
    "cross_attention_dim": TEXT,
    "class_embed_type": "simple_projection",
    "projection_class_embeddings_input_dim": VECTOR,
}
OURS, SAME, USUAL = "mmlearn", "diffusers, the same net", "diffusers, its usual blocks"


def same_net() -> torch.nn.Module:
    """In these blocks attention_head_dim is a head's width."""
    return diffusers.UNet2DConditionModel(
        down_block_types=(
            "ResnetDownsampleBlock2D",
            *2 * ["SimpleCrossAttnDownBlock2D"],
        ),
        mid_block_type="UNetMidBlock2DSimpleCrossAttn",
        up_block_types=(*2 * ["SimpleCrossAttnUpBlock2D"], "ResnetUpsampleBlock2D"),
        block_out_channels=(32, 64, 128),
        attention_head_dim=64,
        resnet_time_scale_shift="scale_shift",
        **COMMON,
    )


def usual_blocks() -> torch.nn.Module:
    """In these, attention_head_dim is the *number* of heads: 64 and 56 wide."""
    return diffusers.UNet2DConditionModel(
        down_block_types=("DownBlock2D", *2 * ["CrossAttnDownBlock2D"]),
        up_block_types=(*2 * ["CrossAttnUpBlock2D"], "UpBlock2D"),
        block_out_channels=(32, 64, 112),
        attention_head_dim=(1, 1, 2),
        norm_num_groups=16,
        **COMMON,
    )


BUILD = {OURS: lambda: UNet(CONFIG), SAME: same_net, USUAL: usual_blocks}


class Row:
    """One net in one layout and precision, with everything its measurements need."""

    def __init__(self, name: str, layout: str, precision: str, device: str, batch: int):
        torch.manual_seed(0)
        self.name, self.precision, self.device = name, precision, device
        self.net = BUILD[name]().to(device)
        for p in self.net.parameters():
            if not p.any():  # zeros can be multiplied faster than other numbers
                torch.nn.init.normal_(p, std=0.02)
        memory = torch.contiguous_format
        if layout == "channels last":
            memory = torch.channels_last
        self.net.to(memory_format=memory)
        self.format = (
            torch.channels_last
            if layout == "channels last"
            else torch.contiguous_format
        )
        self.optimizer = torch.optim.AdamW(self.net.parameters(), lr=1e-4)
        shapes = (batch, 3, SIZE, SIZE), (batch, WORDS, TEXT), (batch, VECTOR)
        x, self.text, self.vector = (torch.randn(s, device=device) for s in shapes)
        self.x = x.contiguous(memory_format=memory)
        self.t = torch.linspace(0, 999, batch, device=device).long()

    def autocast(self):
        if self.precision == "fp32":
            return nullcontext()
        return torch.autocast(self.device, torch.bfloat16)

    def guess(self, x, t, text, text_kv=None):
        """What the net makes of x; ours can have read the text before."""
        vector = self.vector[: len(x)]
        if self.name == OURS:
            text = None if text_kv else text
            return self.net(x, t, text, vector, text_kv=text_kv)
        return self.net(x, t, text, class_labels=vector).sample

    def train(self) -> None:
        """One step: forward, backward, AdamW."""
        with self.autocast():
            loss = F.mse_loss(self.guess(self.x, self.t, self.text).float(), self.x)
        loss.backward()
        self.optimizer.step()
        self.optimizer.zero_grad()

    @torch.no_grad()
    def sample(self, steps: int, guidance: float = 3.0) -> None:
        """Guided DDIM of half a batch; told and not told, it makes a whole one."""
        x, text = self.x[::2], self.text
        times = torch.linspace(999, 0, steps + 1, device=self.device)
        alphas = (times / 1000 * torch.pi / 2).cos() ** 2
        with self.autocast():
            text_kv = self.net.read(text) if self.name == OURS else None
            for t, a, b in zip(times[:-1], alphas[:-1], alphas[1:], strict=True):
                both = torch.cat([x, x])
                eps = self.guess(both, t.expand(len(both)), text, text_kv).float()
                told, free = eps.chunk(2)
                eps = free + guidance * (told - free)
                clean = ((x - (1 - a).sqrt() * eps) / a.sqrt()).clamp(-1, 1)
                x = b.sqrt() * clean + (1 - b).sqrt() * eps


def seconds(run, device: str) -> float:
    """How long one call takes."""
    began = time.perf_counter()
    run()
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - began


def sizes(name: str) -> dict:
    """Parameters, and operations of one picture's forward pass."""
    shapes = (1, 3, SIZE, SIZE), (1,), (1, WORDS, TEXT), (1, VECTOR)
    with torch.device("meta"), FlopCounterMode(display=False) as counter:
        net = BUILD[name]()
        x, t, text, vector = (torch.zeros(s) for s in shapes)
        if name == OURS:
            net(x, t, text, vector)
        else:
            net(x, t, text, class_labels=vector)
    return {
        "parameters": sum(p.numel() for p in net.parameters()),
        "gigaflop_per_picture": round(counter.get_total_flops() / 1e9, 3),
    }


def measure(device: str, batch: int, steps: int, rounds: int) -> list[dict]:
    """The rows of the table; one warm-up round is thrown away."""
    layouts = {name: ["contiguous", "channels last"] for name in BUILD}
    if device == "cpu":
        layouts[OURS] = ["channels last"]  # which it turns to by itself
    rows = [
        (layout, Row(name, layout, precision, device, batch))
        for name in BUILD
        for layout in layouts[name]
        for precision in ("fp32", "bf16")
    ]
    times = {id(row): {"train": [], "sample": []} for _, row in rows}
    for _ in range(rounds + 1):
        for _, row in rows:
            found = times[id(row)]
            found["train"].append(seconds(row.train, device))
            found["sample"].append(seconds(lambda row=row: row.sample(steps), device))
    return [
        {"net": row.name, "layout": layout, "precision": row.precision}
        | {
            f"{what}_seconds": round(statistics.median(found[1:]), 4)
            for what, found in times[id(row)].items()
        }
        for layout, row in rows
    ]


def ratios(rows: list[dict]) -> dict:
    """How many times as long each peer takes as we do, each in its faster layout."""
    found = {}
    for precision in ("fp32", "bf16"):
        for what in ("train", "sample"):
            best = {
                name: min(
                    row[f"{what}_seconds"]
                    for row in rows
                    if (row["net"], row["precision"]) == (name, precision)
                )
                for name in BUILD
            }
            for name in (SAME, USUAL):
                key = f"{what}, {precision}: {name}"
                found[key] = round(best[name] / best[OURS], 2)
    return found


def main():
    """Measure and write the table."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--device", default="cpu")
    options.add_argument("--rounds", type=int, default=9)
    options.add_argument("--tiny", action="store_true")
    options = options.parse_args()
    batch, steps, rounds = (4, 2, 1) if options.tiny else (16, 20, options.rounds)
    rows = measure(options.device, batch, steps, rounds)
    gpu = options.device == "cuda"
    result = {
        "what": "the U-Net beside diffusers': seconds of one training step of a batch, "
        "and of guided sampling of half a batch with both halves in one",
        "device": describe("gpu" if gpu else ""),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "diffusers": diffusers.__version__,
        "date": date.today().isoformat(),
        "batch": batch,
        "steps": steps,
        "rounds": rounds,
        "image_size": SIZE,
        "words": WORDS,
        "nets": {name: sizes(name) for name in BUILD},
        "rows": rows,
        "times_as_long_as_mmlearn": ratios(rows),
    }
    text = json.dumps(result, indent=1) + "\n"
    if not options.tiny:
        path = data_path("results", f"unet_speed_{options.device}.json")
        path.write_text(text)
    print(text)


if __name__ == "__main__":
    main()
