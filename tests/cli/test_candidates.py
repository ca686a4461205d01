"""Arguments, choices and CSVs: every mistake at once, and never an access code in a sentence."""

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bambu_connector.cli.candidates import (
    Candidate,
    chosen,
    code_fault,
    doubts_about,
    from_csv,
    id_fault,
    ports_of,
    serial_of,
    target_of,
)
from bambu_connector.errors import UsageError
from bambu_connector.secret import Secret

SERIAL = "01P00A000000001"
CODE = "a1b2c3d4"


def mistakes(text: str | bytes) -> list[str]:
    """Return what is wrong with a CSV."""
    with pytest.raises(UsageError) as error:
        from_csv(text if isinstance(text, bytes) else text.encode(), "box.csv")
    return str(error.value).splitlines()


def tried(raw: bytes) -> tuple[tuple[Candidate, ...], str]:
    """Return what a CSV says, and why it was refused."""
    try:
        return from_csv(raw, "box.csv"), ""
    except UsageError as error:
        return (), str(error)


def read(text: str) -> tuple[Candidate, ...]:
    return from_csv(text.encode(), "box.csv")


# -- one printer -----------------------------------------------------------------------------------


@pytest.mark.parametrize("text", [SERIAL, "030120000000007", SERIAL.lower(), "AB12309BH109XYZ"])
def test_a_serial_is_known_when_it_is_seen(text: str) -> None:
    assert target_of(f" {text} ") == (text.upper(), None)


@pytest.mark.parametrize(
    ("text", "host"),
    [
        ("192.168.1.50", "192.168.1.50"),
        ("p1s-left.local", "p1s-left.local"),
        ("workshopprinter", "workshopprinter"),
        ("[fd00::17]", "fd00::17"),
        ("fe80::1%eth0", "fe80::1%eth0"),
        ("PRINTERROOM", "PRINTERROOM"),
    ],
)
def test_everything_else_that_can_be_one_is_an_address(text: str, host: str) -> None:
    assert target_of(text) == (None, host)


@pytest.mark.parametrize("text", ["", "192.168.1.50:8883", "https://192.168.1.50", "my printer", "ä"])
def test_what_is_neither_is_said(text: str) -> None:
    with pytest.raises(ValueError, match="neither a serial nor an address"):
        target_of(text)


@pytest.mark.parametrize("text", ["300.1.1.1", "192.168.1", "192.168.1.050", "1.2.3.4.5", "10.0.0."])
def test_what_was_meant_as_an_ipv4_address_and_is_none_is_said(text: str) -> None:
    with pytest.raises(ValueError, match="no valid IPv4 address"):
        target_of(text)
    (told,) = mistakes(f"{text},{CODE}")
    assert "neither a serial nor an address" in told


@pytest.mark.parametrize(
    ("serial", "words"),
    [
        (SERIAL, []),
        ("01P00A00002000", ["has 14"]),
        ("01P00A0000020O0", ["letters O and I"]),
        ("01P00A00000I00", ["has 14", "letters O and I"]),
    ],
)
def test_what_looks_like_a_slip_in_a_serial_is_doubted(serial: str, words: list[str]) -> None:
    found = doubts_about(serial)
    assert len(found) == len(words)
    assert all(word in doubt for word, doubt in zip(words, found, strict=True))


def test_ports_are_read_and_the_last_one_counts() -> None:
    assert ports_of(["mqtt=18883", "ftps=1990", "mqtt=18884"]) == {"mqtt": 18884, "ftps": 1990}


@pytest.mark.parametrize("text", ["mqtt", "mqtt=", "mqtt=0", "mqtt=65536", "mqtt=x", "mqtt=²", "http=80", "=80"])
def test_a_port_that_cannot_be_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="--port"):
        ports_of([text])


@pytest.mark.parametrize(
    ("code", "why"),
    [("", "missing"), ("1234567", "only 7 digits of 8"), ("12 45678", "character"), ("x" * 33, "too long")],
)
def test_an_access_code_that_cannot_be_one_is_refused_without_quoting_it(code: str, why: str) -> None:
    fault = code_fault(code)
    assert fault is not None
    assert why in fault
    assert not code or code not in fault


def test_codes_and_ids_as_they_are_have_no_fault() -> None:
    assert [code_fault(each) for each in ("01234567", CODE)] == [None, None]
    assert id_fault("clx0000000000000000000001") is None
    assert id_fault("a/b") is not None
    assert id_fault("x" * 129) is not None


# -- a choice --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "indices"),
    [
        ("1", (0,)),
        ("1,3-5", (0, 2, 3, 4)),
        ("5 1", (4, 0)),
        ("2 - 3, 3", (1, 2)),
        ("all", (0, 1, 2, 3, 4)),
        (" ALL ", (0, 1, 2, 3, 4)),
        ("1,", (0,)),
    ],
)
def test_a_choice_is_numbers_and_ranges_each_once(text: str, indices: tuple[int, ...]) -> None:
    assert chosen(text, 5) == indices


@pytest.mark.parametrize("text", ["", "0", "6", "3-2", "4-6", "x", "1;2", "-1", "99999"])
def test_a_choice_that_is_none_says_why(text: str) -> None:
    with pytest.raises(ValueError, match=r"write numbers|not in the table"):
        chosen(text, 5)


@given(st.text(max_size=12), st.integers(1, 40))
def test_a_choice_never_leaves_the_table(text: str, count: int) -> None:
    try:
        found = chosen(text, count)
    except ValueError:
        return
    assert found
    assert len(set(found)) == len(found)
    assert all(0 <= each < count for each in found)


# -- a CSV -----------------------------------------------------------------------------------------


def test_a_line_is_an_address_or_a_serial_a_code_a_name_and_an_id() -> None:
    first, second = read(f"192.168.1.50,{CODE},Left P1S,left\n{SERIAL},01234567\n")
    assert first == Candidate(host="192.168.1.50", access_code=Secret(CODE), name="Left P1S", id="left", line=1)
    assert second == Candidate(serial=SERIAL, access_code=Secret("01234567"), line=2)
    assert (first.called, second.called) == ("Left P1S", SERIAL)


def test_spaces_in_a_code_and_before_a_quoted_cell_do_not_count() -> None:
    (found,) = read('192.168.1.50, 2222 2222, "Shelf 1, left", "left"\n')
    assert (found.access_code, found.name, found.id) == (Secret("22222222"), "Shelf 1, left", "left")


def test_a_space_that_is_to_separate_cells_is_a_mistake_and_no_accident() -> None:
    assert mistakes("sep= \n192.168.1.50 12345678 Left\n")


def test_a_code_that_a_spreadsheet_has_cut_is_said_with_what_to_do() -> None:
    assert "drops zeros in front" in mistakes("192.168.1.50,1234567")[0]


def test_what_excel_writes_is_understood() -> None:
    raw = f'sep=;\r\nAddress;Access Code;Name\r\n192.168.1.50;{CODE};"Left; or right"\r\n'.encode("utf-8-sig")
    (found,) = from_csv(raw, "box.csv")
    assert (found.host, found.name, found.line) == ("192.168.1.50", "Left; or right", 3)
    (wide,) = from_csv(f"192.168.1.50\t{CODE}\tÄpfel\r\n".encode("utf-16"), "box.csv")
    assert wide.name == "Äpfel"


def test_a_header_puts_the_columns_into_any_order_and_others_are_ignored() -> None:
    (found,) = read(f"Name,Shelf,Printer_ID,serial,access-code,IP address\nLeft,7,left,{SERIAL},{CODE},10.0.0.7\n")
    assert found == Candidate(serial=SERIAL, host="10.0.0.7", access_code=Secret(CODE), name="Left", id="left", line=2)


def test_remarks_and_empty_lines_are_passed_over_and_the_numbers_stay_right() -> None:
    (found,) = read(f"# the first box\n\n  # and\n,,\n192.168.1.50,{CODE}\n")
    assert found.line == 5


def test_every_mistake_is_said_at_once_with_its_line_and_no_code_in_it() -> None:
    text = (
        "address,access code,name,id\n"
        "192.168.1.50,1234567,A,left\n"
        "10.0.0.1:99,s3cr3tA!,B,b/c\n"
        "10.0.0.2,,C\n"
        ",s3cr3tB!,D\n"
        "192.168.1.50,s3cr3tC!,E,left\n"
        "10.0.0.3,s3cr3tD!,F,f,more\n"
    )
    found = mistakes(text)
    assert [line.split(":")[1] for line in found] == ["2", "3", "3", "4", "5", "6", "6", "7"]
    assert not any(secret in line for line in found for secret in ("1234567", "s3cr3t"))
    assert "same host stands in line 2 already" in "".join(found)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "no printer in it"),
        ("# nothing\n", "no printer in it"),
        ("address,access code\n", "no printer in it"),
        ("name,id\nLeft,left\n", "`address` or `serial`"),
        ("address,name\n10.0.0.1,Left\n", "`access code`"),
        (f'10.0.0.1,{CODE},"Left\n10.0.0.2,{CODE}\n', "quotation mark"),
        (f'10.0.0.1,{CODE},"Left"x\n', "quotation marks"),
        (f"{CODE},192.168.1.50\n", "swapped"),
        (f"{CODE},{SERIAL}\n", "swapped"),
        (b"10.0.0.1,\xff\xe4\xf6", "not UTF-8"),
    ],
)
def test_a_file_that_cannot_be_understood_says_why(text: str | bytes, why: str) -> None:
    found = mistakes(text)
    assert any(why in line for line in found)
    assert CODE not in "".join(found)


_CELL = st.text(st.characters(exclude_categories=["C", "Z"], exclude_characters="#"), min_size=1, max_size=12)


@given(
    st.lists(st.tuples(_CELL, _CELL), min_size=1, max_size=6), st.sampled_from(",;\t"), st.sampled_from(["\n", "\r\n"])
)
def test_whatever_is_written_properly_is_read_as_it_was(rows: list[tuple[str, str]], delimiter: str, end: str) -> None:
    out = io.StringIO()
    writer = csv.writer(out, delimiter=delimiter, lineterminator=end)
    writer.writerow(["address", "access code", "name"])
    for number, (code, name) in enumerate(rows):
        writer.writerow([f"10.0.0.{number}", f"{abs(hash(code)) % 10**8:08d}", name])
    found = from_csv(out.getvalue().encode("utf-8-sig"), "box.csv")
    assert [each.name for each in found] == [name for _, name in rows]
    assert [each.host for each in found] == [f"10.0.0.{number}" for number in range(len(rows))]


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(raw: bytes) -> None:
    found, refused = tried(raw)
    assert refused.startswith("box.csv:") if not found else not refused
    assert all(each.access_code and (each.serial or each.host) for each in found)


@given(st.text(alphabet='01P,;\n"# \tabc.:[]', max_size=80))
def test_no_sentence_quotes_the_code_of_a_line(text: str) -> None:
    secret = "Zx9Qv7Wk"
    _, refused = tried(f"10.0.0.1,{secret} ,{text}\n{text},{secret}\n".encode())
    assert secret not in refused


@given(st.text(max_size=30))
def test_a_target_is_a_serial_or_an_address_or_refused(text: str) -> None:
    try:
        serial, host = target_of(text)
    except ValueError:
        return
    assert (serial is None) is not (host is None)
    assert serial is None or serial_of(serial) == serial


@pytest.mark.parametrize("mark", ["\x1b[2J", "\x9b31m", "\u202e", "\x07"])
def test_what_would_move_the_cursor_or_turn_a_line_around_is_a_mistake_and_not_repeated(mark: str) -> None:
    told = mistakes(f"192.0.2.1,12345678,Left{mark},left\n192.0.2.2,12345678,Right,ri{mark}ght\n")
    assert [line.partition(": ")[0] for line in told] == ["box.csv:1", "box.csv:2"]
    assert all("cannot be seen" in line and mark not in line for line in told)


def test_a_name_that_nobody_could_store_is_a_mistake() -> None:
    assert "at most" in mistakes(f"192.0.2.1,12345678,{'x' * 200},left\n")[0]


def test_a_separator_that_cannot_be_one_is_passed_over() -> None:
    assert read('sep="\n192.0.2.1,12345678\n')[0].host == "192.0.2.1"


@pytest.mark.parametrize("line", ["192.0.2.1,Left,2222 2222", f"192.0.2.1,Left,{CODE}", f"192.0.2.1,Left,Right,{CODE}"])
def test_an_access_code_in_the_place_of_a_name_is_a_mistake_and_not_shown(line: str) -> None:
    (told,) = mistakes(line)
    assert "another column" in told
    assert CODE not in told
    assert "2222" not in told


def test_a_name_that_looks_like_an_access_code_beside_one_is_a_name() -> None:
    assert read(f"192.0.2.1,{CODE},printer1")[0].name == "printer1"
