"""How long a start takes: `--help` against importing click, and `run` until the first status against a bare client.

The package is laid into a virtual environment as pip would lay it, with the dependencies of the running interpreter.
"""

import compileall
import shutil
import subprocess
import sys
import venv
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from time import perf_counter

import click

from tests.bench.site import ROOT, Measured, Site
from tests.bench.table import Row
from tests.servers.process import workspace

_SCRIPT = """#!{python}
import re
import sys
from bambu_connector.cli.main import main
if __name__ == '__main__':
    sys.argv[0] = re.sub(r'(-script\\.pyw|\\.exe)?$', '', sys.argv[0])
    sys.exit(main())
"""


class Installed:
    """A virtual environment in `folder` with the package in it."""

    def __init__(self, folder: Path) -> None:
        venv.create(folder, symlinks=True)
        self.python = folder / "bin" / "python"
        self.script = folder / "bin" / "bambu-connector"
        (site_packages,) = folder.glob("lib/python*/site-packages")
        package = site_packages / "bambu_connector"
        shutil.copytree(ROOT / "bambu_connector", package, ignore=shutil.ignore_patterns("__pycache__"))
        compileall.compile_dir(site_packages, quiet=1)
        dependencies = Path(click.__file__).parents[1]
        (site_packages / "dependencies.pth").write_text(f"{dependencies}\n", encoding="utf-8")
        self.script.write_text(_SCRIPT.format(python=self.python), encoding="utf-8")
        self.script.chmod(0o755)


def _seconds(argv: list[str | Path]) -> float:
    began = perf_counter()
    subprocess.run(argv, check=True, stdout=subprocess.DEVNULL)
    return perf_counter() - began


def _help(installed: Installed, rounds: int) -> Row:
    ours, floor = [], []
    for _ in range(rounds):
        ours.append(_seconds([installed.script, "--help"]) * 1000)
        floor.append(_seconds([installed.python, "-c", "import click"]) * 1000)
    note = f"floor: import click; on {sys.version.split()[0]}"
    return Row(what="--help", unit="ms", ours=median(ours), floor=median(floor), at_most=1.3, note=note)


def _first_status(installed: Installed, rounds: int) -> Row:
    ours, floor = [], []
    with Site("P1S") as site:
        config = site.configuration([0])
        for _ in range(rounds):
            ours.append(_until_told(site, lambda: site.start_ours(config, [installed.script]), "printer"))
            floor.append(_until_told(site, lambda: site.start_floor("relay", [0], "bare", installed.python), "bare"))
    note = "floor: a bare client that hands its first report on"
    what = "start of `run` to the first status"
    return Row(what=what, unit="ms", ours=median(ours), floor=median(floor), at_most=1.5, note=note)


def _until_told(site: Site, start: Callable[[], Measured], prefix: str) -> float:
    began = perf_counter()
    process = start()
    site.until_told([0], prefix)
    taken = perf_counter() - began
    process.kill()
    return taken * 1000


def measure(*, quick: bool) -> Iterator[Row]:
    """Yield both rows."""
    with workspace() as folder:
        installed = Installed(folder / "venv")
        yield _help(installed, 11 if quick else 31)
        yield _first_status(installed, 7 if quick else 21)
