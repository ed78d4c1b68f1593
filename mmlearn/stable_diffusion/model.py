"""Stable Diffusion as one model: three networks, and what a reader asks of them."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn

from mmlearn import weights
from mmlearn.clip import CLIP
from mmlearn.diffusion import Objective, Schedule
from mmlearn.diffusion.checks import check_choice, check_count
from mmlearn.glide.model import at_rest
from mmlearn.nn.autoencoder import Autoencoder, Generators
from mmlearn.nn.latent_unet import LatentUNet
from mmlearn.paths import data_path
from mmlearn.stable_diffusion import checks as check
from mmlearn.stable_diffusion.config import StableDiffusionConfig
from mmlearn.stable_diffusion.painting import (
    first_noise,
    paint,
    told,
    warn_of_unknown,
)
from mmlearn.stable_diffusion.published import read_stable_diffusion
from mmlearn.stable_diffusion.sampling import Sampling, Words, alone
from mmlearn.stable_diffusion.sizes import SIZES, config_of
from mmlearn.stable_diffusion.text import TextConfig, states, tokenize, tower
from mmlearn.stable_diffusion.walk import even, lerp, slerp
from mmlearn.text.bpe import Tokenizer
from mmlearn.text.prompts import check_prompts

BLENDS = {"lerp": lerp, "slerp": slerp}


class StableDiffusion(nn.Module):
    """An autoencoder, a text tower that is never trained, and a U-Net between them.

    tokenizer: the text tower's. words: those that captions said in training, others are
    warned of; None for published weights, which know more than can be listed.
    """

    def __init__(
        self,
        config: StableDiffusionConfig,
        tokenizer: Tokenizer | None = None,
        words: Sequence[str] | None = (),
    ):
        super().__init__()
        check.check_tokenizer(tokenizer, config.text)
        self.config, self.tokenizer = config, tokenizer
        self.words = None if words is None else frozenset(words)
        self.schedule = Schedule.named(config.schedule)
        self.vae = Autoencoder(config.vae)
        self.unet = LatentUNet(config.unet)
        self.text_encoder = tower(config.text).requires_grad_(False)

    @property
    def image_size(self) -> int:
        """The side of its pictures, in pixels."""
        return self.config.image_size

    @property
    def scale(self) -> float:
        """What latents are multiplied by, see `measure_scale`; it can be set."""
        return self.config.scale

    @scale.setter
    def scale(self, scale: float) -> None:
        self.config = replace(self.config, scale=scale)

    @property
    def predicts(self) -> str:
        """What the U-Net says of noisy latents: "eps" or "v"."""
        return self.config.predicts

    @property
    def device(self) -> torch.device:
        """Where it lies."""
        return self.unet.first.weight.device

    @property
    def objective(self) -> Objective:
        """What the U-Net is trained for; a batch is (latents, texts' states)."""
        return Objective(self.schedule, self.predicts)

    def encode(self, images: Tensor, generator: Generators | None = None) -> Tensor:
        """Latents (n, c, h / factor, w / factor), scaled, of images in [-1, 1].

        generator: one, or one for each image, to draw them from what the encoder says;
        without, the most likely ones.
        """
        posterior = self.vae.encode(images.to(self.unet.first.weight))
        drawn = posterior.mode if generator is None else posterior.sample(generator)
        return self.scale * drawn

    def decode(self, latents: Tensor) -> Tensor:
        """Pictures (n, 3, h, w), about in [-1, 1], of latents as `encode` gives them.

        Also of noisy ones, or of the x0 that a callback sees.
        """
        return self.vae.decode(latents / self.scale)

    def tokenize(self, texts: Sequence[str]) -> Tensor:
        """Token ids (n, context) of texts, on the model's device."""
        if self.tokenizer is None:
            raise ValueError(
                "this Stable Diffusion has no vocabulary: set `tokenizer` to "
                f"Tokenizer.load(file, vocab={self.config.text.vocab})."
            )
        return tokenize(texts, self.tokenizer, self.config.text.padding).to(self.device)

    def encode_text(self, prompts: Sequence[str]) -> Tensor:
        """The states (n, context, width) of prompts, as the U-Net reads them."""
        return self.read(self.tokenize(prompts))

    def read(self, tokens: Tensor) -> Tensor:
        """The states (n, t, width) of token ids (n, t)."""
        return states(self.text_encoder, tokens, self.config.text.skip)

    def generate(
        self,
        prompts: Sequence[str],
        *,
        negative: str | Sequence[str] | None = None,
        steps: int = 20,
        guidance: float = 3.0,
        sampler: str = "dpmpp_2m",
        seed: int = 0,
        progress: bool = True,
        batch: int = 64,
        callback: Callable | None = None,
        noise: Tensor | None = None,
    ) -> Tensor:
        """Pictures (n, 3, s, s) in [-1, 1], one for each of n prompts.

        An empty prompt asks for nothing in particular. negative: what to be guided
        away from, one for all or one for each, in place of the empty prompt.

        callback(step, t, x_t, x0) sees each step, in latents, which `decode` shows.
        noise: latents (n, c, s / factor, s / factor) to start from, such as those of a
        `circle`; without, the seed's. batch: how many pictures at once.

        A picture depends on its prompt, its place in the list and the seed, and not on
        the other prompts. Words that the model does not know are warned of. Raises
        ValueError for what is wrong, and MemoryError with a batch to try.
        """
        how = Sampling(steps, guidance, sampler, callback=callback)
        said = told(self, prompts, negative, guidance)
        if noise is not None:
            check.check_noise(self.config, noise, len(prompts))
        return paint(self, said, len(prompts), how, seed, batch, progress, noise=noise)

    def edit(
        self,
        images: Tensor,
        prompts: Sequence[str],
        *,
        strength: float = 0.6,
        negative: str | Sequence[str] | None = None,
        steps: int = 20,
        guidance: float = 3.0,
        sampler: str = "dpmpp_2m",
        seed: int = 0,
        progress: bool = True,
        batch: int = 64,
        callback: Callable | None = None,
    ) -> Tensor:
        """Images (n, 3, h, w) in [-1, 1], changed by words: noised, and walked back.

        strength: how far, from 0, their reconstruction, to 1, of which the composition
        is hardly left; that share of the steps is taken. prompts: n, of the wanted
        pictures. The rest is `generate`'s. Sides: see `StableDiffusionConfig.unit`.
        """
        how = Sampling(steps, guidance, sampler, strength, callback)
        said = told(self, prompts, negative, guidance)
        check.check_images(self.config, images, len(prompts), "edit")
        return paint(self, said, len(images), how, seed, batch, progress, images=images)

    def vary(
        self,
        images: Tensor,
        *,
        strength: float = 0.6,
        steps: int = 20,
        sampler: str = "dpmpp_2m",
        seed: int = 0,
        progress: bool = True,
        batch: int = 64,
        callback: Callable | None = None,
    ) -> Tensor:
        """Others like images (n, 3, h, w) in [-1, 1]: `edit` without words."""
        check.check_images(self.config, images, None, "vary")
        return self.edit(
            images,
            [""] * len(images),
            strength=strength,
            steps=steps,
            guidance=1.0,
            sampler=sampler,
            seed=seed,
            progress=progress,
            batch=batch,
            callback=callback,
        )

    def inpaint(
        self,
        images: Tensor,
        mask: Tensor,
        prompts: Sequence[str],
        *,
        negative: str | Sequence[str] | None = None,
        steps: int = 20,
        guidance: float = 3.0,
        sampler: str = "dpmpp_2m",
        seed: int = 0,
        progress: bool = True,
        batch: int = 64,
        callback: Callable | None = None,
    ) -> Tensor:
        """Images (n, 3, h, w) in [-1, 1], painted anew by words within a mask.

        mask: (n, 1, h, w), or (h, w) for all, of 1 where to paint; elsewhere pixels
        come back as they were, and what is under it is not looked at. prompts: n, of
        the whole picture. The rest is `generate`'s. The U-Net is the one that draws: at
        every step the latents that are known are put back into what it says.
        """
        how = Sampling(steps, guidance, sampler, callback=callback)
        said = told(self, prompts, negative, guidance)
        check.check_images(self.config, images, len(prompts), "inpaint")
        mask = check.check_mask(mask, images)
        given = {"images": images, "mask": mask}
        return paint(self, said, len(images), how, seed, batch, progress, **given)

    def interpolate(
        self,
        prompt_a: str,
        prompt_b: str,
        n: int,
        *,
        text: str = "lerp",
        negative: str | None = None,
        steps: int = 20,
        guidance: float = 3.0,
        sampler: str = "dpmpp_2m",
        seed: int = 0,
        progress: bool = True,
        batch: int = 64,
        callback: Callable | None = None,
    ) -> Tensor:
        """Pictures (n, 3, s, s) in [-1, 1] on the way from one prompt to another.

        The first and the last are those of generate([prompt_a, prompt_b]). Between
        them noises go along an arc, and words' states along a line, or with
        text="slerp" along an arc too. The rest is `generate`'s, but for a sampler that
        adds noise, which has nothing to go along.
        """
        how = Sampling(steps, guidance, sampler, callback=callback)
        check_choice("text", text, BLENDS)
        check.check_still(sampler)
        check_count("n", n)
        check_count("seed", seed, least=0)
        prompts, without = check_prompts([prompt_a, prompt_b], negative)
        warn_of_unknown(self, [*prompts, *without])
        with torch.no_grad(), at_rest(self):
            ends = self.encode_text([*prompts, without[0]])
        shares = even(n)
        between = BLENDS[text](*ends[:2], shares)
        noise = slerp(*first_noise(self, seed, range(2)), shares)

        def said(rows: slice) -> Words:
            own = between[rows]
            return alone(own, ends[2:].expand_as(own), guidance)

        return paint(self, said, n, how, seed, batch, progress, noise=noise)

    @classmethod
    def from_size(
        cls, size: str, *, clip: CLIP | None = None, seed: int = 0, device: str = "cpu"
    ) -> "StableDiffusion":
        """An untrained model: `smoke`, `laptop`, `gpu`, `paper` or `paper-v2`.

        clip: a trained CLIP, whose text tower and vocabulary it is given; without, the
        tower is untrained too. On device "meta" the model has shapes and no weights.
        `paper` and `paper-v2` have no vocabulary.
        """
        check_choice("size", size, SIZES)
        config, tokenizer = config_of(size), None
        if clip is not None:
            text = TextConfig.of(clip)
            unet = replace(config.unet, text_width=text.width)
            config, tokenizer = replace(config, text=text, unet=unet), clip.tokenizer
        elif not size.startswith("paper"):
            vocabulary = data_path("text", "world_bpe.txt")
            tokenizer = Tokenizer.load(vocabulary, context=config.text.context)
        # Layers start from the global generator: fork it, and nobody sees it move.
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            with torch.device("meta" if device == "meta" else "cpu"):
                model = cls(config, tokenizer)
        if clip is not None and device != "meta":
            model.text_encoder.load_state_dict(clip.text.state_dict())
        return model.to(device, memory_format=torch.channels_last)

    @classmethod
    def from_pretrained(
        cls,
        source: str | Path,
        *,
        predicts: str | None = None,
        device: str = "cpu",
    ) -> "StableDiffusion":
        """A trained model: a shipped size, a saved directory, or published weights.

        Published weights are a directory in diffusers' layout (safetensors), or a file
        in the original one, with a `merges.txt` beside it if there is to be a
        vocabulary. predicts: only for a file of Stable Diffusion 2, which does not say.
        Raises WeightsError for anything missing, damaged, or of another model.
        """
        config, state, merges, words = read_stable_diffusion(source, predicts)
        tokenizer = Tokenizer(merges, config.text.context) if merges else None
        model = weights.filled(lambda: cls(config, tokenizer, words), state, source)
        return model.to(device, memory_format=torch.channels_last)

    def save_pretrained(
        self,
        directory: str | Path,
        card: dict | None = None,
        *,
        half: bool = False,
        overwrite: bool = False,
    ) -> Path:
        """Save weights, config, vocabulary and words, for `from_pretrained`."""
        merges = self.tokenizer.merges if self.tokenizer else []
        config = self.config.as_dict() | {
            "merges": [" ".join(pair) for pair in merges],
            "words": None if self.words is None else sorted(self.words),
        }
        return weights.save(
            directory, self.state_dict(), config, card, half=half, overwrite=overwrite
        )
