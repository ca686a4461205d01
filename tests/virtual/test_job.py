"""A job on its own, where the whole printer does not show it."""

import pytest

from bambu_connector.virtual.job import skip_objects
from tests.virtual.bench import Bench


def test_remaining_minutes_stand_still_while_it_prepares() -> None:
    bench = Bench()
    bench.start()
    bench.until_state("RUNNING")
    assert bench.seen("mc_remaining_time") == [2]


def test_preparing_counts_up_to_a_hundred() -> None:
    bench = Bench()
    bench.start()
    bench.until_state("RUNNING")
    percents = [int(percent) for percent in bench.seen("gcode_file_prepare_percent")]
    assert percents == sorted(percents)
    assert percents[-1] == 100


def test_levelling_is_left_out_where_it_was_not_asked_for() -> None:
    bench = Bench()
    bench.start(bed_leveling=False)
    bench.until_state("RUNNING")
    assert 1 not in bench.seen("stg_cur")


def test_filament_that_is_loaded_already_is_not_changed() -> None:
    bench = Bench(speed=20)
    for _ in range(2):
        bench.take_said()
        bench.start()
        bench.until_state("FINISH")
    assert 4 not in bench.seen("stg_cur")


def test_the_temperatures_are_those_of_the_filament() -> None:
    bench = Bench()
    bench.start(ams_mapping=[2], ams_mapping2=[{"ams_id": 0, "slot_id": 2}])
    assert (bench.field("nozzle_target_temper"), bench.field("bed_target_temper")) == (255, 70)


def test_newer_models_mirror_progress_and_tell_the_mapping() -> None:
    bench = Bench("H2D", speed=10)
    bench.start(ams_mapping=[-1, 2], ams_mapping2=[{"ams_id": 255, "slot_id": 255}, {"ams_id": 0, "slot_id": 2}])
    assert bench.field("mapping") == [2]
    assert bench.field("gcode_file") == "/data/Metadata/plate_1.gcode"
    bench.until_state("FINISH")
    assert bench.field("3D") == {"layer_num": 4, "total_layer_num": 4}
    assert (bench.field("percent"), bench.field("remain_time")) == (100, 0)


@pytest.mark.parametrize("wanted", [None, 98, ["98"], [True], [1.5]])
def test_objects_that_are_no_numbers_are_not_skipped(wanted: object) -> None:
    assert not skip_objects(Bench().machine.rig, wanted)
