"""The rules of a notebook's words: alt text, links, length."""

import re
from pathlib import Path

FEWEST, MOST = 2000, 4000
ALT = 15  # characters; below that it cannot say what a picture shows
BOILERPLATE = re.compile(
    r"(?i)^(no description|image|picture|figure|plot|output|png|untitled|alt text)\W*$"
)
IMAGE = re.compile(r"!\[([^\]]*)\]\(([^)\s]+)[^)]*\)")
LINK = re.compile(r"(?<!!)\[(?:[^\]\[]|\[[^\]]*\])*\]\(([^)\s]+)[^)]*\)")
HTML_IMAGE = re.compile(r"<img\b[^>]*>", re.I)


def markdown(notebook: dict):
    """(number from 1, source without code) for every markdown cell."""
    for number, cell in enumerate(notebook["cells"], 1):
        if cell["cell_type"] == "markdown":
            yield number, without_code(cell["source"])


def without_code(text: str) -> str:
    """Markdown without fenced and inline code, where links are only examples."""
    text = re.sub(r"(?ms)^ *(```|~~~).*?^ *\1 *$", "", text)
    return re.sub(r"`[^`\n]*`", "", text)


def good_alt(text: str) -> bool:
    """Whether an alt text says something."""
    return len(text.strip()) >= ALT and not BOILERPLATE.match(text.strip())


def alts(notebook: dict) -> list[str]:
    """Every picture in the text has alt text; none is pasted in as data."""
    problems = []
    for number, text in markdown(notebook):
        found = [(alt, source) for alt, source in IMAGE.findall(text)]
        for tag in HTML_IMAGE.findall(text):
            alt = re.search(r"alt=[\"']([^\"']*)", tag)
            source = re.search(r"src=[\"']([^\"']*)", tag)
            found.append((alt[1] if alt else "", source[1] if source else ""))
        for alt, source in found:
            if not good_alt(alt):
                problems.append(
                    f"cell {number}: the image {source[:40]} needs alt text of at "
                    f"least {ALT} characters that says what it shows, not {alt!r}"
                )
            if source.startswith("data:"):
                problems.append(f"cell {number}: holds an image as data; link a file")
    return problems


def output_alts(notebook: dict) -> list[str]:
    """Every picture in an output says what it shows, and no two say the same."""
    problems, seen = [], {}
    for number, cell in enumerate(notebook["cells"], 1):
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            for kind in [k for k in data if k.startswith("image/")]:
                alt = output.get("metadata", {}).get(kind, {}).get("alt", "")
                if not good_alt(alt):
                    problems.append(
                        f"cell {number}: its picture needs alt text of at least {ALT} "
                        f"characters (mm.show gives it), not {alt!r}"
                    )
                elif alt in seen:
                    problems.append(
                        f"cell {number}: its picture has the alt text of cell "
                        f"{seen[alt]}; say what differs"
                    )
                seen.setdefault(alt, number)
            if "<img" in str(data.get("text/html", "")):
                problems.append(f"cell {number}: holds an image as HTML; use mm.show")
    return problems


def count_words(notebook: dict) -> int:
    """Words of prose, without code, formulas, comments and links' addresses."""
    text = "\n".join(source for _, source in markdown(notebook))
    text = re.sub(r"(?s)<!--.*?-->|\$\$.*?\$\$", " ", text)
    text = re.sub(r"\$[^$\n]*\$|\]\([^)]*\)|<[^>]+>", " ", text)
    return len(re.findall(r"[^\W\d_][\w'’-]*", text))


def words(notebook: dict) -> list[str]:
    """A chapter has 2,000 to 4,000 words."""
    count = count_words(notebook)
    if FEWEST <= count <= MOST:
        return []
    return [f"it has {count} words of prose; {FEWEST} to {MOST} is right"]


def labels(notebook: dict) -> list[str]:
    """Every exercise says how hard it is and how long it takes."""
    text = "\n".join(source for _, source in markdown(notebook))
    problems = []
    exercises = sum(
        tag.startswith("exercise:")
        for cell in notebook["cells"]
        for tag in cell.get("metadata", {}).get("tags", [])
    )
    for word, what in ((r"(?i)difficulty", "difficulty"), (r"\d+ min", "minutes")):
        found = len(re.findall(word, text))
        if found < exercises:
            problems.append(f"{exercises} exercises, but {found} name their {what}")
    return problems


def check_links(notebook: dict, path: Path) -> list[str]:
    """Links inside the repository lead to something that is there."""
    problems = []
    for number, text in markdown(notebook):
        targets = LINK.findall(text) + [source for _, source in IMAGE.findall(text)]
        for target in targets:
            if re.match(r"[a-z]+:", target):
                continue  # another site, or data
            file, _, part = target.partition("#")
            other = path if not file else path.parent / file
            if not other.exists():
                problems.append(f"cell {number}: the link {target} leads nowhere")
            elif part and other.suffix == ".ipynb" and part not in anchors(other):
                problems.append(f"cell {number}: {other.name} has no heading #{part}")
    return problems


def anchors(path: Path) -> set[str]:
    """The headings of a notebook as link targets of JupyterLab and of GitHub."""
    from mmlearn.check.cells import read

    found = set()
    for cell in read(path)["cells"]:
        if cell["cell_type"] == "markdown":
            for title in re.findall(r"(?m)^#{1,6} +(.+?) *$", cell["source"]):
                found.add(title.replace(" ", "-"))
                found.add(re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-"))
            found |= set(re.findall(r"<a (?:id|name)=[\"']([^\"']+)", cell["source"]))
    return found
