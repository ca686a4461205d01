"""`bambu-connector run`: the service."""

import click

from bambu_connector.cli.main import Settings

_DESCRIPTORS = 8192
_END_S = 9.5  # an orderly end takes at most 8 s, and 10 are promised


@click.command()
@click.pass_obj
def run(settings: Settings) -> None:
    """Run the service until SIGTERM or Ctrl-C."""
    import asyncio
    import logging
    from dataclasses import replace

    from bambu_connector.cli.reloading import Reloader
    from bambu_connector.cli.wiring import printago_link, wires_of
    from bambu_connector.errors import ConfigError
    from bambu_connector.service.clock import SystemClock
    from bambu_connector.service.journal import Journal
    from bambu_connector.service.lock import StateLock
    from bambu_connector.service.notify import Notifier
    from bambu_connector.service.supervisor import Supervisor

    settings.require_file()
    config = settings.load()
    redactor = settings.configure_logs(config)
    log = logging.getLogger(__name__)
    for warning in config.warnings:
        log.warning("%s", warning)
    printago = config.printago
    if printago is None:
        raise ConfigError(
            f"{config.path}: printago: the section is missing: say host, username and password of Printago's broker"
        )

    # From now on it is this file that is looked at, and not another that would be found when it is gone.
    anew = replace(settings, config_file=config.path).load

    async def serve() -> None:
        clock = SystemClock()
        with wires_of(config, redactor.register) as wires:
            supervisor = Supervisor(
                config,
                wires,
                printago_link(config, printago, wires.uplink_dialer),
                journal=Journal.open_in(config.connector.state_dir, clock),
                clock=clock,
                notifier=Notifier(),
                reload=Reloader(config, anew, wires.registry, redactor.register),
                last_resort=end_in_time,
            )
            await supervisor.run()

    raise_descriptor_limit()
    with StateLock(config.connector.state_dir):
        asyncio.run(serve())


def end_in_time() -> None:
    """End the process soon, whatever a thread is still waiting for: a name that is looked up, a file that is hashed."""
    import os
    import threading

    timer = threading.Timer(_END_S, os._exit, (0,))
    timer.daemon = True
    timer.start()


def raise_descriptor_limit() -> None:
    """Allow as many open files as the system lets us: each printer needs a few, and the usual 1024 end near 300."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _DESCRIPTORS if hard == resource.RLIM_INFINITY else min(_DESCRIPTORS, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
