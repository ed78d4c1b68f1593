"""The prompts that models are asked for: true to their records, seen or held out."""

import json
import re
from collections import Counter

import pytest

from mmlearn import world
from mmlearn.evaluate import Reading, check, clauses, load_prompts, make_prompts
from mmlearn.evaluate.prompts import CATEGORIES, HUMAN_ONLY, held_out_rules
from mmlearn.paths import data_path
from mmlearn.world.grammar import clashes

PROMPTS = load_prompts()
JUDGED = [prompt for prompt in PROMPTS if prompt.record]


def test_the_shipped_prompts_are_those_that_the_script_makes():
    shipped = data_path("prompts", "world_bench.json").read_text(encoding="utf-8")
    assert shipped == make_prompts.as_json(make_prompts.prompts())


def test_each_category_has_ten_seen_and_ten_held_out_prompts_or_people():
    assert list(dict.fromkeys(p.category for p in PROMPTS)) == list(CATEGORIES)
    splits = Counter((p.category, p.split) for p in JUDGED)
    for category in CATEGORIES:
        wanted = 0 if category in HUMAN_ONLY else 10
        assert splits[category, "seen"] == splits[category, "held_out"] == wanted
    by_people = [p for p in PROMPTS if not p.record]
    assert all(p.split is None for p in by_people)
    assert Counter(p.category for p in by_people)["reddit"] == 5
    assert len({p.text for p in PROMPTS}) == len(PROMPTS)


def test_every_record_satisfies_its_own_clauses_and_no_twin_does():
    asked = Counter()
    for prompt in JUDGED:
        claims = clauses(prompt.record)
        reading = Reading.of(prompt.record)
        assert all(check(clause, reading) for clause in claims), prompt
        for fact in world.facts(prompt.record):
            if fact in ("background", "style") and fact not in prompt.record.says:
                continue
            try:
                twin = Reading.of(world.twin(prompt.record, fact))
            except world.WorldError:
                continue
            assert any(check(clause, twin) is False for clause in claims), prompt
            asked[prompt.id] += 1
    assert set(asked) == {prompt.id for prompt in JUDGED}


def test_held_out_prompts_tell_what_is_held_out_and_seen_ones_hold_nothing_out():
    for prompt in JUDGED:
        assert world.held_out(prompt.record) == held_out_rules(prompt.record)
        assert bool(held_out_rules(prompt.record)) == (prompt.split == "held_out")
    # A style that is not told makes no prompt held out.
    grammar = world.Grammar(split="held_out", kinds=("single",), name_style=0.0)
    untold = [world.compose(grammar, 0, i) for i in range(20)]
    assert any(world.held_out(r) and not held_out_rules(r) for r in untold)


def test_every_record_can_be_drawn_and_seen():
    images = world.draw([prompt.record for prompt in JUDGED], 32)
    assert images.isfinite().all() and images.flatten(1).std(dim=1).min() > 0.02
    for prompt in JUDGED:
        for item in prompt.record.items:
            background = prompt.record.background
            assert not clashes(item.noun, item.artist, item.colour, background)
            if item.artist:
                assert item.colour not in ("black", "white")


def test_texts_are_captions_of_their_records():
    for prompt in JUDGED:
        if prompt.category not in ("misspellings", "rare words"):
            assert prompt.text in world.captions(prompt.record)


def edits(a: str, b: str) -> int:
    """Letters lost, added, replaced, or exchanged with a neighbour (restricted)."""
    d = {(i, 0): i for i in range(len(a) + 1)} | {(0, j): j for j in range(len(b) + 1)}
    for i, x in enumerate(a, 1):
        for j, y in enumerate(b, 1):
            d[i, j] = min(d[i - 1, j] + 1, d[i, j - 1] + 1, d[i - 1, j - 1] + (x != y))
            if a[i - 2 : i] == y + b[j - 2 : j - 1] and i > 1 < j:
                d[i, j] = min(d[i, j], d[i - 2, j - 2] + 1)
    return d[len(a), len(b)]


def test_misspellings_are_one_or_two_slips_away_and_no_other_words():
    vocabulary = set(" ".join(p.text for p in JUDGED).split())
    vocabulary -= set(
        " ".join(p.text for p in JUDGED if p.category == "misspellings").split()
    )
    for prompt in (p for p in JUDGED if p.category == "misspellings"):
        clean = world.caption(prompt.record).split()
        pairs = [
            pair
            for pair in zip(prompt.text.split(), clean, strict=True)
            if len(set(pair)) > 1
        ]
        assert 1 <= len(pairs) <= 2
        assert all(edits(*pair) == 1 for pair in pairs)
        assert not {wrong for wrong, _ in pairs} & vocabulary


def test_rare_words_are_never_trained_on_and_mean_the_nouns_of_the_record():
    words = {noun for name in world.everyday() for noun in name.split()}
    words |= {c.plural for c in world.concepts().values() if c.plural}
    words |= set(world.SHAPES) | set(world.COLOURS)
    assert not words & set(make_prompts.RARE.values())
    assert len(set(make_prompts.RARE.values())) == len(make_prompts.RARE)
    for prompt in (p for p in JUDGED if p.category == "rare words"):
        text = prompt.text
        for noun, word in make_prompts.RARE.items():
            text = re.sub(rf"\b{word}\b", noun, text)
        assert text != prompt.text

        def plain(words):
            return re.sub(r"\ban\b", "a", words)

        assert plain(text) in map(plain, world.captions(prompt.record))


def test_gary_marcus_pairs_hold_the_same_words_one_seen_one_held_out():
    pairs = [p for p in JUDGED if p.category == "gary marcus"]
    for seen, held in zip(pairs[::2], pairs[1::2], strict=True):
        assert (seen.split, held.split) == ("seen", "held_out")

        def words(prompt):
            return sorted("a" if w == "an" else w for w in prompt.text.split())

        assert words(seen) == words(held) and seen.text != held.text
        claims = clauses(seen.record)
        swapped = Reading.of(held.record)
        assert any(check(clause, swapped) is False for clause in claims)


def written(tmp_path, name: str, text, encoding="utf-8"):
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode(encoding))
    return path


def test_a_readers_own_drawbench_loads(tmp_path):
    text = 'Prompts,Category\n"A fox, asleep.",Colors\n\nTwo "odd" owls,Counting \n'
    found = load_prompts(written(tmp_path, "sheet.csv", text, "utf-8-sig"))
    assert [(p.id, p.category, p.text) for p in found] == [
        ("drawbench-0001", "Colors", "A fox, asleep."),
        ("drawbench-0003", "Counting", 'Two "odd" owls'),
    ]
    assert all(p.record is None and p.split is None for p in found)


def test_a_readers_own_partiprompts_load(tmp_path):
    text = "Prompt\tCategory\tChallenge\tNote\r\n"
    text += '"a b\tArts\tBasic\t\r\nan owl\tAnimals\tComplex\tx'
    first, second = load_prompts(written(tmp_path, "parti.tsv", text))
    assert (first.text, first.category) == ('"a b', "Arts")
    assert (first.challenge, second.challenge) == ("Basic", "Complex")
    assert second.id == "partiprompts-0002"


def entry(**changes) -> dict:
    return {**PROMPTS[0].to_dict(), **changes}


def test_ours_survive_json(tmp_path):
    text = make_prompts.as_json(PROMPTS)
    assert load_prompts(written(tmp_path, "own.json", text)) == PROMPTS


BAD_RECORD = entry(record={**PROMPTS[0].record.to_dict(), "background": "moon"})


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("a.csv", "Text,Category\nx,y\n", "are Text, Category; expected are Prompts"),
        ("a.tsv", "Prompt\tKind\nx\ty\n", "are Prompt, Kind; expected are Prompts"),
        ("a.csv", "", "is empty"),
        ("a.csv", " \n\n", "is empty"),
        ("a.csv", "Prompts,Category\n", "holds no prompt"),
        ("a.csv", "Prompts,Category\nx\n", "row 2 of"),
        ("a.csv", "Prompts,Category\na, b, c\n", "must have 2 cells"),
        ("a.csv", "Prompts,Category\n ,Colors\n", "row 2 of"),
        ("a.csv", "Prompts,Category\nä,Colors\n".encode("latin-1"), "not UTF-8"),
        ("a.csv", "Prompts,Category\nx,y\n".encode("utf-16"), "not UTF-8"),
        ("a.json", "{", "is no JSON"),
        ("a.json", "{}", "must be a list"),
        ("a.json", "[]", "holds no prompt"),
        ("a.json", '[{"id": "x"}]', "prompt 1 of"),
        ("a.json", "[1]", "not int"),
        ("a.json", json.dumps([entry(text=" ")]), "has no text"),
        ("a.json", json.dumps([entry(split="new")]), "seen, held_out or null"),
        ("a.json", json.dumps([entry(record=[1])]), "has a bad record"),
        ("a.json", json.dumps([BAD_RECORD]), "no background 'moon'"),
        (
            "a.json",
            json.dumps([entry(), entry()]),
            "two prompts with the id 'colors-01'",
        ),
    ],
)
def test_a_bad_file_gets_one_sentence(tmp_path, name, content, says):
    path = written(tmp_path, name, content)
    with pytest.raises(ValueError) as problem:
        load_prompts(path)
    message = str(problem.value)
    assert says in message and name in message and "\n" not in message


def test_a_missing_file_gets_one_sentence(tmp_path):
    with pytest.raises(ValueError, match="no file of prompts"):
        load_prompts(tmp_path / "nowhere.csv")
