"""`python -m tests.bench [NAME…] [--quick]`: what it costs, each figure beside its floor from the same run."""

import argparse
import compileall
import os
from importlib import import_module

import bambu_connector
from tests.bench.table import Row, rendered

BENCHES = {
    "fold": "a report's bytes to folded state",
    "status": "folded state to an encoded status",
    "relay": "through the service on real brokers: report to status, command to request",
    "start": "`--help`, and `run` until its first status",
    "farm": "10 to 500 printers: memory, threads, CPU, time to connect",
}


def main() -> None:
    """Run what is asked for, all by default, and print one table."""
    names = "\n".join(f"  {name:<8} {what}" for name, what in BENCHES.items())
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench", epilog=names, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", metavar="NAME", nargs="*", choices=[*BENCHES, []], help="what to measure")
    parser.add_argument("--quick", action="store_true", help="fewer rounds: coarse figures in about two minutes")
    asked = parser.parse_args()
    # What is installed has its bytecode; a checkout may not.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    compileall.compile_dir(bambu_connector.__path__[0], quiet=1)
    rows: list[Row] = []
    for name in asked.names or BENCHES:
        print(f"measuring {name}: {BENCHES[name]} …", flush=True)
        rows += import_module(f"tests.bench.{name}").measure(quick=asked.quick)
    print(rendered(rows))


if __name__ == "__main__":
    main()
