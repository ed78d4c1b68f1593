"""The tokenizer: CLIP's ids, nothing unknown, nothing lost without a word."""

import gzip
import json
import warnings

import pytest
import torch

from mmlearn.paths import data_path
from mmlearn.text.bpe import PATTERN, Tokenizer

TEXTS = [
    "a big red heart and a small fox in a meadow",
    "two blue cubes on top of a fox",
    "a 3D render of a dog, it's here",
    "the foxes don't see 12 dogs",
]
AWKWARD = [
    *TEXTS,
    "  Tabs\tand\nlines,   CAPITALS  ",
    "naïve café, 日本語, Ωμέγα, 🦊🦊!",
    "x²+½y_z -- e-mail@home (we'll they're I'd 've)",
    "",
    "<b>",
]


@pytest.fixture(scope="module")
def tokenizer():
    return Tokenizer.train(TEXTS, vocab=580, context=16)


@pytest.fixture(scope="module")
def world():
    return Tokenizer.load(data_path("text", "world_bpe.txt"), context=16)


def test_ids_are_those_of_transformers(tokenizer, tmp_path):
    transformers = pytest.importorskip("transformers")
    tokenizer.save(tmp_path / "merges.txt")
    (tmp_path / "vocab.json").write_text(json.dumps(tokenizer.ids))
    theirs = transformers.CLIPTokenizer(
        str(tmp_path / "vocab.json"), str(tmp_path / "merges.txt")
    )
    for text in AWKWARD:
        ids = [tokenizer.sot, *tokenizer.encode(text), tokenizer.eot]
        assert ids == theirs(text).input_ids, text


def test_words_are_cut_as_the_published_pattern_cuts_them():
    regex = pytest.importorskip("regex")
    published = regex.compile(
        r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"
    )
    latin = [f"a{chr(i)}b{chr(i)}1" for i in range(32, 0x250)]
    for text in [*AWKWARD, *latin, "a²³½①Ⅷ٣१", "a\u0301e\u0301"]:
        assert PATTERN.findall(text.lower()) == published.findall(text.lower()), text


def test_first_merges_are_those_of_the_algorithm():
    # aab aab ab: "a b</w>" occurs 3 times, then "a ab</w>" twice.
    assert Tokenizer.train(["aab aab ab"], vocab=516).merges == [
        ("a", "b</w>"),
        ("a", "ab</w>"),
    ]


def test_training_does_not_depend_on_the_order_of_texts():
    assert (
        Tokenizer.train(TEXTS, vocab=560).merges
        == Tokenizer.train(TEXTS[::-1], vocab=560).merges
    )


def test_every_text_comes_back(tokenizer):
    for text in AWKWARD:
        again = tokenizer.decode(tokenizer.encode(text))
        assert again.replace(" ", "") == "".join(text.lower().split())
    assert tokenizer.decode(tokenizer(TEXTS[0])[0]) == TEXTS[0]


def test_rows_are_start_words_end_zeros(tokenizer):
    rows = tokenizer(["a fox", ""])
    assert rows.dtype == torch.long and rows.shape == (2, 16)
    a, fox = tokenizer.encode("a fox")
    assert rows[0].tolist() == [tokenizer.sot, a, fox, tokenizer.eot, *[0] * 12]
    assert rows[1].tolist() == [tokenizer.sot, tokenizer.eot, *[0] * 14]
    assert tokenizer.eot == len(tokenizer) - 1
    assert rows.argmax(dim=1).tolist() == [3, 1]
    assert torch.equal(tokenizer("a fox"), rows[:1])


def test_no_text_can_spell_the_end(tokenizer):
    row = tokenizer(["a <|endoftext|> fox"])[0]
    assert (row == tokenizer.eot).sum() == 1


def test_truncation_keeps_the_end_and_says_what_was_dropped(tokenizer):
    with pytest.warns(UserWarning, match=r"20 tokens and only 14 fit.*'dog dog dog "):
        row = tokenizer("fox " * 14 + "dog " * 6)[0]
    assert row[-1] == tokenizer.eot and row[0] == tokenizer.sot
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        tokenizer("fox " * 14)


def test_saving_and_loading_changes_nothing(tokenizer, tmp_path):
    tokenizer.save(tmp_path / "a.txt")
    again = Tokenizer.load(tmp_path / "a.txt", context=16)
    assert again.merges == tokenizer.merges and len(again) == len(tokenizer)
    zipped = tmp_path / "a.txt.gz"
    zipped.write_bytes(gzip.compress((tmp_path / "a.txt").read_bytes()))
    assert Tokenizer.load(zipped).merges == tokenizer.merges
    assert len(Tokenizer.load(zipped, vocab=550)) == 550
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.txt", "a.txt.gz"]


def test_shipped_vocabulary_has_everyday_words_whole(world):
    assert len(world) == 2048
    for word in ("dog", "fox", "heart", "red", "meadow", "umbrella", "cube", "hearts"):
        assert len(world.encode(word)) == 1, word
    assert len(world.encode("defenestration")) > 1
    assert world.decode(world.encode("defenestration")) == "defenestration"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "first line"),
        (b"dear diary\nfoo bar\n", "first line"),
        (b"#version: 0.2\na b c\n", "line 2, 'a b c'"),
        (b"#version: 0.2\na b\nzz q\n", "line 3, 'zz q'"),
        (b"\xff\xfe\x00", "not text"),
    ],
)
def test_a_file_that_is_no_vocabulary_is_refused(content, message, tmp_path):
    (tmp_path / "bad.txt").write_bytes(content)
    with pytest.raises(ValueError, match=message):
        Tokenizer.load(tmp_path / "bad.txt")


def test_bad_input_is_one_clear_sentence(tokenizer, tmp_path):
    with pytest.raises(TypeError, match="must be a string, not int: 3"):
        tokenizer([3])
    with pytest.raises(TypeError, match="must be a string, not NoneType"):
        tokenizer.encode(None)
    with pytest.raises(ValueError, match="list is empty"):
        tokenizer([])
    tokenizer.save(tmp_path / "a.txt")
    with pytest.raises(ValueError, match="not 49408"):
        Tokenizer.load(tmp_path / "a.txt", vocab=49_408)
    (tmp_path / "a.txt.gz").write_bytes(b"not gzip")
    with pytest.raises(ValueError, match="not text"):
        Tokenizer.load(tmp_path / "a.txt.gz")
