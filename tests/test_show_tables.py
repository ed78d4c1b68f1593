"""Dot plots and tables say their numbers to eyes, ears and plain text alike."""

import re
from html.parser import HTMLParser

import numpy as np
import pytest
import torch

import mmlearn as mm
from mmlearn.check import prose
from mmlearn.show import comparison
from mmlearn.show.figures import PAPER

ROWS = [
    {"model": "CLIP", "share": 0.934, "loss": 2.31, "steps": 13000},
    {"model": "a classifier", "share": 0.025, "loss": 0.0213, "steps": 500},
]


@pytest.fixture
def page(monkeypatch):
    """What a notebook would be sent, as a list of {mime type: text}."""
    import IPython
    import IPython.display

    sent = []
    monkeypatch.setattr(IPython, "get_ipython", lambda: object())
    monkeypatch.setattr(
        IPython.display, "display", lambda data, raw=False: sent.append(data)
    )
    return sent


class Cells(HTMLParser):
    """The cells of a table as (tag, attributes, text)."""

    def __init__(self, source: str):
        super().__init__()
        self.found, self.tags = [], set()
        self.feed(source)

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.found.append([tag, dict(attrs), ""])

    def handle_data(self, data):
        if self.found:
            self.found[-1][2] += data.strip("\n")


def cells(source, text):
    return next(c for c in Cells(source).found if c[2] == text)


def test_numbers_end_and_words_begin_in_one_column(capsys):
    mm.show.table(ROWS, title="Two models", digits=2)
    assert capsys.readouterr().out.splitlines() == [
        "Two models",
        "model         share  loss   steps",
        "────────────  ─────  ────  ──────",
        "CLIP           0.93  2.31  13,000",
        "a classifier   0.03  0.02     500",
    ]


def test_wide_letters_keep_the_columns_straight(capsys):
    mm.show.table([["中文", 1], ["abcd", 2]], ["word", "n"])
    lines = capsys.readouterr().out.splitlines()
    assert lines[2] == "中文  1" and lines[3] == "abcd  2"


def test_numbers_are_written_as_readers_expect(capsys):
    rows = [
        [12345678, 0.934, 2.31, True, [0.9, 0.87], np.float32(0.5)],
        [-1, -0.0001, None, False, None, torch.tensor(0.25)],
    ]
    names = ["count", "share", "loss", "ok", "shares", "other"]
    mm.show.table(rows, names, percent=["share", "shares"])
    out = capsys.readouterr().out
    first, second = (re.split(r" {2,}", line.strip()) for line in out.splitlines()[2:])
    percents = "90\u202f%, 87\u202f%"
    assert first == ["12,345,678", "93\u202f%", "2.31", "yes", percents, "0.50"]
    assert second == ["-1", "0\u202f%", "–", "no", "–", "0.25"]


@pytest.mark.parametrize(
    "values, digits, written",
    [
        ([197.8123, 29.84, 3.0], None, ["197.8", "29.8", "3.0"]),
        ([0.5, 0.25], None, ["0.50", "0.25"]),
        ([1.0, 2.0], None, ["1.0", "2.0"]),
        ([12345.678, 1234.5], None, ["12,346", "1,234"]),
        ([3e-9, 0.5], None, ["3e-09", "0.5"]),
        ([2.3456, 0.1], 3, ["2.346", "0.100"]),
        ([2.3456, 0.1], {"x": 1}, ["2.3", "0.1"]),
    ],
)
def test_a_column_shares_its_decimals(capsys, values, digits, written):
    mm.show.table([[v] for v in values], ["x"], digits=digits)
    assert [s.strip() for s in capsys.readouterr().out.splitlines()[2:]] == written


def test_digits_of_a_percent_are_asked_for_by_name(capsys):
    mm.show.table(ROWS, ["share"], percent="share", digits=3)
    assert capsys.readouterr().out.splitlines()[2:] == [" 93\u202f%", "  2\u202f%"]
    mm.show.table(ROWS, ["share"], percent="share", digits={"share": 1})
    assert capsys.readouterr().out.splitlines()[2:] == ["93.4\u202f%", " 2.5\u202f%"]


def test_columns_choose_and_order(capsys):
    mm.show.table([*ROWS, {"model": "none"}], ["steps", "model"])
    head, _, first, *_, last = capsys.readouterr().out.splitlines()
    assert head.split() == ["steps", "model"] and first.split() == ["13,000", "CLIP"]
    assert last.split() == ["–", "none"]


def test_a_notebook_gets_html_and_the_text(page, capsys):
    mm.show.table(ROWS, percent=["share"], title="Shares & losses")
    mm.show.table(ROWS, percent=["share"])
    (sent, untitled) = page
    source = sent["text/html"]
    assert capsys.readouterr().out == "" and set(sent) == {"text/html", "text/plain"}
    assert "93\u202f%" in source and "93\u202f%" in sent["text/plain"]
    assert cells(source, "Shares & losses")[0] == "caption"
    assert "caption" not in untitled["text/html"]
    tag, attributes, _ = cells(source, "share")
    assert tag == "th" and attributes["scope"] == "col"
    assert "text-align:right" in attributes["style"]
    tag, attributes, _ = cells(source, "CLIP")
    assert (tag, attributes["scope"]) == ("th", "row")
    assert "text-align:left" in attributes["style"]
    assert "text-align:right" in cells(source, "13,000")[1]["style"]
    assert cells(source, "13,000")[0] == "td"
    assert '<table class="mmlearn">' in source
    assert not re.search(r"color|background|#[0-9a-f]{3}", source), "the theme's own"


def test_every_word_of_a_table_is_escaped(page):
    bad = "<img src=x onerror='a'> & \"b\""
    mm.show.table([{bad: bad, "n": 1}], title=bad)
    source = page[0]["text/html"]
    parsed = Cells(source)
    assert "img" not in parsed.tags and [c[2] for c in parsed.found].count(bad) == 3
    output = {"output_type": "display_data", "data": page[0], "metadata": {}}
    notebook = {"cells": [{"cell_type": "code", "source": "", "outputs": [output]}]}
    assert prose.output_alts(notebook) == [], "lint takes a table without alt text"


@pytest.mark.parametrize(
    "rows, options, words",
    [
        ([], {}, "at least one row"),
        ({"rows": ROWS}, {}, "list of dicts or of lists, not dict"),
        ([ROWS[0], [1, 2]], {}, "all dicts or all lists"),
        (["ab"], {"columns": ["a", "b"]}, "all dicts or all lists"),
        ([[1, 2]], {}, "need columns="),
        ([[1, 2], [3]], {"columns": ["a", "b"]}, "row 1 has 1 cells for 2 columns"),
        (ROWS, {"columns": ["speed"]}, "'speed'; they have: model, share, loss, steps"),
        (ROWS, {"columns": "share"}, "list of names"),
        (ROWS, {"columns": []}, "at least one column"),
        (ROWS, {"percent": ["shares"]}, "no column 'shares'; it has: model, share"),
        (ROWS, {"percent": ["steps"]}, "'steps' .* shares from -1 to 1, not 13000"),
        (ROWS, {"digits": {"acc": 1}}, "no column 'acc'"),
        (ROWS, {"digits": -1}, "whole number from 0 up, not -1"),
    ],
)
def test_bad_tables_are_refused(rows, options, words):
    with pytest.raises(ValueError, match=words):
        mm.show.table(rows, **options)


FIVE = {name: [0.5, (0.7, 0.6, 0.8)] for name in ["a", "b", "c", "d", "e"]}


def drawn(labels, series, **options):
    """The axes of a dot plot, and its markers by series."""
    axis = mm.show.axes()[1]
    mm.show.dots(labels, series, ax=axis, **options)
    return axis, {line.get_label(): line for line in axis.lines}


def overlapping(boxes):
    pairs = [(a, b) for i, a in enumerate(boxes) for b in boxes[i + 1 :]]
    return [(a, b) for a, b in pairs if a.overlaps(b)]


def test_series_differ_without_colour_and_do_not_cover_each_other():
    axis, found = drawn(["x", "y"], FIVE)
    lines = [found[name] for name in FIVE]
    assert len({line.get_marker() for line in lines}) == 5
    assert len({line.get_markeredgecolor() for line in lines}) > 1
    filled = [line.get_markerfacecolor() != PAPER for line in lines]
    assert any(filled) and not all(filled)
    heights = [line.get_ydata()[0] for line in lines]
    assert heights == sorted(heights) and np.diff(heights).min() > 0.1
    assert max(map(abs, heights)) < 0.5, "each stays nearest to its own label"
    names = [text.get_text() for text in axis.get_legend().get_texts()]
    assert names == list(FIVE)


def test_markers_at_one_number_do_not_touch(monkeypatch):
    monkeypatch.setattr(comparison, "figure", lambda fig, alt: figures.append(fig))
    figures = []
    mm.show.dots(["x", "y"], {name: [0.5, None] for name in FIVE})
    figures[0].draw_without_rendering()
    markers = [line for line in figures[0].axes[0].lines if line.get_marker() != "None"]
    boxes = [line.get_window_extent() for line in markers]
    assert len(boxes) == 5 and overlapping(boxes) == []


def test_the_first_label_is_on_top_and_the_scale_is_percent():
    axis, found = drawn(["first", "second"], {"a": [0.2, 0.9]})
    assert axis.yaxis_inverted() and axis.get_xlim() == (0, 1)
    assert [t.get_text() for t in axis.get_yticklabels()] == ["first", "second"]
    assert list(found["a"].get_xdata()) == [0.2, 0.9]
    axis.figure.draw_without_rendering()
    assert axis.get_xticklabels()[1].get_text() == "20\u202f%"
    assert axis.get_legend() is None, "one series needs no legend"


def test_nothing_is_drawn_for_none(pictures):
    _, found = drawn(["x", "y", "z"], {"a": [0.1, None, 0.3], "b": [None, 0.5, 0.6]})
    assert list(found["a"].get_xdata()) == [0.1, 0.3]
    assert np.rint(found["a"].get_ydata()).tolist() == [0, 2]
    assert list(found["b"].get_xdata()) == [0.5, 0.6]
    mm.show.dots(["x", "y"], {"a": [0.1, None], "b": [None, None]})
    assert "a: x 10 %; b: no value." in pictures[0][1]


def test_intervals_are_whiskers_from_low_to_high():
    axis, _ = drawn(["x"], {"a": [(0.7, 0.55, 0.8)]})
    whiskers = [s for c in axis.collections for s in c.get_segments()]
    assert [0.55, 0.8] in [segment[:, 0].tolist() for segment in whiskers]


def test_a_dot_plot_says_its_numbers(pictures):
    series = {"CLIP": [(0.93, 0.9, 0.95), 0.5], "pixels": [0.25, None]}
    mm.show.dots(["fox", "dog"], series, reference={"chance": 0.025}, title="Naming")
    mm.show.dots(["a", "b"], {"": [1234.5, -2]}, percent=False, xlabel="steps")
    first, second = (alt for _, alt, _ in pictures)
    assert "Naming: CLIP: fox 93 % (90 % to 95 %), dog 50 %; pixels: fox 25 %;" in first
    assert "chance (2.5 %)" in first
    assert second == "Dot plot, steps: a 1,234, b -2."


def test_many_numbers_are_told_by_their_ends(pictures):
    labels = [f"noun {i}" for i in range(12)]
    series = {s: [(i / 20, 0, 1) for i in range(12)] for s in ("a", "b", "c")}
    mm.show.dots(labels, series)
    alt = pictures[0][1]
    assert "b: from 0 % (noun 0) to 55 % (noun 11); c:" in alt and len(alt) < 250
    assert "whiskers show intervals" in alt


def test_no_text_of_a_dot_plot_covers_another(monkeypatch):
    figures = []
    monkeypatch.setattr(comparison, "figure", lambda fig, alt: figures.append(fig))
    labels = ["a name that is so long that it must be wrapped", *"bcdefghijkl"]
    series = {f"a series called {s}": [0.5] * 12 for s in FIVE}
    marks = {"chance": 0.025, "text alone": 0.05, "the best known": 0.98, "end": 1}
    mm.show.dots(labels, series, reference=marks, xlabel="share", title="title " * 20)
    (fig,) = figures
    fig.draw_without_rendering()
    axis = fig.axes[0]
    texts = [
        axis.title,
        axis.xaxis.label,
        *axis.get_xticklabels(),
        *axis.get_legend().texts,
    ]
    texts += [*axis.texts, *axis.get_yticklabels()]
    boxes = [t.get_window_extent() for t in texts if t.get_text()]
    assert len(boxes) == 2 + 6 + 5 + 4 + 12 and overlapping(boxes) == []
    width, height = fig.get_size_inches() * fig.dpi
    for box in boxes:
        assert box.x0 >= 0 and box.x1 <= width and box.y0 >= 0 and box.y1 <= height
    assert overlapping([axis.bbox, axis.get_legend().get_window_extent()]) == []
    assert all(t.get_window_extent().x1 <= axis.bbox.x1 for t in axis.texts)


def test_a_dot_plot_on_given_axes_shows_nothing(pictures):
    fig, (left, right) = mm.show.axes(1, 2)
    mm.show.dots(["x", "y"], FIVE, ax=left, reference={"chance": 0.1})
    mm.show.dots(["x"], {"a": torch.tensor([0.5])}, ax=right)
    assert pictures == []
    mm.show.figure(fig, alt="five series beside a single dot")
    assert len(pictures) == 1


@pytest.mark.parametrize(
    "labels, series, options, words",
    [
        ([], {"a": []}, {}, "at least one label"),
        (["x"], {}, {}, "dict {name: values}"),
        (["x"], [0.5], {}, "dict {name: values}"),
        (["x"], {str(i): [0.5] for i in range(6)}, {}, "at most 5 series apart"),
        (["x"], {"a": [0.5, 0.6]}, {}, "'a' has 2 values for 1 labels"),
        (["x"], {"a": [None]}, {}, "all of them are None"),
        (["x"], {"a": [(0.5, 0.6)]}, {}, "'a' at 'x' .* not 2 numbers"),
        (["x"], {"a": [(0.5, 0.6, 0.7)]}, {}, "outside its interval from 0.6 to 0.7"),
        (["x"], {"a": [93]}, {}, r"share in \[0, 1\], not 93; percent=False"),
        (["x"], {"a": ["0.5"]}, {}, "must be a number, not '0.5'"),
        (["x"], {"a": [float("nan")]}, {}, "must be a number, not nan"),
        (["x"], {"a": [0.5]}, {"reference": {"all": 2}}, "reference 'all' .* not 2"),
    ],
)
def test_bad_dot_plots_are_refused(labels, series, options, words):
    with pytest.raises(ValueError, match=words):
        mm.show.dots(labels, series, **options)
