"""GLIDE as one model: two stages, a vocabulary, and what a reader asks of them."""

import contextlib
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, fields, replace
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn

from mmlearn import weights
from mmlearn.diffusion.checks import check_choice, check_count
from mmlearn.glide import checks as check
from mmlearn.glide.clip_guidance import ClipGuided, NoisedCLIP
from mmlearn.glide.inpainting import known_part, shrunk, widened
from mmlearn.glide.keys import read_glide
from mmlearn.glide.sampling import ON_TOP, UPSAMPLER, Sampling, draw, noise_of
from mmlearn.glide.sizes import SIZES
from mmlearn.glide.stage import StageConfig, TextUNet, as_8_bit
from mmlearn.glide.text import tokenize, unknown_words
from mmlearn.paths import data_path
from mmlearn.progress import sampling
from mmlearn.text.bpe import Tokenizer
from mmlearn.text.prompts import check_prompts


class GLIDE(nn.Module):
    """A base, with or without an upsampler; each is trained by itself, as a `TextUNet`.

    tokenizer: ours; or for published weights, whose vocabulary is GPT-2's, anything
        with `len`, `encode(text)` to a list of ids, and `decode`.
    words: those that captions said in training; others are warned of.
    """

    def __init__(
        self,
        base: TextUNet,
        upsampler: TextUNet | None = None,
        tokenizer: Tokenizer | None = None,
        words: Sequence[str] = (),
    ):
        super().__init__()
        check.check_two(base.config, upsampler and upsampler.config)
        check.check_tokenizer(tokenizer, base.config.vocab)
        self.base, self.upsampler = base, upsampler
        self.tokenizer, self.words = tokenizer, frozenset(words)

    @property
    def image_size(self) -> int:
        """The side of its pictures, in pixels, after the last stage."""
        return (self.upsampler or self.base).config.image_size

    @property
    def device(self) -> torch.device:
        """Where it lies."""
        return next(self.parameters()).device

    def tokenize(self, texts: Sequence[str]) -> Tensor:
        """Token ids (n, context) of texts, on the model's device."""
        if self.tokenizer is None:
            raise ValueError(
                "this GLIDE has no vocabulary: set `tokenizer` to one of "
                f"{self.base.config.vocab} ids (for the released weights, GPT-2's, of "
                "texts in small letters)."
            )
        tokens = tokenize(texts, self.tokenizer, self.base.config.context)
        return tokens.to(self.device)

    def generate(
        self,
        prompts: Sequence[str],
        *,
        negative: str | Sequence[str] | None = None,
        steps: int = 100,
        guidance: float = 3.0,
        sampler: str = "ddpm",
        seed: int = 0,
        progress: bool = True,
        stages: dict[str, dict] | None = None,
        upsample: bool = True,
        batch: int = 64,
        callback: Callable | None = None,
        clip: NoisedCLIP | None = None,
        clip_guidance: float = 3.0,
    ) -> Tensor:
        """Pictures (n, 3, s, s) in [-1, 1], one for each of n prompts.

        An empty prompt asks for nothing in particular. negative: what to be guided
        away from, one for all or one for each, in place of the empty caption.

        steps, guidance, sampler and callback(step, t, x_t, x0) are the base's; the
        upsampler's are in stages={"upsampler": {"steps": 27, …}}, see `Sampling`.
        upsample=False ends after the base. The defaults are the released code's: 100
        steps of DDPM, then "fast27" of DDIM without guidance; 8 steps for an upsampler
        that answers `on_top`.

        clip: a noised CLIP leads the base, by clip_guidance (2.4); the paper compares
        that, at guidance=1, with guidance alone. batch: how many pictures at once.

        A picture depends on its prompt, its place in the list and the seed, and not on
        the other prompts. Words that the model does not know are warned of. Raises
        ValueError for what is wrong, and MemoryError with a batch to try.
        """
        if clip is not None and sampler != "ddpm":
            raise ValueError(
                "CLIP guidance moves the mean of a step of DDPM: sampler should be "
                f'"ddpm", not {sampler!r}.'
            )
        prompts, negative = check_prompts(prompts, negative)
        plan = self._plan(
            Sampling(steps, guidance, sampler, callback=callback), stages, upsample
        )
        lead = clip and (clip, clip_guidance)
        return self._run(prompts, negative, plan, seed, batch, progress, lead=lead)

    def inpaint(
        self,
        images: Tensor,
        mask: Tensor,
        prompts: Sequence[str],
        *,
        negative: str | Sequence[str] | None = None,
        steps: int = 100,
        guidance: float = 3.0,
        sampler: str = "ddpm",
        seed: int = 0,
        progress: bool = True,
        stages: dict[str, dict] | None = None,
        batch: int = 64,
        callback: Callable | None = None,
    ) -> Tensor:
        """Images (n, 3, s, s) in [-1, 1], painted anew by words within a mask (4.3).

        mask: (n, 1, s, s), or (s, s) for all, of 1 where to paint; elsewhere pixels
        come back as they were. prompts: n, of the whole picture. The rest is
        `generate`'s. For a GLIDE made by `for_inpainting`, and then trained for it.
        """
        if not self.base.config.inpaints:
            raise ValueError(
                "this GLIDE was not trained to fill holes: for_inpainting() makes one "
                "that can be."
            )
        prompts, negative = check_prompts(prompts, negative)
        check.check_given(images, len(prompts), self.image_size)
        mask = check.check_mask(mask, len(prompts), self.image_size)
        plan = self._plan(
            Sampling(steps, guidance, sampler, callback=callback), stages, upsample=True
        )
        given = images.to(self.device), mask.to(self.device)
        return self._run(prompts, negative, plan, seed, batch, progress, given=given)

    def _plan(
        self, how: Sampling, stages: dict[str, dict] | None, upsample: bool
    ) -> dict[str, Sampling]:
        """How each stage is sampled, in the order in which they are."""
        names = [field.name for field in fields(Sampling)]
        asked = check.check_stages(stages, names)
        plan = {"base": how}
        if upsample and self.upsampler is not None:
            usual = ON_TOP if self.upsampler.config.on_top else UPSAMPLER
            plan["upsampler"] = replace(usual, **asked)
        elif asked:
            raise ValueError("stages says how to upsample, and there is no upsampling.")
        return plan

    def _run(
        self,
        prompts: list[str],
        negative: list[str],
        plan: dict[str, Sampling],
        seed: int,
        batch: int,
        progress: bool,
        given: tuple[Tensor, Tensor] | None = None,
        lead: tuple[NoisedCLIP, float] | None = None,
    ) -> Tensor:
        """Batch after batch through every stage of the plan."""
        check_count("seed", seed, least=0)
        check_count("batch", batch)
        if unknown := unknown_words([*prompts, *negative], self.tokenizer, self.words):
            names = ", ".join(map(repr, unknown))
            warnings.warn(
                f"unknown to this model, which can only spell them: {names}",
                stacklevel=3,
            )
        tokens, without = self.tokenize(prompts), self.tokenize(negative)
        starts, done = range(0, len(prompts), batch), []
        steps = sum(how.count for how in plan.values()) * len(starts)
        with at_rest(self), sampling(steps, progress) as line, room_for(batch):
            for start in starts:
                rows, wrap = slice(start, start + batch), None
                if lead is not None:
                    clip, scale = lead
                    similarity = clip.similarity(prompts[rows])
                    wrap = partial(ClipGuided, similarity=similarity, scale=scale)
                x = self._through(
                    plan,
                    tokens[rows],
                    without[rows],
                    noise=partial(noise_of, seed, range(len(prompts))[rows]),
                    given=given and tuple(y[rows] for y in given),
                    wrap=wrap,
                    line=line,
                )
                done.append(x)
        return torch.cat(done)

    def _through(
        self,
        plan: dict[str, Sampling],
        tokens: Tensor,
        without: Tensor,
        *,
        noise: Callable[[str], list[torch.Generator]],
        given: tuple[Tensor, Tensor] | None,
        wrap: Callable | None,
        line,
    ) -> Tensor:
        """One batch through every stage of the plan."""
        x = None
        for name, how in plan.items():
            stage = getattr(self, name)
            size = stage.config.image_size
            x = draw(
                stage,
                tokens,
                without,
                how,
                noise(name),
                low_res=None if x is None else as_8_bit(x),
                known=given and known_part(*shrunk(*given, size)),
                wrap=wrap if name == "base" else None,
                see=seen(line, how.callback),
            )
        return x

    def for_inpainting(self) -> "GLIDE":
        """A copy whose stages can also be told what is known of a picture (4.3).

        Their first convolutions are wider by four channels, whose weights are zero: it
        draws what this one draws, until it is trained to fill holes.
        """
        upsampler = self.upsampler and widened(self.upsampler)
        return GLIDE(widened(self.base), upsampler, self.tokenizer, self.words)

    @classmethod
    def from_size(
        cls, size: str, *, upsampler: bool = True, seed: int = 0, device: str = "cpu"
    ) -> "GLIDE":
        """An untrained model: `smoke`, `laptop`, `gpu` or `paper`; both stages or one.

        On device "meta" it has shapes and no weights. `paper` has no vocabulary.
        """
        check_choice("size", size, SIZES)
        tokenizer = None
        if size != "paper":
            tokenizer = Tokenizer.load(data_path("text", "world_bpe.txt"))
        names = ("base", "upsampler") if upsampler else ("base",)
        configs = [StageConfig(**SIZES[size][name]) for name in names]
        # Layers start from the global generator: fork it, and nobody sees it move.
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            with torch.device("meta" if device == "meta" else "cpu"):
                model = cls(*map(TextUNet, configs), tokenizer=tokenizer)
        return model.to(device, memory_format=torch.channels_last)

    @classmethod
    def from_pretrained(
        cls,
        source: str | Path,
        *,
        upsampler: str | Path | None = None,
        device: str = "cpu",
    ) -> "GLIDE":
        """A trained model: a shipped size, a saved directory, or published weights.

        Published weights are a file of one stage in the released layout (`base.pt`, or
        the same tensors as safetensors), and `upsampler` the other stage's file.
        Raises WeightsError for anything missing, damaged, or of another model.
        """
        configs, state, merges, words = read_glide(source, upsampler)
        tokenizer = Tokenizer(merges) if merges else None
        options = {"tokenizer": tokenizer, "words": words}
        model = weights.filled(
            lambda: cls(*map(TextUNet, configs), **options), state, source
        )
        return model.to(device, memory_format=torch.channels_last)

    def save_pretrained(
        self,
        directory: str | Path,
        card: dict | None = None,
        *,
        half: bool = False,
        overwrite: bool = False,
    ) -> Path:
        """Save weights, configs, vocabulary and words, for `from_pretrained`."""
        merges = getattr(self.tokenizer, "merges", [])  # a published one stays outside
        config = {
            "base": asdict(self.base.config),
            "upsampler": self.upsampler and asdict(self.upsampler.config),
            "merges": [" ".join(pair) for pair in merges],
            "words": sorted(self.words),
        }
        return weights.save(
            directory, self.state_dict(), config, card, half=half, overwrite=overwrite
        )


def seen(line, callback: Callable | None) -> Callable:
    """What sees each step: the line on the screen, and the caller's callback."""

    def see(*step):
        line.update()
        if callback is not None:
            callback(*step)

    return see


@contextlib.contextmanager
def at_rest(model: nn.Module) -> Iterator[None]:
    """Without dropout; afterwards the model is in the mode that it was in."""
    training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(training)


@contextlib.contextmanager
def room_for(batch: int) -> Iterator[None]:
    """MemoryError with the batch to try, where so many pictures have no room."""
    try:
        yield
    except RuntimeError as error:
        if not any(x in str(error) for x in ("out of memory", "can't allocate memory")):
            raise
        advice = (
            f"try batch={batch // 2}" if batch > 1 else "this model is too large for it"
        )
        raise MemoryError(
            f"{batch} pictures at once do not fit in this device's memory: {advice}."
        ) from None
