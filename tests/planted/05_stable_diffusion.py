"""Typical mistakes in the exercises of 05_stable_diffusion, and each one's hint."""

KL = """def latent_and_kl(mean, logvar, generator):
    noise = torch.randn(mean.shape, generator=generator)
    z = mean + (logvar / 2).exp() * noise
    each = mean**2 + logvar.exp() - 1 - logvar
    return z, each.flatten(1).sum(dim=1) / 2
"""
SCALED = """class InLatents:
    def __init__(self, encoder, decoder, images):
        self.encoder, self.decoder = encoder, decoder
        self.scale = 1 / encoder(images).std().item()

    def encode(self, images):
        return self.scale * self.encoder(images)

    def decode(self, latents):
        return self.decoder(latents / self.scale)
"""
GATED = """def geglu(x, fc1, fc2):
    h, gate = fc1(x).chunk(2, dim=-1)
    return fc2(h * F.gelu(gate))
"""
CROSS = """def cross_attention(x, words, w_q, w_k, w_v, heads):
    q, k, v = x @ w_q.T, words @ w_k.T, words @ w_v.T
    q, k, v = (y.unflatten(2, (heads, -1)).transpose(1, 2) for y in (q, k, v))
    fits = q @ k.transpose(2, 3) / q.shape[-1] ** 0.5
    shares = fits.softmax(dim=3)
    return (shares @ v).transpose(1, 2).flatten(2), shares
"""
V = """def v_and_back(x0, noise, v, alpha, sigma):
    a, s = alpha[:, None, None, None], sigma[:, None, None, None]
    x_t = a * x0 + s * noise
    return a * noise - s * x0, a * x_t - s * v, s * x_t + a * v
"""
ARC = """def slerp(a, b, s):
    cosine = (a * b).sum() / (a.norm() * b.norm())
    angle = cosine.clamp(-1, 1).acos()
    if angle < 1e-3:
        return (1 - s) * a + s * b
    return (((1 - s) * angle).sin() * a + (s * angle).sin() * b) / angle.sin()
"""
AWAY = """def away_from(network, read, x, t, prompts, negative, s):
    words = read(prompts + negative)
    c, n = network(torch.cat([x, x]), torch.cat([t, t]), words).chunk(2)
    return n + s * (c - n)
"""
THREE = """def away_from(network, read, x, t, prompts, negative, s):
    words = read(prompts + [""] * len(prompts) + negative)
    c, u, n = network(torch.cat([x] * 3), torch.cat([t] * 3), words).chunk(3)
    return u + s * (c - u) - s * (n - u)
"""
START = """def image_to_image(images, encode, scale, noise, bar, timesteps, strength):
    count = round(strength * len(timesteps))
    times, z = timesteps[:count][::-1], scale * encode(images)
    if count == 0:
        return times, z
    left = bar[times[0]].item()
    return times, left**0.5 * z + (1 - left) ** 0.5 * noise
"""
CEIL = "__import__('math').ceil(strength * len(timesteps))"
AXES = "left[:, None, None, None]"


def but(code: str, right: str, wrong: str) -> str:
    """The code with one thing in it changed."""
    assert right in code, right
    return code.replace(right, wrong)


PLANTED = {
    "latent_and_kl": [
        (but(KL, "(logvar / 2).exp() *", "logvar.exp() *"), "the spread is σ²"),
        (but(KL, "(logvar / 2).exp() *", "logvar *"), "logvar is a logarithm"),
        (but(KL, "(logvar / 2).exp() *", "logvar / 2 *"), "e to the power of it is σ"),
        (but(KL, "(logvar / 2).exp() * noise", "noise"), "not multiplied by σ"),
        (but(KL, "mean + (logvar / 2).exp() * noise", "mean"), "nothing was drawn"),
        (but(KL, "mean + (logvar", "(logvar"), "around another mean"),
        (
            but(KL, "(logvar / 2).exp() *", "(2 * logvar).exp() *"),
            "the noise in yours has",
        ),
        (but(KL, "randn(mean.shape", "randn(mean.shape[1:]"), "share one noise"),
        (
            but(KL, "randn(mean.shape", "randn(len(mean), 1, *mean.shape[2:]"),
            "all channels share",
        ),
        (
            but(KL, "randn(mean.shape", "randn(*mean.shape[:2], 1, 1"),
            "all places share",
        ),
        (
            but(KL, "generator=generator", "generator=generator.manual_seed(0)"),
            "the next call draws the same",
        ),
        (but(KL, ", generator=generator", ""), "draw from `generator`"),
        (but(KL, " / 2\n", "\n"), "all of it is halved"),
        (but(KL, "+ logvar.exp()", "+ (logvar / 2).exp()"), "where σ² should be"),
        (but(KL, "1 - logvar", "1 + logvar"), "is taken away, not added"),
        (but(KL, "1 - logvar", "1 - logvar / 2"), "you have half of it"),
        (but(KL, " - 1 - ", " - "), "itself must get 0"),
        (but(KL, "mean**2", "mean"), "μ is not squared"),
        (but(KL, "return z, each", "return z, -each"), "never negative"),
        (but(KL, ".sum(dim=1)", ".mean(dim=1)"), "that is the *mean*"),
        (but(KL, ".flatten(1).sum(dim=1)", ".sum()"), "for the whole batch"),
        (but(KL, ".flatten(1).sum(dim=1)", ""), "each latent's KL"),
        (but(KL, "return z, ", "return "), "return two tensors"),
        (but(KL, "(logvar / 2).exp() *", "logvar.sqrt() *"), "has no root"),
        (but(KL, "torch.randn", "torch.rand"), "randn draws from N(0, 1)"),
        (but(KL, "(logvar / 2).exp() * noise", "logvar.exp() * noise**2"), "of randn"),
        (
            but(KL, "z = mean + (logvar / 2).exp() *", "z = mean.add_(1) + logvar *"),
            "`mean` that you were given was changed",
        ),
        (
            but(KL, "mean + (logvar / 2).exp()", "mean + logvar.div_(2).exp()"),
            "`logvar` that you were given was changed",
        ),
        (but(KL, "mean**2", "z**2"), "the latent that was drawn"),
        (but(KL, "1 - logvar", "1 - logvar.log()"), "ln σ² already"),
    ],
    "in_latents": [
        (but(SCALED, "1 / encoder", "encoder"), "the scale is 1 over it"),
        (but(SCALED, ".std().item()", ".std(dim=0)"), "should be *one* number"),
        (but(SCALED, ".std().item()", ".std(dim=0).mean()"), "over the *batch* alone"),
        (
            but(SCALED, ".std().item()", ".std(dim=(0, 2, 3), keepdim=True)"),
            "yours is (1, 4, 1, 1)",
        ),
        (
            but(SCALED, ".std().item()", ".std(dim=(0, 2, 3)).mean()"),
            "an average of several",
        ),
        (but(SCALED, ".std()", ".var()"), "over the *variance*"),
        (but(SCALED, ".std()", ".square().mean().sqrt()"), "the latents' mean?"),
        (but(SCALED, "1 / encoder(images)", "1 / images"), "measured on pixels"),
        (but(SCALED, ".std()", ".abs().max()"), "the largest number"),
        (but(SCALED, "1 / encoder(images).std().item()", "0.18215"), "deviation is 1"),
        (but(SCALED, "self.scale * self", "self"), "autoencoder's own size"),
        (
            but(
                SCALED,
                "        return self.scale * self.encoder(images)",
                "        z = self.encoder(images)\n        return z / z.std()",
            ),
            "measures a new scale",
        ),
        (
            but(
                SCALED,
                "self.scale * self.encoder(images)",
                "self.encoder(images) / self.scale",
            ),
            "encode divides by the scale",
        ),
        (
            but(
                SCALED,
                "self.scale * self.encoder(images)",
                "self.scale * (self.encoder(images) - self.mean)",
            ).replace(
                "        self.scale =",
                "        self.mean = encoder(images).mean()\n        self.scale =",
            ),
            "takes the mean away",
        ),
        (but(SCALED, "latents / self.scale", "latents"), "never told of the scale"),
        (but(SCALED, "latents / self", "latents * self"), "encode did already"),
        (
            but(SCALED, "(latents / self.scale)", "(latents) / self.scale"),
            "the *picture* was divided",
        ),
        (but(SCALED, ".std()", ".flatten(1).std(1).mean()"), "single pictures"),
        (
            but(
                SCALED,
                "1 / encoder(images).std()",
                "(1 / encoder(images).flatten(1).std(1)).mean()",
            ),
            "scales of single pictures",
        ),
    ],
    "geglu": [
        (but(GATED, "h * F.gelu(gate)", "F.gelu(h) * gate"), "the gate *last*"),
        (but(GATED, "h * F.gelu", "F.gelu(h) * F.gelu"), "both halves went through"),
        (but(GATED, "h * F", "h + F"), "a gate multiplies"),
        (but(GATED, "F.gelu(gate)", "gate"), "no GELU"),
        (but(GATED, "h * F.gelu(gate)", "F.gelu(h * gate)"), "GELU of the product"),
        (but(GATED, "h * F", "F"), "the first half is gone"),
        (but(GATED, "h * F.gelu(gate)", "h"), "the gate is never used"),
        (but(GATED, "F.gelu", "torch.sigmoid"), "this is GLU"),
        (but(GATED, "F.gelu", "F.relu"), "this is ReGLU"),
        (but(GATED, "F.gelu", "F.silu"), "this is SwiGLU"),
        (but(GATED, "F.gelu(gate", 'F.gelu(gate, approximate="tanh"'), "exact one"),
        (but(GATED, "dim=-1", "dim=1"), "halve the *last* axis"),
        (
            "def geglu(x, fc1, fc2):\n    return fc2(F.gelu(fc1(x)))",
            "halve the *last* axis",
        ),
        (
            but(
                GATED, "fc1(x).chunk(2, dim=-1)", "fc1(x)[..., ::2], fc1(x)[..., 1::2]"
            ),
            "is no half",
        ),
        (but(GATED, "return fc2", "return x + fc2"), "x is added"),
        (but(GATED, "fc2(h * F.gelu(gate))", "F.gelu(fc2(h * gate))"), "in this order"),
    ],
    "cross_attention": [
        (but(CROSS, "dim=3", "dim=2"), "ran over the *places*"),
        (but(CROSS, "dim=3", "dim=1"), "ran over the heads"),
        (but(CROSS, " / q.shape[-1] ** 0.5", ""), "the softmax is too sure"),
        (but(CROSS, "q.shape[-1] **", "x.shape[-1] **"), "*one* head's width"),
        (but(CROSS, "q.shape[-1] ** 0.5", "q.shape[-1]"), "it should be √d"),
        (but(CROSS, "words @ w_k.T, words", "x @ w_k.T, x"), "as in self-attention"),
        (but(CROSS, "words @ w_k.T", "x @ w_k.T"), "the keys are the picture's"),
        (but(CROSS, "words @ w_v.T", "x @ w_v.T"), "the values are the picture's"),
        (but(CROSS, "x @ w_q.T", "words @ w_q.T"), "the queries are the words'"),
        (
            but(
                CROSS,
                "x @ w_q.T, words @ w_k.T, words @ w_v.T",
                "words @ w_q.T, x @ w_k.T, x @ w_v.T",
            ),
            "the words ask and the picture answers",
        ),
        (
            but(CROSS, "unflatten(2, (heads, -1))", "unflatten(2, (1, -1))"),
            "one head is all you have",
        ),
        (
            but(
                CROSS,
                "y.unflatten(2, (heads, -1)).transpose(1, 2)",
                "y.reshape(len(y), heads, -1, y.shape[2] // heads)",
            ),
            "reshape cut across tokens",
        ),
        (
            but(
                CROSS,
                ".transpose(1, 2).flatten(2), shares",
                ".reshape(x.shape), shares",
            ),
            "put together in the wrong order",
        ),
        (but(CROSS, ".flatten(2), shares", ".flatten(2)"), "return two tensors"),
        (but(CROSS, "flatten(2), shares", "flatten(2), fits"), "these are the fits"),
        (
            but(CROSS, "flatten(2), shares", "flatten(2), shares.mean(dim=1)"),
            "each head has its own",
        ),
        (but(CROSS, "w_q.T", "w_q"), "w_q without .T"),
        (but(CROSS, "w_v.T", "w_v"), "w_v without .T"),
        (CROSS.replace(".T", ""), "w_q, w_k, w_v without .T"),
        (
            but(
                CROSS,
                "words @ w_k.T, words @ w_v.T",
                "words @ w_v.T, words @ w_k.T",
            ),
            "w_k and w_v have changed places",
        ),
        (but(CROSS, "(heads, -1)", "(-1, heads)"), "with the heads first"),
        (
            but(
                CROSS,
                "unflatten(2, (heads, -1)).transpose(1, 2)",
                "unflatten(2, (-1, heads)).permute(0, 3, 1, 2)",
            ),
            "with the heads first",
        ),
        (but(CROSS, "return (", "return x + ("), "x is added"),
        (
            but(CROSS, "(heads, -1)).transpose(1, 2)", "(heads, -1))"),
            "the heads stand after the tokens",
        ),
        (
            but(CROSS, "(heads, -1)).transpose(1, 2)", "(heads, -1))").replace(
                "(shares @ v).transpose(1, 2)", "(shares @ v)"
            ),
            "the heads stand after the tokens",
        ),
        (
            but(CROSS, "(shares @ v).transpose(1, 2)", "(shares @ v)"),
            "change these two axes back first",
        ),
    ],
    "v_and_back": [
        (but(V, "a * noise - s * x0", "s * x0 - a * noise"), "the target's sign"),
        (but(V, "a * noise - s * x0", "s * noise - a * x0"), "places in the target"),
        (but(V, "return a * noise - s * x0", "return x_t"), "at a right angle"),
        (but(V, "a * noise - s * x0", "a * noise + s * x0"), "you have a sum"),
        (but(V, "return a * noise - s * x0", "return v"), "what it *should* say"),
        (but(V, "return a * noise - s * x0", "return noise"), "another network's"),
        (but(V, "a * noise - s * x0", "a**2 * noise - s * x0"), "should be α ε"),
        (but(V, "a * x_t - s * v, ", "a * x_t + s * v, "), "x0: the sign"),
        (but(V, "a * x_t - s * v, ", "s * x_t - a * v, "), "x0: α and σ"),
        (but(V, "a * x_t - s * v, ", "x0, "), "the true x0"),
        (
            but(V, "a * x_t - s * v, ", "a * noise - s * v, "),
            "your x_t is not α x0 + σ ε, but ε",
        ),
        (but(V, "a * x_t - s * v, ", "(x_t - s * v) / a, "), "divide by neither"),
        (
            but(V, "a * x_t - s * v, ", "(x_t - s * v) / a.clamp(min=1e-9), "),
            "a network that says ε",
        ),
        (but(V, "s * x_t + a * v", "s * x_t - a * v"), "ε: the sign"),
        (but(V, "s * x_t + a * v", "a * x_t + s * v"), "ε: α and σ"),
        (but(V, ", s * x_t + a * v", ", noise"), "the true ε"),
        (
            but(
                V,
                "alpha[:, None, None, None], sigma[:, None, None, None]",
                "alpha, sigma",
            ),
            "three more axes",
        ),
        (but(V, ", s * x_t + a * v", ""), "return three tensors"),
        (but(V, "x_t = a * x0 + s * noise", "x_t = x0"), "x_t is not α x0 + σ ε"),
        (but(V, "x_t = a * x0", "x_t = x0"), "x_t is not α x0 + σ ε"),
        (
            but(V, "x_t = a * x0 + s * noise", "x_t = s * x0 + a * noise"),
            "x_t is not α x0 + σ ε",
        ),
        (
            but(V, "x_t = a * x0 + s * noise", "x_t = a * x0 - s * noise"),
            "x_t is not α x0 + σ ε; what",
        ),
        (
            but(
                V,
                "alpha[:, None, None, None], sigma[:, None, None, None]",
                "alpha[0], sigma[0]",
            ),
            "each latent has its own pair",
        ),
        (
            but(V, "alpha[:, None, None, None]", "alpha.mean()"),
            "each latent has its own pair",
        ),
        (
            but(
                V,
                "a * x_t - s * v, s * x_t + a * v",
                "s * x_t + a * v, a * x_t - s * v",
            ),
            "these are exchanged",
        ),
        (but(V, "[:, None, None, None]", "[None, :, None, None]"), "meet axis 1"),
        (but(V, "[:, None, None, None]", "[:, None, None]"), "meet axis 1"),
        (but(V, "[:, None, None, None]", "[None, None, :, None]"), "meet axis 2"),
    ],
    "slerp": [
        ("def slerp(a, b, s):\n    return (1 - s) * a + s * b", "the straight line;"),
        (but(ARC, " / (a.norm() * b.norm())", ""), "divided by *both* lengths"),
        (
            but(ARC, " / (a.norm() * b.norm())", "").replace(".clamp(-1, 1)", ""),
            "divided by *both* lengths",
        ),
        (
            but(ARC, "    if angle < 1e-3:\n        return (1 - s) * a + s * b\n", ""),
            "go along the line",
        ),
        (but(ARC, "angle < 1e-3", "torch.equal(a, b)"), "go along the line"),
        (but(ARC, ".clamp(-1, 1)", ""), "yours is nan: rounding"),
        (
            but(
                ARC,
                "cosine.clamp(-1, 1).acos()",
                "torch.tensor(__import__('math').acos(cosine))",
            ),
            "yours is nan: rounding",
        ),
        (
            but(ARC, "return (1 - s) * a + s * b", "return a"),
            "where b = 2 a, you return a",
        ),
        (
            but(ARC, "return (1 - s) * a + s * b", "return s * a + (1 - s) * b"),
            "where b = 2 a, s runs the other way",
        ),
        (but(ARC, "angle < 1e-3", "angle < 0.1"), "at an angle of 0.04"),
        (
            but(
                ARC,
                "(((1 - s) * angle).sin() * a + (s *",
                "((s * angle).sin() * a + ((1 - s) *",
            ),
            "s runs the other way",
        ),
        (
            but(
                ARC,
                "    cosine = (a * b).sum() / (a.norm() * b.norm())\n",
                "    a, b = a / a.norm(), b / b.norm()\n    cosine = (a * b).sum()\n",
            ),
            "blend a and b",
        ),
        (
            "def slerp(a, b, s):\n"
            "    line = (1 - s) * a + s * b\n"
            "    return line / line.norm()",
            "pushed out to length 1",
        ),
        (
            "def slerp(a, b, s):\n"
            "    line = (1 - s) * a + s * b\n"
            "    length = (1 - s) * a.norm() + s * b.norm()\n"
            "    return line / line.norm() * length",
            "fast in the middle",
        ),
        (but(ARC, " / angle.sin()", ""), "divide by sin Ω"),
        (but(ARC, "angle).sin()", "angle).cos()"), "they are sines"),
        (
            but(
                ARC,
                "cosine = (a * b).sum() / (a.norm() * b.norm())",
                "cosine = F.cosine_similarity(a, b, dim=-1)[..., None]",
            ).replace("if angle < 1e-3", "if angle.max() < 1e-3"),
            "for each row of places",
        ),
        (
            but(
                ARC,
                "cosine = (a * b).sum() / (a.norm() * b.norm())",
                "cosine = F.cosine_similarity(a, b, dim=0)",
            ).replace("if angle < 1e-3", "if angle.max() < 1e-3"),
            "for each place",
        ),
        (
            but(
                ARC,
                "cosine = (a * b).sum() / (a.norm() * b.norm())",
                "cosine = F.cosine_similarity(a.flatten(1), b.flatten(1))"
                "[:, None, None]",
            ).replace("if angle < 1e-3", "if angle.max() < 1e-3"),
            "for each channel",
        ),
        (
            but(
                ARC,
                "    return (((1",
                "    b = b / b.norm() * a.norm()\n    return (((1",
            ),
            "both were made as long as a",
        ),
        (
            but(
                ARC,
                "    return (((1",
                "    size = (1 - s) * a.norm() + s * b.norm()\n"
                "    a, b = size * a / a.norm(), size * b / b.norm()\n"
                "    return (((1",
            ),
            "the length is blended by itself",
        ),
        (
            "def slerp(a, b, s):\n"
            "    angle = torch.tensor(s * torch.pi / 2)\n"
            "    return angle.cos() * a + angle.sin() * b",
            "for a right angle",
        ),
    ],
    "away_from": [
        (but(AWAY, "+ negative", '+ [""] * len(prompts)'), "nobody listens"),
        (but(AWAY, "prompts + negative", 'negative + [""] * len(x)'), "goes *towards*"),
        (but(AWAY, "c, n = network", "n, c = network"), "changed places"),
        (but(AWAY, "prompts + negative", "negative + prompts"), "changed places"),
        (but(AWAY, "n + s *", "n - s *"), "the sign"),
        (but(AWAY, "n + s *", "c + s *"), "start from ε_n"),
        (but(AWAY, "+ s *", "+ (s - 1) *"), "would fit a start from ε_c"),
        (THREE, "no third answer is needed"),
        (but(THREE, "- s * (n - u)", "- (n - u)"), "needs only two"),
        (
            but(THREE, "u + s * (c - u) - s * (n - u)", "u + s * (c - n)"),
            "starts from the empty prompt",
        ),
        (but(AWAY, "n + s * (c - n)", "c"), "unguided"),
        (but(AWAY, "n + s * (c - n)", "n"), "*not* wanted, alone"),
        (
            but(AWAY, "+ negative", "+ [negative[1]] * len(x)"),
            "each needs its own time and its own words",
        ),
        (
            but(AWAY, "+ negative", '+ [" ".join(negative)] * len(x)'),
            "became one text",
        ),
        (but(AWAY, "+ s *", "+ s * s *"), "at s = 4 this is not"),
        (but(AWAY, "torch.cat([t, t])", "t"), "3 times and words of 6 texts"),
        (
            but(AWAY, "torch.cat([t, t])", "t.repeat_interleave(2)"),
            "row 1 of your batch has picture 1 and the time of picture 0",
        ),
        (
            but(AWAY, "torch.cat([x, x])", "x.repeat_interleave(2, dim=0)"),
            "each needs its own time and its own words",
        ),
        (
            but(AWAY, "read(prompts + negative)", 'read(f"{prompts} {negative}")'),
            "read takes a list",
        ),
        (
            "def away_from(network, read, x, t, prompts, negative, s):\n"
            "    c, n = network(x, t, read(prompts)), network(x, t, read(negative))\n"
            "    return n + s * (c - n)",
            "in 2 calls",
        ),
    ],
    "image_to_image": [
        (
            but(START, "[:count][::-1]", "[-count:][::-1]"),
            "the *first* steps of a walk",
        ),
        (but(START, "[:count][::-1]", "[:count]"), "times fall"),
        (but(START, "round(strength", "round((1 - strength)"), "turned round"),
        (but(START, "[:count][::-1]", "[::-1]"), "the strength is not heard"),
        (but(START, "round(", "int("), "int() cuts it off"),
        (but(START, "[:count][::-1]", "[: count - 1][::-1]"), "yours are 11"),
        (
            but(
                START,
                "timesteps[:count][::-1]",
                "[int(1000 * strength) - 50 * i for i in range(count)]",
            ),
            "none of the sampler's steps",
        ),
        (but(START, "bar[times[0]]", "bar[-1]"), "noised as at t = 999"),
        (
            but(START, "bar[times[0]]", "bar[times[-1]]"),
            "noised as at t = 49",
        ),
        (
            but(START, "bar[times[0]]", "bar[count]"),
            "noised as at t = 12",
        ),
        (but(START, "scale * encode", "encode"), "multiply by `scale` first"),
        (
            but(START, "scale * encode(images)", "encode(images) / scale"),
            "divided by the scale",
        ),
        (
            but(START, "scale * encode", "encode").replace(
                "times, left**0.5 * z + (1 - left) ** 0.5 * noise",
                "times, scale * (left**0.5 * z + (1 - left) ** 0.5 * noise)",
            ),
            "variance 1 already",
        ),
        (but(START, "(1 - left) ** 0.5 * noise", "noise"), "too much of it"),
        (but(START, "left**0.5 * z", "z"), "picture *and* noise"),
        (
            but(START, "left**0.5 * z + (1 - left) ** 0.5", "left * z + (1 - left)"),
            "take their roots",
        ),
        (
            but(
                START,
                "left**0.5 * z + (1 - left) ** 0.5",
                "(1 - left) ** 0.5 * z + left**0.5",
            ),
            "have changed places",
        ),
        (but(START, "(1 - left) ** 0.5", "(1 - left**0.5)"), "not 1 − √ᾱ"),
        (but(START, " + (1 - left) ** 0.5 * noise", " * left**-0.5"), "no noise"),
        (
            but(START, "left**0.5 * z + (1 - left) ** 0.5 * noise", "noise"),
            "noise alone",
        ),
        (but(START, "    if count == 0:\n        return times, z\n", ""), "no step is"),
        (
            but(
                START, "        return times, z\n", "        return times, z + noise\n"
            ),
            "nothing is changed",
        ),
        (but(START, "return times, left", "return left"), "return two things"),
        (
            but(START, "round(strength * len(timesteps))", CEIL),
            "the next whole number *above*",
        ),
        (
            but(START, "round(strength * len(timesteps))", CEIL[:-1] + " - 1e-9)"),
            "the next whole number *above*",
        ),
        (
            but(
                START,
                "round(strength * len(timesteps))",
                "int(strength * len(timesteps) + 0.99)",
            ),
            "the next whole number *above*",
        ),
        (
            but(
                START,
                "timesteps[:count][::-1]",
                "[t for t in timesteps if t < 1000 * strength][::-1]",
            ),
            "not of the time",
        ),
        (
            but(START, "bar[times[0]]", "bar[int(strength * 999)]"),
            "not of the time",
        ),
        (
            but(START, "left = bar[times[0]].item()", "left = bar[[times[0]]]").replace(
                "left**0.5 * z + (1 - left) ** 0.5",
                f"{AXES}**0.5 * z + (1 - {AXES}) ** 0.5",
            ),
            "the numbers are right, but of torch.float64",
        ),
        (
            but(START, "return times, left", "return torch.tensor(times), left"),
            "not a Tensor",
        ),
        (
            but(START, "return times, left", "return tuple(times), left"),
            "not a tuple",
        ),
        (
            but(START, "return times, left", "return [*torch.tensor(times)], left"),
            "should hold whole numbers",
        ),
        (
            but(START, "timesteps[:count][::-1]", "timesteps[:count]")
            .replace("    count =", "    timesteps.reverse()\n    count =")
            .replace("timesteps[:count]", "timesteps[len(timesteps) - count :]"),
            "`timesteps` itself was changed",
        ),
        (
            but(START, "timesteps[:count][::-1]", "timesteps[::-1][-count:]"),
            "[-0:] is the whole list",
        ),
        (
            but(
                START,
                "left**0.5 * z + (1 - left) ** 0.5",
                "z + ((1 - left) / left) ** 0.5",
            ),
            "a picture that is not made smaller",
        ),
        (
            but(
                START,
                "    return times, left**0.5 * z + (1 - left) ** 0.5 * noise",
                "    for t in times[::-1]:\n"
                "        left = bar[t].item()\n"
                "        z = left**0.5 * z + (1 - left) ** 0.5 * noise\n"
                "    return times, z",
            ),
            "it is noised step after step",
        ),
        (but(START, "bar[times[0]].item()", "1 - strength"), "mixed by √strength"),
        (
            but(
                START,
                "left**0.5 * z + (1 - left) ** 0.5",
                "(1 - strength) * z + strength",
            ),
            "mixed by the strength",
        ),
    ],
}
