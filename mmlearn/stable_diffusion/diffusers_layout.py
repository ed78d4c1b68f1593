"""A directory in diffusers' layout: what its config files say, and what they must say.

    model_index.json
    unet/ vae/ text_encoder/      config.json and weights as safetensors
    scheduler/                    scheduler_config.json
    tokenizer/                    merges.txt, if there is to be a vocabulary

The same library stores many models under the same names, and settings that are not the
published ones would load and draw noise. So each setting is either read, or compared
with the one that this package builds; older files leave out what was then the default.
"""

import json
from pathlib import Path

from torch import Tensor

from mmlearn import weights
from mmlearn.nn.autoencoder import AutoencoderConfig
from mmlearn.nn.latent_unet import LatentUNetConfig
from mmlearn.stable_diffusion.config import StableDiffusionConfig
from mmlearn.stable_diffusion.keys import text_to_ours, to_ours
from mmlearn.stable_diffusion.sizes import SCALE
from mmlearn.stable_diffusion.text import TextConfig
from mmlearn.text.bpe import read_merges
from mmlearn.weights import WeightsError

PIPELINE = "StableDiffusionPipeline"
ATTENDS, PLAIN = "CrossAttn{}Block2D", "{}Block2D"
PREDICTS = {"epsilon": "eps", "v_prediction": "v"}
# What is built, where a file might say something else.
UNET = {
    "_class_name": "UNet2DConditionModel",
    "mid_block_type": "UNetMidBlock2DCrossAttn",
    "act_fn": "silu",
    "norm_eps": 1e-5,
    "center_input_sample": False,
    "flip_sin_to_cos": True,
    "freq_shift": 0,
    "time_embedding_type": "positional",
    "time_cond_proj_dim": None,
    "downsample_padding": 1,
    "mid_block_scale_factor": 1,
    "resnet_time_scale_shift": "default",
    "resnet_out_scale_factor": 1,
    "transformer_layers_per_block": 1,
    "only_cross_attention": False,
    "dual_cross_attention": False,
    "num_attention_heads": None,
    "attention_type": "default",
    "class_embed_type": None,
    "num_class_embeds": None,
    "addition_embed_type": None,
    "encoder_hid_dim": None,
    "conv_in_kernel": 3,
    "conv_out_kernel": 3,
}
VAE = {
    "_class_name": "AutoencoderKL",
    "act_fn": "silu",
    "use_quant_conv": True,
    "use_post_quant_conv": True,
    "mid_block_add_attention": True,
    "shift_factor": None,
    "latents_mean": None,
    "latents_std": None,
    "scaling_factor": SCALE,
}
TEXT = {"model_type": "clip_text_model", "layer_norm_eps": 1e-5}
SCHEDULER = {
    "num_train_timesteps": 1000,
    "beta_schedule": "scaled_linear",
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "trained_betas": None,
    "rescale_betas_zero_snr": False,
}


def read_directory(
    directory: Path,
) -> tuple[StableDiffusionConfig, dict[str, Tensor], list[tuple] | None]:
    """The config, the weights under our names, and the vocabulary's merges."""
    index = read_config(directory, "model_index.json", {"_class_name": PIPELINE})
    tower = index.get("text_encoder", [None, "CLIPTextModel"])[1]
    if tower != "CLIPTextModel":
        raise WeightsError(
            f"{directory} has a {tower} for its text encoder: Stable Diffusion 1 and 2 "
            "have a CLIPTextModel"
        )
    config = config_of(directory)
    state = {}
    for part in ("unet", "vae"):
        file = weights_file(directory / part, "diffusion_pytorch_model")
        state |= to_ours(weights.load_safetensors(file), part, "diffusers", config)
    file = weights_file(directory / "text_encoder", "model")
    state |= text_to_ours(weights.load_safetensors(file))
    vocabulary = directory / "tokenizer" / "merges.txt"
    merges = None
    if vocabulary.is_file():
        merges = read_merges(vocabulary, config.text.vocab)
    return config, state, merges


def config_of(directory: Path) -> StableDiffusionConfig:
    """What the five config files say together."""
    unet = read_config(directory, "unet/config.json", UNET)
    vae = read_config(directory, "vae/config.json", VAE)
    text = read_config(directory, "text_encoder/config.json", TEXT)
    noise = read_config(directory, "scheduler/scheduler_config.json", SCHEDULER)
    said = noise.get("prediction_type", "epsilon")
    if said not in PREDICTS:
        raise WeightsError(
            f"{directory}/scheduler says that the U-Net predicts {said!r}: "
            f"{' or '.join(PREDICTS)} would be right"
        )
    try:
        ours = vae_of(vae)
        side = unet["sample_size"]
        return StableDiffusionConfig(
            image_size=(side if isinstance(side, int) else max(side)) * ours.factor,
            vae=ours,
            unet=unet_of(unet),
            text=text_of(text, directory),
            scale=SCALE,
            predicts=PREDICTS[said],
        )
    except KeyError as error:
        raise WeightsError(
            f"a config.json in {directory} does not say {error}: copy it again"
        ) from None
    except (ValueError, TypeError) as error:
        raise WeightsError(
            f"{directory} is no Stable Diffusion 1 or 2 ({str(error).rstrip('.')})"
        ) from None


def unet_of(said: dict) -> LatentUNetConfig:
    """The U-Net's part; KeyError or ValueError for what is another architecture."""
    widths = said["block_out_channels"]
    kinds = [kind == ATTENDS.format("Down") for kind in said["down_block_types"]]
    for way, order in (("Down", kinds), ("Up", kinds[::-1])):
        names = [(ATTENDS if attends else PLAIN).format(way) for attends in order]
        if list(said[f"{way.lower()}_block_types"]) != names:
            raise ValueError(f"its U-Net has other blocks on the way {way.lower()}")
    # "attention_head_dim" is, in these files, how many heads there are.
    counts = said.get("attention_head_dim", 8)
    counts = [counts] * len(widths) if isinstance(counts, int) else list(counts)
    head_widths = {width // n for width, n in zip(widths, counts, strict=True)}
    if len(set(counts)) > 1 and len(head_widths) > 1:
        raise ValueError(f"its U-Net has {counts} heads over {widths} channels")
    same = len(set(counts)) == 1
    return LatentUNetConfig(
        width=widths[0],
        multiples=multiples_of(widths),
        blocks=said["layers_per_block"],
        attention_at=tuple(2**level for level, at in enumerate(kinds) if at),
        text_width=said["cross_attention_dim"],
        heads=counts[0] if same else None,
        head_width=None if same else head_widths.pop(),
        channels_in=said["in_channels"],
        channels_out=said["out_channels"],
        groups=said.get("norm_num_groups", 32),
    )


def vae_of(said: dict) -> AutoencoderConfig:
    """The autoencoder's part; KeyError or ValueError for another architecture."""
    widths = said["block_out_channels"]
    for way, kind in (("down", "DownEncoderBlock2D"), ("up", "UpDecoderBlock2D")):
        if list(said[f"{way}_block_types"]) != [kind] * len(widths):
            raise ValueError(f"its autoencoder has other blocks on the way {way}")
    if said["in_channels"] != said["out_channels"]:
        raise ValueError("its autoencoder gives back other channels than it is given")
    return AutoencoderConfig(
        width=widths[0],
        multiples=multiples_of(widths),
        blocks=said["layers_per_block"],
        latent=said["latent_channels"],
        channels=said["in_channels"],
        groups=said.get("norm_num_groups", 32),
    )


def text_of(said: dict, directory: Path) -> TextConfig:
    """The text tower's part. Of 2, these files have dropped the last block already."""
    width = said["hidden_size"]
    if said["intermediate_size"] != 4 * width:
        raise ValueError("its text tower's feed-forward is not four times as wide")
    activation = said.get("hidden_act", "quick_gelu")
    padding = "end" if activation == "quick_gelu" else "zero"
    special = directory / "tokenizer" / "special_tokens_map.json"
    if special.is_file():
        pad = json.loads(special.read_text(encoding="utf-8")).get("pad_token")
        pad = pad["content"] if isinstance(pad, dict) else pad
        padding = "zero" if pad == "!" else "end"  # token 0, in CLIP's vocabulary
    return TextConfig(
        vocab=said["vocab_size"],
        context=said["max_position_embeddings"],
        width=width,
        layers=said["num_hidden_layers"],
        head_width=width // said["num_attention_heads"],
        activation=activation,
        padding=padding,
    )


def multiples_of(widths: list[int]) -> tuple[int, ...]:
    """Each level's width over the first's; ValueError where it is no whole number."""
    if any(width % widths[0] for width in widths):
        raise ValueError(f"levels of {widths} channels are no multiples of the first")
    return tuple(width // widths[0] for width in widths)


def read_config(directory: Path, name: str, expected: dict) -> dict:
    """A config file; WeightsError unless it agrees with what is expected."""
    file = directory / name
    if not file.is_file():
        raise WeightsError(
            f"{directory} has no {name}: a published Stable Diffusion has "
            "model_index.json, unet, vae, text_encoder and scheduler"
        )
    try:
        said = json.loads(file.read_text(encoding="utf-8"))
    except ValueError:
        said = None
    if not isinstance(said, dict):
        raise WeightsError(f"{file} is not a JSON object: copy it again")
    for key, value in expected.items():
        if (found := said.get(key, value)) != value:
            raise WeightsError(
                f"{file} says {key} = {found!r}, and Stable Diffusion 1 and 2 have "
                f"{value!r}: this is another model"
            )
    return said


def weights_file(directory: Path, stem: str) -> Path:
    """The safetensors file of a part; in 16 bits, if there is no other."""
    for name in (f"{stem}.safetensors", f"{stem}.fp16.safetensors"):
        if (directory / name).is_file():
            return directory / name
    others = sorted(path.name for path in directory.glob("*.bin"))
    beside = f", only {others[0]}, a pickle that can run any program" if others else ""
    raise WeightsError(
        f"{directory} has no {stem}.safetensors{beside}: download the safetensors, or, "
        "if you trust where it comes from, convert it once with safetensors.torch."
        f"save_file(torch.load(path, weights_only=True), '{stem}.safetensors')"
    )
