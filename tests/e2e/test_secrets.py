"""No access code, password or signed query where it does not belong, after a session in which much went wrong."""

import base64
import contextlib
import signal
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from bambu_connector.virtual.pki import Authority
from tests.e2e.bench import ACCESS_CODE, ROOT, Bench, Printer, Workshop
from tests.e2e.cloud import PASSWORD, Cloud
from tests.files import sliced
from tests.servers.process import Child, descendants, wait_until, workspace
from tests.servers.silent import SilentPeer

QUERY = "?Expires=1&X-Signature=s3cr3t%2Fquery+Zz9&Key-Pair-Id=K7QJX"
QUERY_PARTS = ("s3cr3t", "query+Zz9", "K7QJX")
OTHER_CODE = "98765432"
PATIENT = ("patient-1", "patient-2", "patient-3", "patient-4")


def encodings(secret: str) -> list[bytes]:
    """Return a secret as it could stand somewhere."""
    raw = secret.encode()
    return [raw, base64.b64encode(raw), raw.hex().encode(), quote(secret, safe="").encode()]


@pytest.fixture
def session(workshop: Workshop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    """A service whose secrets come from the environment and from files, and printers of which most are wrong."""
    monkeypatch.setenv("FARM_PASSWORD", PASSWORD)
    code_file = tmp_path / "code"
    code_file.write_text(f"{ACCESS_CODE}\n")
    code_file.chmod(0o600)
    stranger = Authority(tmp_path)
    with workspace() as folder, Cloud(folder) as cloud:
        printers = [
            Printer(workshop, id="good", entry={"access_code": None, "access_code_file": str(code_file)}),
            Printer(workshop, id="wrong-code", entry={"access_code": OTHER_CODE}),
            Printer(workshop, id="wrong-certificate", cable=True),
            *(Printer(workshop, id=name) for name in PATIENT),
        ]
        with (
            SilentPeer(stranger.issue(printers[2].serial)) as impostor,
            Bench(
                folder, workshop, printers, cloud=cloud, connector_id="secrets",
                printago={"password": "${FARM_PASSWORD}"}, status={"min_interval": 0.2, "include_report": True},
            ) as bench,
        ):  # fmt: skip
            assert printers[2].cable is not None
            printers[2].cable.lead_to((impostor.host, impostor.port))
            yield bench.start(wait_for=[each for each in printers if not each.id.startswith("wrong")])


def leaks(bench: Bench, places: dict[str, bytes] | None = None) -> list[str]:
    """Return where a secret is found: in these places, what was published, the state directory, logs, processes."""
    places = dict(places or {})
    if bench.service.alive:
        pid = bench.service.child.pid
        assert descendants(pid) == [], "the service has started something"
        places["the command line"] = Path(f"/proc/{pid}/cmdline").read_bytes()
    places |= {f"message {each.topic}": each.raw for each in bench.cloud.messages}
    for path in [*bench.service.state_dir.rglob("*"), *bench.service.folder.glob("run-*")]:
        with contextlib.suppress(FileNotFoundError):  # a part of a download comes and goes
            places[str(path)] = path.read_bytes() if path.is_file() else str(path).encode()
    secrets = [PASSWORD, ACCESS_CODE, OTHER_CODE, "hunter2-Q8", *QUERY_PARTS]
    return [
        f"{secret} in {place}"
        for place, content in places.items()
        for secret in secrets
        for each in encodings(secret)
        if each in content
    ]


def things_that_fail(bench: Bench) -> None:
    """Do what has to do with secrets, and fails."""
    good = bench["good"]
    assert bench.ask(bench["wrong-code"], "movement_control/home").answer.code in ("access_denied", "printer_offline")
    bench.cloud.hear("status", "wrong-code", lambda each: each.machine["connection_info"]["has_access_right"] is False)
    bench.cloud.hear("status", "wrong-certificate", lambda each: each.machine["connection_info"]["verified"] is False)
    for command_id, served in (
        ("gone", {"statuses": [403]}),
        ("redirected", {"redirect_to": bench.web.url("/nowhere") + QUERY}),
    ):
        url = bench.serve(f"{command_id}.gcode.3mf", sliced(), QUERY, **served)
        answer = bench.ask(good, "printer_control/start_print_bbl", {"url": url}, timeout_s=40).answer
        assert answer.code == "download_failed", str(answer)
    for name, target in (
        ("to-another-wire", f"ftp://user:hunter2-Q8@127.0.0.1/a.3mf{QUERY}"),
        ("in-a-circle", bench.web.url("/in-a-circle.gcode.3mf") + QUERY),
        ("to-no-address", f"http://[::1/a.3mf{QUERY}"),
    ):
        url = bench.serve(f"{name}.gcode.3mf", b"", QUERY, redirect_to=target)
        answer = bench.ask(good, "printer_control/start_print_bbl", {"url": url}, timeout_s=60).answer
        assert answer.code == "download_failed", str(answer)
    for wrong in (f"http://[::1/a.3mf{QUERY}", f"http:///a.3mf{QUERY}", f"http://x:99999/a.3mf{QUERY}", f"x{QUERY}"):
        answer = bench.ask(good, "printer_control/start_print_bbl", {"url": wrong}).answer
        assert answer.code == "invalid_parameters", str(answer)
    not_a_zip = bench.serve("bad.gcode.3mf", b"no zip", QUERY)
    assert bench.ask(good, "printer_control/start_print_bbl", {"url": not_a_zip}).answer.code == "file_invalid"
    wrong_scheme = f"ftp://user:hunter2-Q8@127.0.0.1/a.3mf{QUERY}"
    assert bench.ask(good, "printer_control/start_print_bbl", {"url": wrong_scheme}).answer.kind == "error"
    bench.cloud.publish("bambu/good/commands", b'{"url": "http://x/' + QUERY.encode() + b'"')
    good.fault("wrong-code")
    url = bench.serve("refused.gcode.3mf", sliced(seed=70), QUERY)
    assert bench.ask(good, "printer_control/start_print_bbl", {"url": url}).answer.code == "access_denied"
    good.virtual.faults.clear()


def send_what_is_tried_again(bench: Bench) -> list[str]:
    """Send jobs whose downloads fail after a while, each to a printer of its own; return their ids."""
    closed, nowhere = f"http://user:hunter2-Q8@127.0.0.1:9/a.3mf{QUERY}", f"http://no-such-host.invalid/a.3mf{QUERY}"
    urls = [
        closed,
        nowhere,
        bench.serve("to-a-closed-port.gcode.3mf", b"", QUERY, redirect_to=closed),
        bench.serve("to-nowhere.gcode.3mf", b"", QUERY, redirect_to=nowhere),
    ]
    return [
        bench.send(bench[name], "printer_control/download_gcode", {"url": url})
        for name, url in zip(PATIENT, urls, strict=True)
    ]


def test_no_secret_is_anywhere_after_a_session_with_failures(session: Bench) -> None:
    bench = session
    tried_again = send_what_is_tried_again(bench)
    things_that_fail(bench)
    assert [bench.cloud.answer(each, 40).code for each in tried_again] == ["download_failed"] * len(PATIENT)
    url = bench.serve("fine.gcode.3mf", sliced(seed=71), QUERY)
    assert bench.ask(bench["good"], "printer_control/start_print_bbl", {"url": url}).answer.kind == "success"
    told = [
        bench.service.cli(*argv)
        for argv in (
            ["--log-level", "debug", "status", "--json"],
            ["--log-level", "debug", "printers", "--json"],
            [
                "--log-level",
                "debug",
                "send",
                "good",
                "printer_control/download_gcode",
                f"url={bench.web.url('/no')}{QUERY}",
            ],
            ["check"],
        )
    ]
    assert leaks(bench, {f"output of {done.args[5:]}": (done.stdout + done.stderr).encode() for done in told}) == []
    assert "DEBUG" in bench.service.log(), "the log that was searched says too little"
    assert "gone.gcode.3mf" in bench.service.log()
    assert "no-such-host.invalid" in bench.service.log()


def test_a_job_that_is_killed_and_taken_up_again_leaves_no_secret(session: Bench) -> None:
    bench, good = session, session["good"]
    name = "stalled.gcode.3mf"
    url = bench.serve(name, sliced(60_000, seed=72), QUERY, stall_after=30_000)
    command_id = bench.send(good, "printer_control/start_print_bbl", {"url": url})
    bench.cloud.hear("status", "good", lambda each: each.process["job_state"] == "download")
    wait_until("the download has begun", lambda: any(name in each.path for each in bench.web.requests))
    assert leaks(bench) == []
    bench.service.child.send_signal(signal.SIGKILL)
    bench.service.child.wait(10)
    assert leaks(bench) == []
    bench.go_on(name)
    bench.start(wait_for=[good])
    answer = bench.cloud.answer(command_id, 40)
    assert answer.kind == "success", str(answer)
    bench.service.child.send_signal(signal.SIGABRT)  # what a bug in a library would do
    bench.service.child.wait(10)
    assert leaks(bench) == []
    planted = bench.service.state_dir / "planted"
    planted.write_bytes(base64.b64encode(ACCESS_CODE.encode()))
    assert leaks(bench) == [f"{ACCESS_CODE} in {planted}"]


def test_the_json_log_leaks_nothing_either(session: Bench) -> None:
    bench = session
    assert bench.service.stop() == 0
    argv = [*bench.service.argv, "--log-level", "debug", "--log-format", "json", "run"]
    with Child(argv, bench.service.folder / "run-json.log", cwd=ROOT) as child:
        wait_until("the refusal is in the log", lambda: "refuses the access code" in child.text())
        lines = child.text().splitlines()
    assert all(line.startswith("{") for line in lines)
    assert [secret for secret in (PASSWORD, ACCESS_CODE, OTHER_CODE) if secret in child.text()] == []
