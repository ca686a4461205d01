"""The stages of a print in words, against the protocol reference."""

import pytest

from bambu_connector.bambu.stages import STAGES


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (0, "printing"),
        (7, "heating hotend"),
        (13, "homing tool-head"),
        (16, "paused by user"),
        (34, "paused: first-layer error"),
        (51, "printing calibration lines"),
        (66, "purifying chamber air"),
        (77, "preparing AMS"),
    ],
)
def test_a_stage_has_the_words_of_the_reference(number: int, words: str) -> None:
    assert STAGES[number] == words


def test_all_stages_of_the_reference_are_there() -> None:
    assert set(STAGES) == set(range(78))
