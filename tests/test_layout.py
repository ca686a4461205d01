"""Where things lie: each module has its test file, and the top of the tree is kept tidy."""

from collections.abc import Iterable
from pathlib import Path
from types import MappingProxyType
from typing import Final

import pytest

ROOT: Final = Path(__file__).parents[1]
PACKAGE: Final = ROOT / "bambu_connector"
TESTS: Final = ROOT / "tests"

TOP_LEVEL: Final = frozenset(
    {
        ".ci",
        ".gitignore",
        "LICENSE",
        "README.md",
        "bambu_connector",
        "connector.yaml.example",
        "fixtures",
        "pyproject.toml",
        "tests",
    }
)
# What version control, building and the tools of tests/run leave behind; none of it is in the repository.
LEFT_BY_TOOLS: Final = frozenset(
    {
        ".git",
        ".venv",
        ".hypothesis",
        ".mypy_cache",
        ".pytest_cache",
        ".ruff_cache",
        ".coverage",
        "__pycache__",
        "build",
        "dist",
    }
)

# Modules without a test file of their own, each with its reason.
WITHOUT_TEST: Final = MappingProxyType(
    {
        "errors.py": "a tree of classes without behaviour; each is asserted where it is raised",
        "service/ports.py": "protocols and their data; what fulfils them is tested",
    }
)

NAMES_THAT_SAY_NOTHING: Final = frozenset({"utils", "util", "helpers", "helper", "common", "manager", "base", "misc"})


def modules() -> list[str]:
    """Return the paths of the modules inside the package."""
    paths = (path for path in PACKAGE.rglob("*.py") if path.name not in {"__init__.py", "__main__.py"})
    return sorted(str(path.relative_to(PACKAGE)) for path in paths)


def mirror_of(module: str) -> str:
    """Return the path of a module's tests inside the folder of tests."""
    path = Path(module)
    return str(path.with_name(f"test_{path.name}"))


def untested(names: Iterable[str]) -> list[str]:
    return [name for name in names if name not in WITHOUT_TEST and not (TESTS / mirror_of(name)).is_file()]


def test_every_module_has_a_test_file_in_the_same_place() -> None:
    assert untested(modules()) == []


def test_a_module_without_a_test_file_is_found() -> None:
    assert untested(["config/reading.py", "config/nothing.py"]) == ["config/nothing.py"]


@pytest.mark.parametrize("module", WITHOUT_TEST)
def test_the_exceptions_are_still_needed(module: str) -> None:
    assert (PACKAGE / module).is_file()
    assert not (TESTS / mirror_of(module)).exists()


def test_the_top_level_holds_only_what_was_agreed() -> None:
    found = {path.name for path in ROOT.iterdir() if path.suffix != ".egg-info"}
    assert found - LEFT_BY_TOOLS - TOP_LEVEL == set()


def test_no_module_has_a_name_that_says_nothing() -> None:
    assert [name for name in modules() if Path(name).stem in NAMES_THAT_SAY_NOTHING] == []


def test_every_folder_of_code_is_a_package() -> None:
    folders = {path.parent for top in (PACKAGE, TESTS) for path in top.rglob("*.py")}
    assert [str(folder) for folder in sorted(folders) if not (folder / "__init__.py").is_file()] == []


@pytest.mark.parametrize("script", [".ci/run", "tests/run"])
def test_scripts_can_be_started(script: str) -> None:
    assert (ROOT / script).stat().st_mode & 0o111 == 0o111
