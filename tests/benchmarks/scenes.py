"""How many scenes a second: ``python tests/benchmarks/scenes.py [--device cuda]``.

Composing, captioning and drawing together, one CPU thread. Each drawing is scaled once
for each size in pixels, so a long run goes at the second of the two rates.
Writes data/results/scenes_per_second.json.
"""

import argparse
import json
import time
from datetime import date

import torch

import mmlearn as mm
from mmlearn.paths import data_path


def rates(size: int, device: str, scenes: int = 5120, batch: int = 256) -> dict:
    """Scenes a second, the first time and when every drawing has been scaled once."""
    found = {}
    for name in ("first time", "again"):
        began = time.perf_counter()
        for start in range(0, scenes, batch):
            mm.world.scenes(batch, seed=1, size=size, start=start, device=device)
        if device == "cuda":
            torch.cuda.synchronize()
        found[name] = round(scenes / (time.perf_counter() - began))
    return found


def main():
    """Measure and write the table."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--device", default="cpu")
    device = options.parse_args().device
    torch.set_num_threads(1)
    table = {size: rates(size, device) for size in (32, 64, 128, 256)}
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
