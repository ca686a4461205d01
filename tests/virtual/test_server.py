"""The virtual printer on the network, with real clients."""

import asyncio
import ftplib
import io
import ssl
from pathlib import Path

import pytest

from bambu_connector.errors import UsageError
from bambu_connector.secret import Secret
from bambu_connector.virtual.faults import Faults
from bambu_connector.virtual.models import Style
from bambu_connector.virtual.project import CANNOT_PARSE
from bambu_connector.virtual.server import VirtualPrinter, encode
from tests.virtual.bench import NAME, project_file, sliced
from tests.virtual.wires import Client, ImplicitFtps, run, until


def upload(printer: VirtualPrinter, content: bytes, name: str = NAME) -> None:
    with ImplicitFtps(printer) as ftp:
        ftp.storbinary(f"STOR {name}", io.BytesIO(content))
        assert ftp.size(name) == len(content)


def delete(printer: VirtualPrinter, name: str = NAME) -> None:
    with ImplicitFtps(printer) as ftp:
        ftp.delete(name)


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
