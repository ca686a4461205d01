"""The oracle sees what must not happen, and is content with what may."""

from dataclasses import replace

import pytest

from tests.soak.oracle import (
    Answer,
    Began,
    Expect,
    Finding,
    Flaw,
    Observations,
    Pause,
    Request,
    Sample,
    Sent,
    growth,
    judge,
    tag_of,
)

START = Sent(command_id="c1", command="printer_control/start_print_bbl", printer="p1", at=1.0, tag="print1")
LIGHT = Sent(command_id="c2", command="light_control/set_light", printer="p1", at=1.0)
STORE = Sent(command_id="c3", command="printer_control/download_gcode", printer="p1", at=1.0, tag="keep3")
TOLD = Request(printer="p1", at=2.0, command="project_file", text="print1-a.gcode.3mf", task_id="10")
BEGAN = Began(printer="p1", at=2.1, title="print1-a")
HEAT = Request(printer="p1", at=20.0, command="gcode_line", text="M104 S200\n", state="RUNNING", seen_for=10.0)


def answer(sent: Sent, kind: str = "success", *, message: str = "m1", at: float = 3.0, **more: str) -> Answer:
    return Answer(command_id=sent.command_id, message_id=message, kind=kind, at=at, **more)


def flaws(seen: Observations) -> list[Flaw]:
    return [each.flaw for each in judge(seen)]


def test_a_run_in_which_all_went_well_has_no_findings() -> None:
    seen = Observations(
        sent=[START, LIGHT, STORE],
        answers=[answer(START), answer(LIGHT, message="m2"), answer(STORE, message="m3")],
        requests=[TOLD, replace(HEAT, state="IDLE", seen_for=None)],
        began=[BEGAN],
        files={"p1": ["keep3-b.gcode.3mf"]},
        touched={"p1": []},
    )
    assert judge(seen) == []


# -- answers ----------------------------------------------------------------------------------------------


def test_a_lost_answer_is_found_with_its_command() -> None:
    (finding,) = judge(Observations(sent=[LIGHT]))
    assert finding == Finding(
        flaw=Flaw.LOST_ANSWER,
        text="light_control/set_light c2 for p1 was never answered",
        command_ids=("c2",),
        printer="p1",
        at=1.0,
    )


@pytest.mark.parametrize("sent", [replace(LIGHT, acked=False), replace(LIGHT, expect=Expect.AT_MOST_ONE)])
def test_what_the_broker_may_not_have_or_was_retained_needs_no_answer(sent: Sent) -> None:
    assert judge(Observations(sent=[sent])) == []


def test_a_second_answer_is_found() -> None:
    answers = [answer(LIGHT), answer(LIGHT, "error", message="m2", code="timeout")]
    assert flaws(Observations(sent=[LIGHT], answers=answers)) == [Flaw.DOUBLE_ANSWER]
    assert flaws(Observations(sent=[replace(LIGHT, expect=Expect.AT_MOST_ONE)], answers=answers)) == [
        Flaw.DOUBLE_ANSWER
    ]


def test_the_same_message_delivered_twice_is_one_answer() -> None:
    assert judge(Observations(sent=[LIGHT], answers=[answer(LIGHT), answer(LIGHT, at=9.0)])) == []


# -- starts -----------------------------------------------------------------------------------------------


def test_a_start_that_the_printer_was_told_twice_is_found() -> None:
    seen = Observations(sent=[START], answers=[answer(START)], requests=[TOLD, TOLD], began=[BEGAN])
    assert set(flaws(seen)) == {Flaw.DOUBLE_START}
    again = replace(TOLD, at=50.0, text="print1-b.gcode.3mf", task_id="11")
    assert flaws(replace_requests(seen, [TOLD, again])) == [Flaw.DOUBLE_START]


def replace_requests(seen: Observations, requests: list[Request]) -> Observations:
    return Observations(sent=seen.sent, answers=seen.answers, requests=requests, began=seen.began)


def test_one_task_under_two_names_is_a_double_start() -> None:
    other = replace(START, command_id="c9", tag="print9")
    seen = Observations(
        sent=[START, other],
        answers=[answer(START), answer(other, message="m2")],
        requests=[TOLD, replace(TOLD, text="print9-a.gcode.3mf")],
        began=[BEGAN, replace(BEGAN, title="print9-a")],
    )
    assert flaws(seen) == [Flaw.DOUBLE_START]


def test_a_print_that_begins_twice_is_found() -> None:
    seen = Observations(sent=[START], answers=[answer(START)], requests=[TOLD], began=[BEGAN, BEGAN])
    assert flaws(seen) == [Flaw.DOUBLE_START, Flaw.SUCCESS_WITHOUT_START]


def test_a_start_that_no_command_asked_for_is_found() -> None:
    assert flaws(Observations(requests=[TOLD])) == [Flaw.DOUBLE_START]


def test_a_start_at_the_screen_is_nobodys_double() -> None:
    assert judge(Observations(began=[Began(printer="p1", at=1.0, title="Started at the screen", at_screen=True)])) == []


def test_success_without_a_print_is_found() -> None:
    seen = Observations(sent=[START], answers=[answer(START)], requests=[TOLD])
    assert flaws(seen) == [Flaw.SUCCESS_WITHOUT_START]


@pytest.mark.parametrize(("code", "stage"), [("expired", None), ("printer_busy", None), ("cancelled", "upload")])
def test_a_start_after_a_refusal_is_found(code: str, stage: str | None) -> None:
    refused = replace(answer(START, "error"), code=code, stage=stage)
    seen = Observations(sent=[START], answers=[refused], requests=[TOLD], began=[BEGAN])
    assert flaws(seen) == [Flaw.REFUSED_YET_STARTED]
    assert judge(replace_requests(Observations(sent=[START], answers=[refused]), [])) == []


@pytest.mark.parametrize(
    ("code", "stage"), [("start_unknown", None), ("cancelled", "start"), ("start_failed", "start")]
)
def test_a_failure_at_the_start_itself_may_have_reached_the_printer(code: str, stage: str | None) -> None:
    failed = replace(answer(START, "error"), code=code, stage=stage)
    assert judge(Observations(sent=[START], answers=[failed], requests=[TOLD], began=[BEGAN])) == []


def test_a_start_while_a_print_was_active_is_found() -> None:
    busy = replace(TOLD, at=30.0, state="RUNNING", seen_for=20.0)
    seen = Observations(sent=[START], answers=[answer(START)], requests=[busy], began=[BEGAN])
    assert flaws(seen) == [Flaw.START_WHILE_PRINTING]


# -- while printing -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text", ["M104 S200\n", "M140 S60\n", "G28\n", "M211 S\nG91\nG1 X10 F3000\n", "M83\nG0 E5 F9\n"]
)
def test_heat_and_movement_while_printing_are_found(text: str) -> None:
    assert flaws(Observations(requests=[replace(HEAT, text=text)])) == [Flaw.UNSAFE_WHILE_PRINTING]


@pytest.mark.parametrize("command", ["back_to_center", "xyz_ctrl", "set_nozzle_temp", "ams_change_filament"])
def test_so_are_the_requests_of_newer_models(command: str) -> None:
    assert flaws(Observations(requests=[replace(HEAT, command=command, text="")])) == [Flaw.UNSAFE_WHILE_PRINTING]


@pytest.mark.parametrize("request_", [replace(HEAT, text="M106 P1 S255\n"), replace(HEAT, command="ledctrl", text="")])
def test_fans_and_lights_are_welcome_at_any_time(request_: Request) -> None:
    assert judge(Observations(requests=[request_])) == []


def test_a_paused_print_may_be_heated_and_not_moved() -> None:
    assert judge(Observations(requests=[replace(HEAT, state="PAUSE")])) == []
    moved = replace(HEAT, state="PAUSE", text="G28\n")
    assert flaws(Observations(requests=[moved])) == [Flaw.UNSAFE_WHILE_PRINTING]


def test_a_print_that_has_just_become_visible_cannot_be_known() -> None:
    assert judge(Observations(requests=[replace(HEAT, seen_for=2.0)])) == []


def test_while_the_service_is_frozen_it_cannot_know_anything() -> None:
    assert judge(Observations(requests=[HEAT], pauses=[Pause(began=9.0, ended=16.0)])) == []
    assert flaws(Observations(requests=[HEAT], pauses=[Pause(began=9.0, ended=12.0)])) == [Flaw.UNSAFE_WHILE_PRINTING]


def test_between_our_start_and_its_answer_nothing_moves_even_if_the_printer_still_shows_idle() -> None:
    moved = Request(printer="p1", at=4.0, command="gcode_line", text="G28\n", pending="print1")
    seen = Observations(sent=[START], answers=[answer(START, at=8.0)], requests=[TOLD, moved], began=[BEGAN])
    assert flaws(seen) == [Flaw.UNSAFE_WHILE_PRINTING]
    assert judge(replace_requests(seen, [TOLD, replace(moved, at=9.0)])) == []


# -- files --------------------------------------------------------------------------------------------------


def test_a_file_of_a_print_that_is_still_there_is_found() -> None:
    assert flaws(Observations(files={"p1": ["print1-a.gcode.3mf"]})) == [Flaw.GHOST_FILE]


def test_a_file_that_nobody_asked_for_is_found() -> None:
    assert flaws(Observations(files={"p1": ["keep8-a.gcode.3mf"]})) == [Flaw.GHOST_FILE]


def test_a_file_of_a_download_that_failed_is_found() -> None:
    failed = answer(STORE, "error", code="upload_failed")
    seen = Observations(sent=[STORE], answers=[failed], files={"p1": ["keep3-a.gcode.3mf"]})
    assert flaws(seen) == [Flaw.GHOST_FILE]


def test_more_kept_files_than_were_asked_for_are_found() -> None:
    sent = [replace(STORE, command_id=f"c{n}", tag=f"keep{n}") for n in range(1, 4)]
    answers = [answer(each, message=each.command_id) for each in sent]
    files = {"p1": [f"keep{n}-a.gcode.3mf" for n in range(1, 4)]}
    assert judge(Observations(sent=sent, answers=answers, files=files, keep_files=3)) == []
    assert flaws(Observations(sent=sent, answers=answers, files=files, keep_files=2)) == [Flaw.GHOST_FILE]


def test_a_file_of_somebody_else_that_is_gone_is_found() -> None:
    assert flaws(Observations(touched={"p1": ["holiday.gcode.3mf"]})) == [Flaw.TOUCHED_FILE]


@pytest.mark.parametrize(
    ("name", "tag"),
    [
        ("print12-3k.gcode.3mf", "print12"),
        ("/sdcard/keep7-a.gcode", "keep7"),
        ("print0-zz.gcode.3mf", None),
        ("Started at the screen", None),
        ("printer-1", None),
    ],
)
def test_names_of_ours_are_told_from_others(name: str, tag: str | None) -> None:
    assert tag_of(name) == tag


# -- figures ------------------------------------------------------------------------------------------------


def samples(*sizes: float) -> list[Sample]:
    return [Sample(at=float(n), rss=size, descriptors=10, threads=5) for n, size in enumerate(sizes)]


def test_growth_is_that_of_the_last_quarter_over_the_second() -> None:
    assert growth(samples(1, 2, 10, 11, 30, 12, 20, 21), "rss") == 10
    assert growth(samples(*[40.0] * 40), "rss") == 0
    assert growth(samples(*[40.0] * 40), "descriptors") == 0


def test_a_single_peak_is_no_growth() -> None:
    assert growth(samples(*[40.0] * 39, 90.0), "rss") == 0


def test_too_few_samples_say_nothing() -> None:
    assert growth(samples(1, 2, 3, 4), "rss") is None
