"""The small sliced file that the demo prints: what a slicer would export."""

import io

import pytest

from bambu_connector.bambu.project import SlicedFile, inspect
from bambu_connector.errors import FileInvalid
from bambu_connector.virtual.filament import Filaments
from bambu_connector.virtual.models import find_model, load_start
from bambu_connector.virtual.project import Refused, examine
from bambu_connector.virtual.report import Report
from bambu_connector.virtual.sample import sample_project
from tests.virtual.bench import NAME, Shelf, project_file


def sample(code: str = "C12", color: str = "#FF8800") -> bytes:
    return sample_project(model=code, info="GFA00", kind="PLA", color=color)


def judged(content: bytes) -> SlicedFile:
    return inspect(io.BytesIO(content), plate=None)


def test_the_connector_takes_it_for_a_sound_file_of_one_plate() -> None:
    found = judged(sample())
    assert (found.plates, found.plate) == ((1,), 1)
    assert found.printer_model_id == "C12"
    assert found.nozzle_diameters == (0.4,)
    assert (found.prediction, found.weight) == (600, 3.2)
    assert [each.name for each in found.objects] == ["cube.stl"]
    assert found.label_object_enabled


def test_it_wants_the_filament_that_it_was_made_for() -> None:
    (filament,) = judged(sample(color="#00AE42")).filaments
    assert (filament.type, filament.color.lstrip("#")[:6], filament.tray_info_idx) == ("PLA", "00AE42", "GFA00")


def test_a_damaged_one_is_not_sound() -> None:
    content = sample()
    with pytest.raises(FileInvalid):
        judged(content[: len(content) // 2])


@pytest.mark.parametrize("model", ["P1S", "X1C", "A1 mini", "H2D"])
def test_a_virtual_printer_prints_it_if_it_was_sliced_for_its_model(model: str) -> None:
    row = find_model(model)
    filaments = Filaments(Report(load_start(row)[0]))

    def look(content: bytes) -> int | None:
        shelf = Shelf(**{NAME: content})
        return examine(project_file(content), shelf, row, filaments).layers

    assert look(sample(row.code)) == 10
    with pytest.raises(Refused):
        look(sample("no-such-model"))
