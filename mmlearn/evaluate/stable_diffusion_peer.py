"""diffusers' pipeline with the weights of one of our models: the same pictures.

    pipe = pipeline(model)                             # with DPM-Solver++(2M)
    theirs(model, pipe, ["a red star"], noise, how)    # as generate(…, noise=noise)

diffusers is needed for this comparison and for tests, and for nothing that draws.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from mmlearn.diffusion import Schedule
from mmlearn.evaluate.generator_bench import Settings
from mmlearn.nn.autoencoder import AutoencoderConfig
from mmlearn.nn.latent_unet import LatentUNetConfig
from mmlearn.stable_diffusion import StableDiffusion
from mmlearn.stable_diffusion.diffusers_layout import ATTENDS, PLAIN, PREDICTS
from mmlearn.stable_diffusion.keys import published_name


def library():
    """diffusers; ValueError, one sentence, where it is not installed."""
    try:
        import diffusers
    except ImportError:
        raise ValueError(
            "the speed is measured beside diffusers, which only tests need: "
            "pip install diffusers, or name the other claims with --only"
        ) from None
    return diffusers


def unet_of(c: LatentUNetConfig, side: int) -> nn.Module:
    """Their U-Net of our numbers; side: of the grid of latents."""
    at = [2**level in c.attention_at for level in range(len(c.widths))]
    names = {
        way: [(ATTENDS if attends else PLAIN).format(way) for attends in order]
        for way, order in (("Down", at), ("Up", at[::-1]))
    }
    return library().UNet2DConditionModel(
        sample_size=side,
        in_channels=c.channels_in,
        out_channels=c.channels_out,
        block_out_channels=c.widths,
        down_block_types=names["Down"],
        up_block_types=names["Up"],
        layers_per_block=c.blocks,
        cross_attention_dim=c.text_width,
        # Their name for how many heads there are.
        attention_head_dim=[c.heads_of(width) for width in c.widths],
        use_linear_projection=True,  # as ours
        norm_num_groups=c.groups,
    )


def vae_of(c: AutoencoderConfig, side: int, scale: float) -> nn.Module:
    """Their autoencoder of our numbers; side: of the pictures."""
    return library().AutoencoderKL(
        in_channels=c.channels,
        out_channels=c.channels,
        block_out_channels=c.widths,
        down_block_types=["DownEncoderBlock2D"] * len(c.widths),
        up_block_types=["UpDecoderBlock2D"] * len(c.widths),
        layers_per_block=c.blocks,
        latent_channels=c.latent,
        norm_num_groups=c.groups,
        sample_size=side,
        scaling_factor=scale,
    )


def filled(network: nn.Module, part: str, model: StableDiffusion) -> nn.Module:
    """Their network with the weights of our "unet" or "vae", in eval mode."""
    places = network.state_dict()
    state = {}
    for name, tensor in getattr(model, part).state_dict().items():
        name = published_name(name, part, "diffusers", model.config)
        # A linear map over a grid may be theirs as a convolution of one place.
        state[name] = tensor.reshape(places[name].shape)
    network.load_state_dict(state)
    return network.eval()


def scheduler_of(schedule: Schedule, predicts: str):
    """Their DPM-Solver++(2M) on our schedule, evenly spaced as ours."""
    names = {ours: theirs for theirs, ours in PREDICTS.items()}
    return library().DPMSolverMultistepScheduler(
        trained_betas=schedule.betas.tolist(),
        prediction_type=names[predicts],
        timestep_spacing="trailing",
        steps_offset=1,  # without a meaning here, but the pipeline warns of others
    )


def pipeline(model: StableDiffusion, channels_last: bool = False):
    """Their pipeline with our weights; its words are read by our text tower.

    channels_last: whether its networks keep pixels as ours do, which they do not by
    themselves. Raises ValueError where diffusers is not installed.
    """
    c = model.config
    unet = filled(unet_of(c.unet, c.latent_size), "unet", model)
    vae = filled(vae_of(c.vae, c.image_size, c.scale), "vae", model)
    if channels_last:
        unet, vae = (x.to(memory_format=torch.channels_last) for x in (unet, vae))
    pipe = library().StableDiffusionPipeline(
        vae,
        None,
        None,
        unet,
        scheduler_of(model.schedule, model.predicts),
        None,
        None,
        requires_safety_checker=False,
    )
    pipe.set_progress_bar_config(disable=True)
    return pipe


@torch.no_grad()
def theirs(
    model: StableDiffusion, pipe, texts: Sequence[str], noise: Tensor, how: Settings
) -> Tensor:
    """Pictures (n, 3, s, s) in [-1, 1] by a pipeline, from noise (n, c, h, w)."""
    told, untold = (model.encode_text(x) for x in (list(texts), [""] * len(texts)))
    side = model.image_size
    drawn = pipe(
        prompt_embeds=told,
        negative_prompt_embeds=untold,
        latents=noise,
        num_inference_steps=how.steps,
        guidance_scale=how.guidance,
        height=side,
        width=side,
        output_type="pt",
    ).images
    return 2 * drawn - 1
