"""The virtual printer on the network, with real clients."""

import asyncio
import ftplib
import io
import ssl
from pathlib import Path
from typing import Any

import pytest

from bambu_connector.bambu.detect import Frames, parse_reply, request
from bambu_connector.errors import UsageError
from bambu_connector.links.certificate import common_name
from bambu_connector.secret import Secret
from bambu_connector.virtual.detect import CIPHERS
from bambu_connector.virtual.faults import Faults
from bambu_connector.virtual.logins import Tries
from bambu_connector.virtual.models import Style
from bambu_connector.virtual.project import CANNOT_PARSE
from bambu_connector.virtual.server import VirtualPrinter, encode
from tests.virtual.bench import NAME, project_file, sliced
from tests.virtual.wires import Client, Ears, ImplicitFtps, certificate_of, free_udp_port, run, trusting, until


def upload(printer: VirtualPrinter, content: bytes, name: str = NAME) -> None:
    with ImplicitFtps(printer) as ftp:
        ftp.storbinary(f"STOR {name}", io.BytesIO(content))
        assert ftp.size(name) == len(content)


def delete(printer: VirtualPrinter, name: str = NAME) -> None:
    with ImplicitFtps(printer) as ftp:
        ftp.delete(name)


def listed(printer: VirtualPrinter) -> list[str]:
    with ImplicitFtps(printer) as ftp:
        return ftp.nlst()


def states_heard(client: Client) -> list[str]:
    return [each["gcode_state"] for each in client.replies("print", "push_status") if "gcode_state" in each]


def test_a_client_logs_in_asks_and_is_told() -> None:
    async def test() -> None:
        async with VirtualPrinter("P1S") as printer, Client(printer) as client:
            await client.subscribed()
            assert (client.connacks, printer.sessions, printer.connects) == (["Success"], 1, 1)
            client.send("info", "get_version")
            client.send("pushing", "pushall")
            version = await client.reply("info", "get_version")
            status = await client.reply("print", "push_status")
            assert version["module"][0]["sn"] == printer.serial
            assert (status["msg"], status["gcode_state"]) == (0, "IDLE")
            await until(lambda: len(client.pubacks) == 2)
            assert [next(iter(each)) for each in printer.requests] == ["info", "pushing"]

    run(test())


def test_an_upload_is_printed_and_may_be_deleted_while_it_runs() -> None:
    async def test() -> None:
        news: list[str] = []
        content = sliced()
        async with VirtualPrinter("P1S", speed=300, on_news=news.append) as printer, Client(printer) as client:
            await client.subscribed()
            await asyncio.to_thread(upload, printer, content)
            assert (printer.storage / NAME).read_bytes() == content
            request = project_file(content)
            client.send("print", request.pop("command"), **request)
            await until(lambda: printer.machine.rig.state == "RUNNING")
            await asyncio.to_thread(delete, printer)
            await until(lambda: "finished bracket" in news)
            await until(lambda: states_heard(client)[-1:] == ["FINISH"])
            assert states_heard(client) == ["PREPARE", "RUNNING", "FINISH"]
            assert [start.ids["task_id"] for start in printer.starts] == ["4711"]
            assert news[:2] == ["a client has connected", f"received {NAME}"]

    run(test())


def test_several_clients_hear_the_same() -> None:
    async def test() -> None:
        async with VirtualPrinter() as printer, Client(printer) as one, Client(printer) as other:
            await one.subscribed()
            await other.subscribed()
            one.send("print", "pause")
            assert await one.reply("print", "pause") == await other.reply("print", "pause")
            assert printer.sessions == 2

    run(test())


def test_what_a_test_changes_is_told() -> None:
    async def test() -> None:
        async with VirtualPrinter() as printer, Client(printer) as client:
            await client.subscribed()
            await printer.change(gcode_state="PAUSE")
            assert (await client.reply("print", "push_status"))["gcode_state"] == "PAUSE"

    run(test())


def test_dropped_clients_can_come_back() -> None:
    async def test() -> None:
        async with VirtualPrinter() as printer:
            async with Client(printer) as client:
                await client.subscribed()
                printer.drop_connections()
                await until(lambda: client.disconnects == 1)
                await until(lambda: printer.sessions == 0)
            async with Client(printer) as client:
                await client.subscribed()
                assert (printer.sessions, printer.connects) == (1, 2)

    run(test())


def test_nonsense_on_the_request_topic_is_ignored() -> None:
    async def test() -> None:
        async with VirtualPrinter() as printer, Client(printer) as client:
            await client.subscribed()
            for payload in (b"", b"{", b"[1]", b"\xff", b'{"print": 1}', b'{"print": {}}'):
                client.publish(f"device/{printer.serial}/request", payload)
            client.send("info", "get_version")
            await client.reply("info", "get_version")

    run(test())


def test_the_state_folder_keeps_certificate_and_files(tmp_path: Path) -> None:
    async def identity() -> bytes:
        async with VirtualPrinter(serial="01P00A000000009", state_dir=tmp_path) as printer:
            (printer.storage / "kept").touch()
            pem = await asyncio.to_thread(ssl.get_server_certificate, (printer.host, printer.ports["mqtt"]))
            return pem.encode()

    assert asyncio.run(identity()) == asyncio.run(identity())
    assert (tmp_path / "storage" / "kept").exists()
    assert (tmp_path / "01P00A000000009.pem").stat().st_mode & 0o777 == 0o600


def test_a_temporary_folder_goes_in_the_end() -> None:
    async def folder() -> Path:
        async with VirtualPrinter() as printer:
            assert printer.storage.is_dir()
            return printer.storage

    assert not asyncio.run(folder()).parent.exists()


def test_an_access_code_is_in_no_repr() -> None:
    async def test() -> None:
        async with VirtualPrinter(access_code=Secret("31415926")) as printer:
            assert "31415926" not in repr(vars(printer))

    run(test())


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(UsageError):
        VirtualPrinter("Z9")
    with pytest.raises(UsageError):
        VirtualPrinter(faults=["nope"])


def test_a_port_that_is_taken_is_an_os_error() -> None:
    async def test() -> None:
        async with VirtualPrinter() as first:
            for mqtt_port, ftps_port in ((first.ports["mqtt"], 0), (0, first.ports["ftps"])):
                with pytest.raises(OSError, match="address already in use"):
                    async with VirtualPrinter(mqtt_port=mqtt_port, ftps_port=ftps_port):
                        pass

    run(test())


# -- faults on the wire ------------------------------------------------------------------------------


@pytest.mark.parametrize("faulty", [False, True])
def test_a_wrong_code_is_refused_by_both_wires(faulty: bool) -> None:
    async def test() -> None:
        async with VirtualPrinter(access_code=Secret("12345678")) as printer:
            code = Secret("12345678" if faulty else "00000000")
            if faulty:
                printer.faults.add("wrong-code")
            async with Client(printer, code=code) as client:
                await until(lambda: client.disconnects == 1)
                assert client.connacks == ["Not authorized"]
            with pytest.raises(ftplib.error_perm, match="530"):
                await asyncio.to_thread(ImplicitFtps, printer, code)
            assert printer.connects == 0

    run(test())


def test_puback_withheld_acknowledges_nothing_and_obeys() -> None:
    async def test() -> None:
        async with VirtualPrinter(faults=["puback-withheld"]) as printer, Client(printer) as client:
            await client.subscribed()
            client.send("info", "get_version")
            await client.reply("info", "get_version")
            assert client.pubacks == []
            printer.faults.clear()
            client.send("print", "pause")
            await client.reply("print", "pause")
            await until(lambda: len(client.pubacks) == 1)

    run(test())


def test_disconnects_drops_clients_every_now_and_then() -> None:
    async def test() -> None:
        async with VirtualPrinter() as printer:
            for _ in range(2):
                async with Client(printer) as client:
                    await client.subscribed()
                    printer.faults.add("disconnects=0.1")
                    await until(lambda client=client: client.disconnects == 1)  # type: ignore[misc]
                    printer.faults.clear()

    run(test())


def test_non_utf8_puts_bad_bytes_into_its_json() -> None:
    async def test() -> None:
        async with VirtualPrinter(faults=["non-utf8"]) as printer, Client(printer) as client:
            await client.subscribed()
            client.send("pushing", "pushall")
            assert (await client.reply("print", "push_status"))["gcode_state"] == "IDLE"
            with pytest.raises(UnicodeDecodeError):
                client.raw[0].decode()

    run(test())


def test_no_storage_answers_553() -> None:
    async def test() -> None:
        async with VirtualPrinter(faults=["no-storage"]) as printer:
            with pytest.raises(ftplib.error_perm, match="553"):
                await asyncio.to_thread(upload, printer, b"x")
            printer.faults.clear()
            await asyncio.to_thread(upload, printer, b"x")

    run(test())


def test_a_new_client_disturbs_a_mute_start() -> None:
    async def test() -> None:
        async with VirtualPrinter(faults=["mute-start"]) as printer:
            (printer.storage / NAME).write_bytes(sliced())
            printer.machine.handle({"print": project_file(sliced())}, 0.0)
            async with Client(printer) as client:
                status = await client.reply("print", "push_status")
                assert status["print_error"] == CANNOT_PARSE

    run(test())


def test_screen_start_starts_another_print_when_an_upload_has_arrived() -> None:
    async def test() -> None:
        async with VirtualPrinter(faults=["screen-start"]) as printer:
            await asyncio.to_thread(upload, printer, sliced())
            await until(lambda: bool(printer.starts))
            assert printer.starts[0].at_screen

    run(test())


def test_an_x1_indents_its_json_and_others_do_not() -> None:
    message = {"print": {"a": 1}}
    assert encode(message, Style.WHOLE, Faults()) == b'{\n    "print": {\n        "a": 1\n    }\n}'
    assert encode(message, Style.DELTAS, Faults()) == b'{"print": {"a": 1}}'


def test_too_many_clients_drops_whoever_wants_to_log_in() -> None:
    async def test() -> None:
        async with VirtualPrinter(faults=["too-many-clients"]) as printer:
            async with Client(printer) as client:
                await until(lambda: client.disconnects == 1)
                assert (client.connacks, printer.connects) == ([], 0)
            printer.faults.clear()
            async with Client(printer) as client:
                await client.subscribed()

    run(test())


# -- where it is, and who --------------------------------------------------------------------------


def everywhere(**options: Any) -> VirtualPrinter:
    """Return a printer with every port that a P1S has."""
    return VirtualPrinter("P1S", detect_port=0, detect_tls_port=0, camera_port=0, **options)


def test_only_what_is_asked_for_is_there() -> None:
    async def test() -> None:
        async with VirtualPrinter() as printer, everywhere() as other, VirtualPrinter("X1C", camera_port=0) as third:
            assert list(printer.ports) == ["mqtt", "ftps"]
            assert list(other.ports) == ["mqtt", "ftps", "detect", "detect_tls", "camera"]
            assert list(third.ports) == ["mqtt", "ftps", "rtsps"]
            assert len(set(other.ports.values())) == 5

    run(test())


async def certificates_of(printer: VirtualPrinter) -> set[bytes]:
    """Return all that is shown on any port with TLS."""
    return {
        await certificate_of(printer.host, port, ciphers=CIPHERS if wire == "detect_tls" else None)
        for wire, port in printer.ports.items()
        if wire != "detect"
    }


@pytest.mark.parametrize(
    ("fault", "name"),
    [
        (None, "01P00A000000001"),
        ("foreign-certificate", "01P00A999999999"),
        ("new-certificate", "01P00A000000001"),
    ],
)
def test_every_port_shows_the_same_certificate(fault: str | None, name: str) -> None:
    async def test() -> None:
        async with everywhere(serial="01P00A000000001", faults=[fault] if fault else []) as printer:
            (shown,) = await certificates_of(printer)
            assert common_name(shown) == name
            printer.faults.clear()
            assert (await certificates_of(printer) == {shown}) is (fault is None)

    run(test())


@pytest.mark.parametrize("wire", ["detect", "detect_tls"])
@pytest.mark.parametrize("fault", [None, "cloud"])
def test_it_tells_who_it_is(wire: str, fault: str | None) -> None:
    async def test() -> None:
        async with everywhere(name="Größe: 1", faults=[fault] if fault else []) as printer:
            context = None
            if wire == "detect_tls":
                context = trusting(printer.authority_file)
                context.set_ciphers(CIPHERS)
            reader, writer = await asyncio.open_connection(printer.host, printer.ports[wire], ssl=context)
            writer.write(request())
            told = parse_reply(Frames().feed(await reader.read(4096))[0])
            writer.transport.abort()
            assert told is not None
            assert (told.serial, told.model_code, told.name) == (printer.serial, "C12", "Größe: 1")
            assert told.firmware == "01.08.01.00"
            assert (told.connection, told.is_bound) == (("cloud", True) if fault else ("lan", False))

    run(test())


def test_it_announces_itself_only_when_asked_to_and_says_goodbye() -> None:
    async def test() -> None:
        async with Ears(free_udp_port()) as ears:
            options: dict[str, Any] = {"announce_port": ears.port, "announce_every": 0.05}
            async with VirtualPrinter(**options), VirtualPrinter("H2D", announces=True, **options) as printer:
                await until(lambda: len(ears.heard) > 2)
            await until(lambda: ears.announcements()[-1].is_goodbye)
            assert {each.serial for each in ears.announcements()} == {printer.serial}
            first = ears.announcements()[0]
            assert (first.model_code, first.name, first.host) == ("O1D", "Virtual H2D", "127.0.0.1")
            assert (first.signal_dbm, first.firmware, first.connection) == (-46, "01.02.00.00", "lan")

    run(test())


def test_a_printer_that_moves_is_the_same_at_another_address() -> None:
    async def test() -> None:
        async with (
            Ears(free_udp_port()) as ears,
            everywhere(bind="127.0.4.1", announces=True, announce_every=3600, announce_port=ears.port) as printer,
        ):
            ports, certificates = dict(printer.ports), await certificates_of(printer)
            (printer.storage / "kept").touch()
            async with Client(printer) as client:
                await client.subscribed()
                await printer.move("127.0.4.2")
                await until(lambda: client.disconnects == 1)
            assert (printer.host, dict(printer.ports), printer.sessions) == ("127.0.4.2", ports, 0)
            assert await certificates_of(printer) == certificates
            for port in ports.values():
                with pytest.raises(ConnectionRefusedError):
                    await asyncio.open_connection("127.0.4.1", port)
            async with Client(printer) as client:
                await client.subscribed()
                client.send("pushing", "pushall")
                status = await client.reply("print", "push_status")
                assert status["net"]["info"][0]["ip"] == int.from_bytes((127, 0, 4, 2), "little")
            assert printer.connects == 2
            assert await asyncio.to_thread(listed, printer) == [
                "cache",
                "image",
                "ipcam",
                "kept",
                "logger",
                "timelapse",
            ]
            await until(lambda: len(ears.heard) == 4)
            assert [each.host for each in ears.announcements()] == ["127.0.4.1"] * 2 + ["127.0.4.2"] * 2
            assert not any(each.is_goodbye for each in ears.announcements())

    run(test())


def test_a_printer_that_cannot_move_there_is_nowhere_and_may_come_back() -> None:
    async def test() -> None:
        async with VirtualPrinter(bind="127.0.4.1") as printer:
            with pytest.raises(ValueError, match="somewhere"):
                await printer.move("somewhere")
            async with Client(printer) as client:
                await client.subscribed()
            with pytest.raises(OSError, match="192"):
                await printer.move("192.0.2.222")
            await printer.change(gcode_state="PAUSE")
            await printer.move("127.0.4.1")
            async with Client(printer) as client:
                await client.subscribed()

    run(test())


def test_a_changed_access_code_throws_out_who_is_in_and_counts_from_then_on() -> None:
    async def test() -> None:
        async with everywhere(access_code=Secret("12345678")) as printer:
            async with Client(printer) as client:
                await client.subscribed()
                files = await asyncio.to_thread(ImplicitFtps, printer)
                printer.access_code = Secret("87654321")
                await until(lambda: client.disconnects == 1)
                with pytest.raises((EOFError, OSError)):
                    await asyncio.to_thread(files.pwd)
                files.close()
            old, new = Secret("12345678"), Secret("87654321")
            async with Client(printer, code=old) as client:
                await until(lambda: client.disconnects == 1)
            with pytest.raises(ftplib.error_perm, match="530"):
                await asyncio.to_thread(ImplicitFtps, printer, old)
            async with Client(printer, code=new) as client:
                await client.subscribed()
            await asyncio.to_thread(lambda: ImplicitFtps(printer, new).close())
            assert printer.credentials_seen == {"mqtt": Tries(2, 1), "ftps": Tries(2, 1), "camera": Tries()}

    run(test())


def test_a_changed_certificate_throws_out_who_is_in_and_is_shown_everywhere() -> None:
    async def test() -> None:
        async with everywhere() as printer, Client(printer) as client:
            await client.subscribed()
            (before,) = await certificates_of(printer)
            await printer.change_certificate()
            await until(lambda: client.disconnects == 1)
            (after,) = await certificates_of(printer)
            assert before != after
            assert common_name(after) == printer.serial
            async with Client(printer) as other:  # its authority is the same
                await other.subscribed()

    run(test())
