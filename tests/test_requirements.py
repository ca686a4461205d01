"""The lock file of the tests: all that pyproject.toml asks for, in versions that it allows, with hashes."""

import re
import tomllib
from pathlib import Path
from typing import Final

import pytest
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT: Final = Path(__file__).parents[1]
LOCK: Final = (ROOT / "tests" / "requirements.lock").read_text(encoding="utf-8")
PROJECT: Final = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
HASH: Final = re.compile(r"--hash=sha256:[0-9a-f]{64}")
PYTHONS: Final = ("3.11", "3.12", "3.13", "3.14")
MACHINES: Final = ("x86_64", "aarch64")


def entries(lock: str) -> list[tuple[Requirement, list[str]]]:
    """Return what is pinned, with what follows it on its line."""
    lines = (line for line in lock.replace("\\\n", " ").splitlines() if line and not line.startswith("#"))
    pinned = (line.partition(" --") for line in lines)
    return [(Requirement(what.strip()), f"--{options}".split()) for what, _, options in pinned]


def wanted() -> list[Requirement]:
    """Return what building, running and testing need, as pyproject.toml says it."""
    project = PROJECT["project"]
    groups = [PROJECT["build-system"]["requires"], project["dependencies"], *project["optional-dependencies"].values()]
    every = [Requirement(text) for group in groups for text in group]
    return [each for each in every if canonicalize_name(each.name) != project["name"]]


def missing(wants: Requirement, lock: str, environment: dict[str, str]) -> str | None:
    """Return what is wrong with the one pin of a package in an environment."""
    if wants.marker and not wants.marker.evaluate(environment):
        return None
    name = canonicalize_name(wants.name)
    pins = [
        each
        for each, _ in entries(lock)
        if canonicalize_name(each.name) == name and (each.marker is None or each.marker.evaluate(environment))
    ]
    if len(pins) != 1:
        return f"{wants}: {len(pins)} pins"
    (pin,) = pins[0].specifier
    fits = pin.operator == "==" and Version(pin.version) in wants.specifier
    return None if fits else f"{wants}: {pins[0]}"


def environments() -> list[dict[str, str]]:
    """Return the machines that the tests run on."""
    here = {key: str(value) for key, value in default_environment().items()}
    linux = {"sys_platform": "linux", "platform_system": "Linux", "os_name": "posix"}
    return [
        here | linux | {"python_version": python, "python_full_version": f"{python}.0", "platform_machine": machine}
        for python in PYTHONS
        for machine in MACHINES
    ]


def test_the_lock_file_satisfies_the_project_everywhere() -> None:
    found = {missing(each, LOCK, environment) for each in wanted() for environment in environments()}
    assert found == {None}


@pytest.mark.parametrize(
    ("lock", "flaw"),
    [
        ("", "demo<3,>=2: 0 pins"),
        ("demo==3.0 --hash=sha256:00", "demo<3,>=2: demo==3.0"),
        ("demo>=2 --hash=sha256:00", "demo<3,>=2: demo>=2"),
        ("demo==2.1 ; python_version < '3'", "demo<3,>=2: 0 pins"),
        ("Demo==2.1", None),
    ],
)
def test_a_lock_file_that_lags_behind_is_found(lock: str, flaw: str | None) -> None:
    assert missing(Requirement("demo>=2,<3"), lock, environments()[0]) == flaw


def test_every_package_is_pinned_once_and_carries_hashes() -> None:
    found = entries(LOCK)
    assert len(found) > len(wanted())
    for requirement, options in found:
        (pin,) = requirement.specifier
        assert pin.operator == "=="
        assert requirement.url is None
        assert options, f"{requirement} has no hash"
        assert [option for option in options if not HASH.fullmatch(option)] == []
    names = [(canonicalize_name(requirement.name), str(requirement.marker)) for requirement, _ in found]
    assert len(set(names)) == len(names)


def test_the_lock_file_names_no_place_that_packages_come_from() -> None:
    assert [line for line in LOCK.splitlines() if "://" in line or line.startswith("-") or "/" in line] == []


def test_the_tests_install_from_the_lock_file_and_from_nowhere_else() -> None:
    script = (ROOT / "tests" / "run").read_text(encoding="utf-8")
    commands = [line.strip() for line in script.splitlines() if re.match(r"\s+install -", line)]
    assert len(commands) == 2
    assert "--require-hashes" in commands[0]
    assert {"--no-index", "--no-deps", "--no-build-isolation"} <= set(commands[1].split())
    assert re.findall(r"pip install", script) == ["pip install"]
