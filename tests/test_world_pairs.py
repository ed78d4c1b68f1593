"""Minimal pairs: the same scene, one fact changed, everything else kept."""

import pytest
import torch

import mmlearn as mm
from mmlearn.world import pairs


def scenes_with(fact: str, n: int = 12) -> list:
    kinds = {"count": "count", "order": "relation", "relation": "relation"}
    kinds |= {"binding": "pair", "size": "sizes", "words": "sign"}
    records = mm.world.scenes(400, seed=21, size=16, kinds=[kinds.get(fact, "single")])
    found = [scene for scene in records.records if fact in mm.world.facts(scene)][:n]
    assert found, fact
    return found


@pytest.mark.parametrize("fact", mm.world.FACTS)
def test_a_twin_looks_and_reads_differently(fact):
    for scene in scenes_with(fact):
        other = mm.world.twin(scene, fact, seed=1)
        assert other != scene
        a, b = mm.world.draw([scene, other], 64)
        assert not torch.equal(a, b)
        if "background" in scene.says or fact != "background":
            said = {"style": scene.replace(says=other.says)}.get(fact, scene)
            assert mm.world.caption(other) != mm.world.caption(said)
        assert other == mm.world.twin(scene, fact, seed=1)


def kept(scene) -> dict:
    first = scene.items[0]
    return {
        "noun": tuple(item.noun for item in scene.items[:2]),
        "colour": tuple(item.colour for item in scene.items[:2]),
        "count": scene.count,
        "background": scene.background,
        "style": scene.artist,
        "relation": scene.relation,
        "size": tuple(item.size for item in scene.items[:2]),
        "words": first.words,
    }


@pytest.mark.parametrize("fact", ["colour", "background", "style", "size", "words"])
def test_all_other_facts_stay(fact):
    for scene in scenes_with(fact):
        before, after = kept(scene), kept(mm.world.twin(scene, fact, seed=2))
        assert before.pop(fact) != after.pop(fact)
        assert before == after


def test_binding_exchanges_colours_and_moves_nothing():
    for scene in scenes_with("binding"):
        other = mm.world.twin(scene, "binding")
        assert [i.colour for i in other.items] == [i.colour for i in scene.items][::-1]
        assert [i.box for i in other.items] == [i.box for i in scene.items]
        assert [i.noun for i in other.items] == [i.noun for i in scene.items]


def test_order_exchanges_places_and_keeps_the_words():
    for scene in scenes_with("order"):
        other = mm.world.twin(scene, "order")
        assert sorted(i.noun for i in other.items) == sorted(
            i.noun for i in scene.items
        )
        assert other.items[0].noun == scene.items[1].noun or (
            scene.items[0].noun == scene.items[1].noun
        )
        assert other.relation == scene.relation


def test_a_fact_that_is_not_there_is_refused():
    scene = mm.world.arrange("fox")
    with pytest.raises(mm.world.WorldError, match="no 'order' to change; it has noun"):
        pairs.twin(scene, "order")
