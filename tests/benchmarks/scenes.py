"""How many scenes a second: ``python tests/benchmarks/scenes.py [--device cuda]``.

Composing, captioning and drawing together, one CPU thread, after one warm batch.
Writes data/results/scenes_per_second.json.
"""

import argparse
import json
import time
from datetime import date

import torch

import mmlearn as mm
from mmlearn.paths import data_path


def rate(size: int, device: str, batch: int = 256, seconds: float = 4.0) -> float:
    """Scenes a second at one size: batches of 256, after one that fills the caches."""
    for warm in range(8):
        mm.world.scenes(batch, seed=1, size=size, start=warm * batch, device=device)
    began, done = time.perf_counter(), 0
    while time.perf_counter() - began < seconds:
        mm.world.scenes(batch, seed=0, size=size, start=done, device=device)
        done += batch
    if device == "cuda":
        torch.cuda.synchronize()
    return done / (time.perf_counter() - began)


def main():
    """Measure and write the table."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--device", default="cpu")
    device = options.parse_args().device
    torch.set_num_threads(1)
    table = {size: round(rate(size, device)) for size in (32, 64, 128, 256)}
    result = {
        "what": "scenes per second: record, caption and picture; one process",
        "device": torch.cuda.get_device_name() if device == "cuda" else "one CPU core",
        "torch": torch.__version__,
        "date": date.today().isoformat(),
        "scenes_per_second": table,
    }
    path = data_path("results", f"scenes_per_second_{device}.json")
    path.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
