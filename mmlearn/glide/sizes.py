"""GLIDE's sizes, and the table of the large one that was never released.

`paper` is the released "GLIDE (filtered)", 385,030,726 and 398,361,286 parameters, each
with its text transformer. The paper's own model is nine times as large:

                        released             the paper's (4.1)
    base, 64 px         192 wide             512 wide, 2.3 B
      its text          16 layers of 512     24 layers of 2,048, 1.2 B
      trained for                            2.5 M steps of 2,048 pictures
    upsampler, 256 px   192 wide             384 wide, 1.5 B with its text
      its text          16 layers of 512     1,024 wide
      trained for                            1.6 M steps of 512 pictures
    then, both          20 % of the captions are left out, for guidance (4.2)
"""

WORLD = {"vocab": 2048, "context": 24}  # a caption of the world has 22 at most
RELEASED = (
    {"vocab": 50_257, "context": 128, "width": 192, "attention_at": (32, 16, 8)}
    | {"text_width": 512, "text_layers": 16, "text_heads": 8}
    | {"dropout": 0.1}
)
UPSAMPLER = {"upsamples": True, "schedule": "linear"}
PATCHES = {"patch": 4, "predicts": "x0"}  # not the paper's: see `StageConfig`
SIZES = {
    "smoke": {
        "base": WORLD
        | {"image_size": 32, "width": 16, "multiples": (1, 2), "blocks": 1}
        | {"attention_at": (8, 4), "head_width": 16, "groups": 8}
        | {"text_width": 32, "text_layers": 1, "text_heads": 1}
        | PATCHES,
        "upsampler": WORLD
        | {"image_size": 64, "width": 8, "multiples": (1, 2), "blocks": 1}
        | {"attention_at": (8,), "head_width": 16, "groups": 8}
        | {"text_width": 32, "text_layers": 1, "text_heads": 1}
        | UPSAMPLER
        | PATCHES
        | {"on_top": True},
    },
    "laptop": {
        "base": WORLD
        | {"image_size": 32, "width": 64, "multiples": (1, 2), "blocks": 1}
        | {"attention_at": (8, 4), "head_width": 16, "groups": 8}
        | {"text_width": 128, "text_layers": 2, "text_heads": 2}
        | PATCHES,
        "upsampler": WORLD
        | {"image_size": 64, "width": 32, "multiples": (1, 2), "blocks": 1}
        | {"attention_at": (8,), "head_width": 64, "groups": 8}
        | {"text_width": 64, "text_layers": 1, "text_heads": 1}
        | UPSAMPLER
        | PATCHES
        | {"on_top": True},
    },
    "gpu": {
        "base": WORLD
        | {"image_size": 64, "width": 96, "multiples": (1, 2, 3, 4), "blocks": 2}
        | {"attention_at": (16, 8), "head_width": 96, "groups": 32}
        | {"text_width": 256, "text_layers": 4, "text_heads": 4},
        "upsampler": WORLD
        | {"image_size": 256, "width": 32, "multiples": (1, 1, 2, 2, 4, 4)}
        | {"blocks": 1, "attention_at": (16, 8), "head_width": 64, "groups": 32}
        | {"text_width": 128, "text_layers": 2, "text_heads": 2}
        | UPSAMPLER,
    },
    "paper": {
        "base": RELEASED | {"image_size": 64, "multiples": (1, 2, 3, 4), "blocks": 3},
        "upsampler": RELEASED
        | {"image_size": 256, "multiples": (1, 1, 2, 2, 4, 4), "blocks": 2}
        | UPSAMPLER,
    },
}
# The chapter's lesson, which shows one thing at a time, does with few, wide heads (the
# paper's are 64 wide); and so its measured claims need not be made anew with `laptop`.
ROOM = {"context": 32}
SIZES["lesson"] = {
    "base": SIZES["laptop"]["base"] | ROOM | {"head_width": 64},
    "upsampler": SIZES["laptop"]["upsampler"] | ROOM,
}
# What the paper says of its base, on what is known of the released one.
PAPER_3_5B = SIZES["paper"]["base"] | {
    "width": 512,
    "text_width": 2048,
    "text_layers": 24,
    "text_heads": 32,
}
