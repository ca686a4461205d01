"""`run`: what it refuses before it begins. That it runs is shown by the tests of the whole."""

import resource

import pytest
import yaml

from bambu_connector.cli.run import raise_descriptor_limit
from tests.e2e.bench import Bench, Service
from tests.e2e.cloud import Tree
from tests.servers.process import wait_until


def test_without_printago_it_ends_with_3(desk: Service, config: Tree) -> None:
    del config["printago"]
    desk.write(config)
    done = desk.cli("run")
    assert (done.returncode, done.stdout) == (3, "")
    assert f"{desk.config_file}: printago: the section is missing" in done.stderr


def test_a_wrong_configuration_ends_with_3(desk: Service, config: Tree) -> None:
    desk.write(config | {"printers": [{"serial": "short"}]})
    assert desk.cli("run").returncode == 3


@pytest.mark.parametrize(
    "section", [{"tls": {"ca_file": "nowhere.crt"}}, {"password_file": "nowhere", "password": None}]
)
def test_a_file_that_is_not_there_ends_with_3(desk: Service, config: Tree, section: Tree) -> None:
    printago = {key: value for key, value in (config["printago"] | section).items() if value is not None}
    desk.write(config | {"printago": printago})
    done = desk.cli("run")
    assert done.returncode == 3
    assert "there is no such file" in done.stderr


def test_a_state_directory_whose_path_is_too_long_for_a_socket_ends_with_3(desk: Service) -> None:
    desk.state_dir = desk.folder / ("deep/" * 25)
    desk.write(yaml.safe_load(desk.config_file.read_text()))
    done = desk.cli("run")
    assert (done.returncode, done.stderr.count("\n")) == (3, 1)
    assert "connector.state_dir" in done.stderr
    assert desk.cli("printers").returncode == 0


def test_a_state_directory_that_another_service_owns_ends_with_1(shop: Bench) -> None:
    done = shop.service.cli("run")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.count("\n") == 1
    assert str(shop.service.state_dir) in done.stderr


def test_it_runs_where_nobody_can_be_reached_and_stops_when_told(desk: Service) -> None:
    desk.start()
    try:
        wait_until("it has begun", lambda: "running with 2 printers" in desk.log())
        assert desk.cli("status", "--json").returncode == 0
        assert desk.stop() == 0
    finally:
        desk.close()
    assert "Traceback" not in desk.log()


@pytest.fixture
def limits() -> object:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


@pytest.mark.usefixtures("limits")
def test_the_limit_of_open_files_is_raised_as_far_as_it_goes() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (512, hard))
    raise_descriptor_limit()
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert soft == (8192 if hard == resource.RLIM_INFINITY else min(8192, hard))
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    raise_descriptor_limit()
    assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] == hard, "what is high enough stays"
