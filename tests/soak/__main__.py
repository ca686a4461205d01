"""`python -m tests.soak [--minutes N] [--printers N] [--seed S] [--keep]`: a farm under random faults.

Exits 1 when anything happened that must not; the evidence is in the folder that is named then.
"""

import argparse
import random
import signal
import sys

from tests.soak.soak import Plan, Soak
from tests.soak.table import rendered


def main() -> None:
    """Run what is asked for and print one table."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description="A farm under random faults.")
    parser.add_argument("--minutes", type=float, default=20.0, help="how long (20)")
    parser.add_argument("--printers", type=int, default=8, help="how many (8)")
    parser.add_argument("--seed", type=int, help="what decides the commands and the faults; default: at random")
    parser.add_argument("--keep", action="store_true", help="keep the logs even when all was well")
    parser.add_argument("--no-kills", action="store_true", help="leave the service's process alone")
    parser.add_argument(
        "--faults", type=float, default=1.0, help="how often something breaks; 2 is twice as often, 0 never"
    )
    asked = parser.parse_args()
    seed = random.randrange(10**6) if asked.seed is None else asked.seed
    plan = Plan(
        minutes=asked.minutes,
        printers=asked.printers,
        seed=seed,
        fault_scale=1 / asked.faults if asked.faults else 0.0,
        kills=not asked.no_kills,
    )
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that nothing that was started stays
    with Soak(plan, lambda line: print(line, flush=True)) as soak:
        print(f"seed {seed}, everything is in {soak.folder}", flush=True)
        result = soak.run()
        table = rendered(result)
        print(f"\n{table}\n")
        (soak.folder / "table.md").write_text(table + "\n")
        for finding in result.findings:
            print(f"{finding.flaw}: {finding.text}")
        samples = (f"{each.at:.1f}\t{each.rss:.2f}\t{each.descriptors}\t{each.threads}\n" for each in result.samples)
        (soak.folder / "samples.tsv").write_text("".join(samples))
        (soak.folder / "timeline.txt").write_text(soak.timeline())
        (soak.folder / "findings.txt").write_text("".join(map(soak.evidence, result.findings)))
    if not result.findings and not asked.keep:
        soak.discard()
    elif result.findings or asked.keep:
        print(f"kept in {soak.folder}")
    sys.exit(bool(result.findings))


if __name__ == "__main__":
    main()
