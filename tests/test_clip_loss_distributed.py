"""Two processes with half a batch each take exactly the step of one with the whole.

The loss of each process's own rows against everybody's columns, averaged as DDP
averages, has the gradient of the whole batch, if gathering lets gradients through.
Gathering without them points elsewhere: measured here, so that nobody simplifies it.
"""

import os
import socket

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from mmlearn.clip import CLIP, CLIPConfig, clip_loss, local_clip_loss
from mmlearn.train.distributed import all_gather_with_grad

CONFIG = CLIPConfig(
    embed=16,
    image_size=16,
    patch_size=8,
    vision_width=32,
    vision_layers=1,
    vocab=50,
    context=6,
    text_width=32,
    text_layers=1,
    head_width=16,
)
WORLD = 2


def model_and_batch():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = CLIP(CONFIG).double()
        images = torch.rand(8, 3, 16, 16).double() * 2 - 1
        tokens = torch.randint(1, 49, (8, 6))
    tokens[:, -1] = 49
    return model, images, tokens


def gather_without_grad(x: torch.Tensor) -> torch.Tensor:
    parts = [torch.empty_like(x) for _ in range(WORLD)]
    dist.all_gather(parts, x.detach().contiguous())
    parts[dist.get_rank()] = x  # the own rows keep theirs, as is often done
    return torch.cat(parts)


def flat_gradient(model: CLIP) -> torch.Tensor:
    return torch.cat([p.grad.flatten() for p in model.parameters()])


def work(rank: int, port: int, folder: str) -> None:
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    dist.init_process_group("gloo", rank=rank, world_size=WORLD)
    model, images, tokens = model_and_batch()
    own = slice(4 * rank, 4 * rank + 4)
    gradients = {}
    for name, gather in (("grad", all_gather_with_grad), ("none", gather_without_grad)):
        model.zero_grad()
        features = model(images[own], tokens[own])
        loss = local_clip_loss(*features, model.logit_scale, gather, rank)
        loss.backward()
        average = torch.cat([loss.detach().view(1), flat_gradient(model)])
        dist.all_reduce(average)
        gradients[name] = average / WORLD
    if rank == 0:
        torch.save(gradients, f"{folder}/gradients.pt")
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def two_processes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("distributed")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    mp.spawn(work, (port, str(folder)), nprocs=WORLD)
    return torch.load(folder / "gradients.pt", weights_only=True)


@pytest.fixture(scope="module")
def one_process():
    model, images, tokens = model_and_batch()
    loss = clip_loss(*model(images, tokens), model.logit_scale)
    loss.backward()
    return torch.cat([loss.detach().view(1), flat_gradient(model)])


def test_two_processes_take_the_step_of_one(two_processes, one_process):
    assert (two_processes["grad"] - one_process).abs().max() < 1e-12


def test_gathering_without_gradients_steps_elsewhere(two_processes, one_process):
    wrong, right = two_processes["none"][1:], one_process[1:]
    cosine = torch.cosine_similarity(wrong, right, dim=0)
    assert two_processes["none"][0] == pytest.approx(one_process[0].item())
    assert cosine < 0.99


def test_alone_the_local_loss_is_the_loss():
    model, images, tokens = model_and_batch()
    features = model(images, tokens)
    alone = local_clip_loss(*features, model.logit_scale, lambda x: x, 0)
    assert alone.item() == clip_loss(*features, model.logit_scale).item()
