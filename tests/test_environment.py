"""pyproject.toml, environment.yml and constraints.txt name the same packages."""

import re
import sys
from importlib import metadata
from pathlib import Path

import pytest
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))[
    "project"
]
PYTHONS = ["3.10.13", "3.11.9", "3.12.4", "3.13.1"]


def in_pyproject() -> dict[str, str]:
    """{package: range} of all dependencies, optional ones included."""
    lines = list(PROJECT["dependencies"])
    for extra in PROJECT["optional-dependencies"].values():
        lines += [line for line in extra if not line.startswith("mmlearn[")]
    found = map(Requirement, lines)
    return {canonicalize_name(one.name): str(one.specifier) for one in found}


def in_environment() -> dict[str, str]:
    text = (ROOT / "environment.yml").read_text(encoding="utf-8")
    lines = re.findall(r"(?m)^\s+- ([\w-]+[<>=!][^\s#]+)", text)
    found = map(Requirement, lines)
    return {canonicalize_name(one.name): str(one.specifier) for one in found}


def in_constraints(python: str) -> dict[str, Version]:
    """{package: version} of the pins that hold for one Python."""
    short = ".".join(python.split(".")[:2])
    here = default_environment() | {
        "python_version": short,
        "python_full_version": python,
    }
    pins = {}
    for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            one = Requirement(line)
            if one.marker is None or one.marker.evaluate(here):
                name = canonicalize_name(one.name)
                assert name not in pins, f"two pins of {name} hold for {python}"
                (pin,) = one.specifier
                assert pin.operator == "=="
                pins[name] = Version(pin.version)
    return pins


def test_conda_users_get_the_same_packages_and_ranges():
    conda = in_environment()
    assert conda.pop("python") == str(
        Requirement("p" + PROJECT["requires-python"]).specifier
    )
    assert conda == in_pyproject()


def test_every_line_of_the_environment_says_why():
    text = (ROOT / "environment.yml").read_text(encoding="utf-8")
    lines = [x for x in text.splitlines() if x.startswith("      - ")]
    assert len(lines) > 10 and all(" # " in line for line in lines)


@pytest.mark.parametrize("python", PYTHONS)
def test_what_was_tested_is_pinned_within_the_ranges(python):
    pins = in_constraints(python)
    for name, wanted in in_pyproject().items():
        assert name in pins, f"constraints.txt does not pin {name} for Python {python}"
        assert pins[name] in Requirement(name + wanted).specifier
    assert pins["torch"] == Version("2.13.0")


def test_pins_are_what_is_installed_here():
    """Only where the tests were installed through the constraints, as CI does."""
    pins = in_constraints(".".join(map(str, sys.version_info[:3])))
    here = {n: Version(metadata.version(n)).base_version for n in in_pyproject()}
    if here["torch"] != str(pins["torch"]):
        pytest.skip("this environment was not installed through constraints.txt")
    assert here == {name: pins[name].base_version for name in here}
