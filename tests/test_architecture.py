"""What may import what: the cut of the program, kept by machine."""

import ast
import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final

import pytest

PACKAGE: Final = "bambu_connector"
ROOT: Final = Path(__file__).parents[1]
MODULES: Final = sorted((ROOT / PACKAGE).rglob("*.py"))

PURE: Final = ("bambu", "printago", "translate")
_CORE: Final = frozenset({"errors", "secret", "bambu", "printago", "translate"})
_AROUND: Final = _CORE | {"config", "logs", "registry", "sealing"}

# For each part of the package the other parts that it may import. `links.wire` is the data that goes over the ports,
# `service.ports` are the protocols by which the page meets the service without knowing it.
MAY_IMPORT: Final[Mapping[str, frozenset[str]]] = MappingProxyType(
    {
        "errors": frozenset(),
        "secret": frozenset(),
        "logs": frozenset({"secret"}),
        "config": frozenset({"errors", "secret", "bambu"}),
        "registry": frozenset({"errors", "config", "sealing", "secret", "state_file", "bambu"}),
        "sealing": frozenset({"errors", "state_file"}),
        "state_file": frozenset({"errors"}),
        "bambu": frozenset({"errors", "secret"}),
        "printago": frozenset({"errors", "secret"}),
        "translate": frozenset({"errors", "secret", "bambu", "printago"}),
        "links": _AROUND - {"translate"},
        "service": _AROUND | {"links.wire"},
        "web": _AROUND | {"links.wire", "service.ports"},
        "virtual": _CORE | {"logs"},
        "cli": _AROUND | {"service", "links", "web", "virtual"},
        "__main__": frozenset({"cli"}),
        "__init__": frozenset(),
    }
)

# What has an effect, or an answer that depends on when and where one asks.
EFFECTS: Final = frozenset(
    "asyncio concurrent ctypes fcntl http io logging multiprocessing os pathlib queue random secrets select selectors "
    "shutil signal socket socketserver sqlite3 ssl subprocess tempfile threading time xml zipfile".split()
)
_ZIP: Final = frozenset({"io", "xml", "zipfile"})  # a 3MF is one, and it is read from an open file
ALLOWED_EFFECTS: Final = MappingProxyType({"bambu/archive.py": _ZIP, "bambu/project.py": _ZIP})
PARSERS: Final = frozenset({"orjson"})
EFFECTFUL_CALLS: Final = frozenset({"open", "print", "input", "exec", "eval"})
CLOCKS: Final = frozenset({"now", "utcnow", "today"})

HEAVY: Final = ("aioftp", "aiohttp", "amqtt", "asyncio", "cryptography", "cv2", "numpy", "paho", "rich", "yaml")


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT / PACKAGE))


def part_of(path: Path) -> str:
    """Return the part of the package that a module belongs to."""
    return path.relative_to(ROOT / PACKAGE).parts[0].removesuffix(".py")


def imported(tree: ast.AST) -> Iterator[str]:
    """Yield the full name of everything that is imported, wherever the import stands."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def forbidden_parts(part: str, tree: ast.AST) -> set[str]:
    """Return what a module of `part` imports from parts of the package that it must not know."""
    found = set()
    for name in imported(tree):
        root, _, inside = name.partition(".")
        target = inside.partition(".")[0]
        if root != PACKAGE or target == part:
            continue
        if not any(f"{inside}.".startswith(f"{allowed}.") for allowed in MAY_IMPORT[part]):
            found.add(inside)
    return found


def impurities(path_name: str, tree: ast.AST) -> set[str]:
    """Return what a module does that a pure one does not."""
    roots = {name.partition(".")[0] for name in imported(tree)}
    effects = (roots & EFFECTS) - ALLOWED_EFFECTS.get(path_name, frozenset())
    strangers = {name for name in roots if name not in sys.stdlib_module_names} - PARSERS - {PACKAGE}
    return effects | strangers | set(_effectful_calls(tree))


def _effectful_calls(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Name(id=name)) if name in EFFECTFUL_CALLS:
                yield f"{name}()"
            case ast.Call(func=ast.Attribute(value=ast.Name(id=("datetime" | "date") as kind), attr=name)) if (
                name in CLOCKS
            ):
                yield f"{kind}.{name}()"
            case _:
                pass


def parsed(path: Path) -> ast.AST:
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_a_module_imports_only_what_its_part_may_know(path: Path) -> None:
    assert forbidden_parts(part_of(path), parsed(path)) == set()


@pytest.mark.parametrize("path", [each for each in MODULES if part_of(each) in PURE], ids=name_of)
def test_a_pure_module_touches_nothing(path: Path) -> None:
    assert impurities(name_of(path), parsed(path)) == set()


def test_every_part_of_the_package_has_its_rule() -> None:
    assert {part_of(path) for path in MODULES} <= set(MAY_IMPORT)


def test_the_rules_make_no_circle() -> None:
    """Each part can be reached from `cli`, and none can reach itself."""

    def reachable(part: str) -> set[str]:
        targets = {name.partition(".")[0] for name in MAY_IMPORT[part] if "." not in name}
        return targets.union(*map(reachable, targets))

    assert not any(part in reachable(part) for part in MAY_IMPORT)
    assert reachable("__main__") == set(MAY_IMPORT) - {"__main__", "__init__"}


# -- the rules themselves can fail -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("part", "line"),
    [
        ("bambu", "from bambu_connector.printago import commands"),
        ("printago", "import bambu_connector.bambu.models"),
        ("translate", "from bambu_connector.links.mqtt import Client"),
        ("links", "from bambu_connector.translate import plan"),
        ("links", "from bambu_connector.service import journal"),
        ("links", "from bambu_connector.service.ports import StoredFile"),
        ("service", "from bambu_connector.links import mqtt"),
        ("service", "from bambu_connector.links.wireless import x"),
        ("web", "from bambu_connector.service.supervisor import Supervisor"),
        ("service", "from bambu_connector.virtual import printer"),
        ("web", "def late():\n    from bambu_connector.virtual import printer"),
        ("errors", "from bambu_connector.secret import Secret"),
    ],
)
def test_a_forbidden_import_is_found(part: str, line: str) -> None:
    assert forbidden_parts(part, ast.parse(line))


@pytest.mark.parametrize(
    ("part", "line"),
    [
        ("service", "from bambu_connector.links.wire import StoredFile"),
        ("links", "from bambu_connector.links.tls import context"),
        ("translate", "from bambu_connector.bambu.view import View"),
        ("cli", "from bambu_connector.virtual import printer"),
        ("bambu", "import json"),
    ],
)
def test_an_allowed_import_is_not_found(part: str, line: str) -> None:
    assert forbidden_parts(part, ast.parse(line)) == set()


@pytest.mark.parametrize(
    "line",
    [
        "import asyncio",
        "import os.path",
        "from time import monotonic",
        "def f():\n    import socket",
        "import yaml",
        "from paho.mqtt import client",
        "import zipfile",
        "open('x')",
        "datetime.now(UTC)",
    ],
)
def test_an_impurity_is_found(line: str) -> None:
    assert impurities("bambu/fold.py", ast.parse(line))


def test_what_parses_is_pure() -> None:
    text = "import json, orjson, enum, datetime, zlib\nfrom bambu_connector.errors import ConnectorError"
    assert impurities("bambu/fold.py", ast.parse(text)) == set()
    assert impurities("bambu/project.py", ast.parse("import zipfile, io\nfrom xml.etree import ElementTree")) == set()


# -- late imports ----------------------------------------------------------------------------------


def loaded_by(statement: str) -> set[str]:
    """Return which heavy packages are in memory after `statement` in a fresh interpreter."""
    code = f"{statement}\nimport json, sys\nprint(json.dumps([name for name in {HEAVY!r} if name in sys.modules]))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    return set(json.loads(done.stdout))


def test_the_command_line_starts_without_anything_heavy() -> None:
    assert loaded_by("import bambu_connector.cli.main") == set()


def test_reading_the_configuration_loads_nothing_heavy_but_yaml() -> None:
    assert loaded_by("import bambu_connector.config, bambu_connector.logs, bambu_connector.registry") == {"yaml"}
