"""What `pyproject.toml` says of the package agrees with the pins, the code and the other places that say the same."""

from __future__ import annotations

import configparser
import re
import subprocess
import sys
import tomllib

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

import expman
from tests.support.project import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
PINS = {None: "requirements.txt", **{extra: f"requirements-{extra}.txt" for extra in ("mlflow", "rasterio", "ray", "test")}}


def pins(file_name: str) -> dict[str, Requirement]:
    """The packages that a requirements file pins itself, by name."""
    lines = (line.partition("#")[0].strip() for line in (ROOT / file_name).read_text(encoding="utf-8").splitlines())
    found = [Requirement(line) for line in lines if line and not line.startswith("-r ")]
    return {requirement.name: requirement for requirement in found}


def ranges(extra: str | None) -> dict[str, Requirement]:
    """What the package itself asks for, by name; for an extra, without what it takes from other extras."""
    listed = PROJECT["dependencies"] if extra is None else PROJECT["optional-dependencies"][extra]
    found = [Requirement(line) for line in listed]
    return {requirement.name: requirement for requirement in found if requirement.name != PROJECT["name"]}


@pytest.mark.parametrize("extra", PINS)
def test_ranges_and_pins_list_the_same_packages_and_the_pins_lie_in_the_ranges(extra):
    pinned, wanted = pins(PINS[extra]), ranges(extra)
    assert sorted(pinned) == sorted(wanted)
    for name, requirement in pinned.items():
        (pin,) = requirement.specifier
        assert pin.operator == "==", requirement
        assert pin.version in wanted[name].specifier, f"{requirement} is not within {wanted[name]}"
        assert requirement.extras == wanted[name].extras


@pytest.mark.parametrize("extra", PINS)
def test_a_range_ends_before_the_next_incompatible_version_and_begins_at_what_is_tested(extra):
    for name, requirement in ranges(extra).items():
        (pin,) = pins(PINS[extra])[name].specifier
        major, minor, *_ = map(int, pin.version.split("."))
        assert f"{major + 1}.0" not in requirement.specifier, requirement
        if minor:
            assert f"{major}.{minor - 1}" not in requirement.specifier, requirement


def test_the_tests_extra_and_the_tests_pins_take_the_same_other_lists():
    (own,) = [Requirement(line) for line in PROJECT["optional-dependencies"]["test"] if line.startswith(PROJECT["name"])]
    included = re.findall(r"^-r requirements-?(\w*)\.txt$", (ROOT / "requirements-test.txt").read_text(encoding="utf-8"), re.MULTILINE)
    assert own.extras == set(filter(None, included)) and "" in included


def test_the_gpu_extra_is_the_same_tensorflow():
    (gpu,) = ranges("gpu").values()
    assert (gpu.name, gpu.specifier, gpu.extras) == ("tensorflow", ranges(None)["tensorflow"].specifier, {"and-cuda"})


def test_the_version_stands_in_one_place_and_is_read_without_heavy_imports():
    assert "version" in PROJECT["dynamic"] and "version" not in PROJECT
    code = ("import sys, expman; print(expman.__version__); "
            "sys.exit(any(name in sys.modules for name in ('tensorflow', 'numpy', 'keras', 'grpc')))")
    answer = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (answer.returncode, answer.stdout.strip()) == (0, expman.__version__)
    assert f"\n## {expman.__version__} - " in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_the_makefile_accepts_the_pythons_that_the_package_accepts():
    accepted = SpecifierSet(PROJECT["requires-python"])
    named = {line.rpartition(" ")[2] for line in PROJECT["classifiers"] if re.search(r":: 3\.\d+$", line)}
    assert named == {version for version in (f"3.{minor}" for minor in range(20)) if version in accepted}
    rule = re.search(r"@\$\(PYTHON\) -c '(.+)'$", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    for minor in range(9, 16):
        code = f"import sys; sys.version_info = (3, {minor}, 0); {rule[1]}"
        answer = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
        assert (answer.returncode == 0) == (f"3.{minor}.0" in accepted), f"3.{minor}: {answer.stderr}"


def test_tox_tests_the_pythons_that_the_package_accepts():
    tox = configparser.ConfigParser()
    tox.read(ROOT / "tox.ini", encoding="utf-8")
    accepted = SpecifierSet(PROJECT["requires-python"])
    environments = [name.strip() for name in tox["tox"]["env_list"].split(",")]
    assert environments == [*(f"py3{minor}" for minor in range(20) if f"3.{minor}" in accepted), "core"]


def test_the_page_says_the_pythons_that_the_package_accepts():
    assert "Python 3.11, 3.12 or 3.13" in (ROOT / "README.md").read_text(encoding="utf-8")
    assert PROJECT["requires-python"] == ">=3.11,<3.14"


def test_the_licence_is_the_one_that_is_named():
    text = (ROOT / "LICENSE").read_text(encoding="utf-8")
    assert PROJECT["license"] == "Apache-2.0" and "Apache License" in text and "END OF TERMS AND CONDITIONS" in text
