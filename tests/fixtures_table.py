"""The table of supported models in the README, made from `fixtures/` and the model table.

`python -m tests.fixtures_table` prints it; with `--write` it is put into the README.
"""

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from bambu_connector.bambu.models import TRAITS, Model, Traits
from tests.recordings import FIXTURES, Recording, folders, load

__all__ = ["FIXTURES", "section_of", "table", "write_readme"]

README: Final = Path(__file__).parents[1] / "README.md"
BEGIN: Final = "<!-- models: made by `python -m tests.fixtures_table --write` -->"
END: Final = "<!-- end of models -->"
_KNOWN_FROM: Final = {
    "printer": "recordings of a real printer",
    "virtual": "the model table, and a virtual printer that imitates one",
}
_TABLE_ALONE: Final = "the model table alone"


def table(recordings: Iterable[Recording]) -> str:
    """Return the table: a line for each model, and for each kind of printer that it was recorded from."""
    found: dict[tuple[str, str], list[str]] = {}
    for each in recordings:
        found.setdefault((each.about["model"], each.about["source"]), []).append(str(each.about["firmware"]))
    lines = ["| model | code | camera | known from | firmware recorded |", "| --- | --- | --- | --- | --- |"]
    for model, traits in TRAITS.items():
        if model is not Model.GENERIC:
            lines += _lines(model, traits, found)
    return "\n".join(lines)


def _lines(model: Model, traits: Traits, found: dict[tuple[str, str], list[str]]) -> list[str]:
    camera = traits.camera.value.upper() if traits.camera else ""
    begin = f"| {traits.display_name.removeprefix('Bambu Lab ')} | `{traits.code}` | {camera} |"
    lines = [
        f"{begin} {known} | {', '.join(sorted(set(found[model.value, source])))} |"
        for source, known in _KNOWN_FROM.items()
        if (model.value, source) in found
    ]
    return lines or [f"{begin} {_TABLE_ALONE} | none |"]


def section_of(readme: str) -> str:
    """Return what stands between the two marks of the README."""
    _, found_begin, rest = readme.partition(BEGIN)
    section, found_end, _ = rest.partition(END)
    assert found_begin, "the README has lost its first mark"
    assert found_end, "the README has lost its second mark"
    return section.strip()


def made() -> str:
    """Return the table of the fixtures as they are."""
    return table(map(load, folders()))


def write_readme() -> None:
    """Put the table into the README."""
    readme = README.read_text(encoding="utf-8")
    before, after = readme.partition(BEGIN)[0], readme.partition(END)[2]
    section_of(readme)
    README.write_text(f"{before}{BEGIN}\n\n{made()}\n\n{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    if "--write" in sys.argv[1:]:
        write_readme()
    else:
        print(made())
