"""Carry out the hostile corpus and print a table of what was tried, refused and contained.

Exits with the number of attempts that succeeded: each is a hole.
"""

import argparse
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

from tests.security import ground
from tests.security.corpus import MODULES, carry_out, load


def main() -> int:
    """Run the corpus; the number of attempts that succeeded."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("modules", nargs="*", default=MODULES, help="which modules; default: all")
    parser.add_argument(
        "--isolation", choices=["bubblewrap", "namespaces"], help="which sandbox; default: the best"
    )
    options = parser.parse_args()
    if options.isolation:
        from tests.security import isolation

        isolation.use(options.isolation)
    attempts = load(tuple(options.modules))
    try:
        # What runs in the sandbox mostly waits; the others change what a process has but once.
        with ThreadPoolExecutor(4) as pool:
            waiting = {
                each: pool.submit(carry_out, each) for each in attempts if each.module.endswith(".sandboxed")
            }
            verdicts = [
                (each, waiting[each].result() if each in waiting else carry_out(each)) for each in attempts
            ]
    finally:
        ground.close()
    tried = Counter(each.kind for each, _ in verdicts)
    print(f"{'kind':<28} tried refused contained succeeded")
    totals = Counter[str]()
    for kind in tried:
        of_kind = Counter(
            verdict if verdict in ("refused", "contained") else "succeeded"
            for each, verdict in verdicts
            if each.kind == kind
        )
        totals += of_kind
        print(
            f"{kind:<28} {tried[kind]:>5} {of_kind['refused']:>7} {of_kind['contained']:>9} {of_kind['succeeded']:>9}"
        )
    print(
        f"{f'{len(tried)} kinds':<28} {len(verdicts):>5} {totals['refused']:>7} {totals['contained']:>9} {totals['succeeded']:>9}"
    )
    for each, verdict in verdicts:
        if verdict not in ("refused", "contained"):
            print(f"\nSUCCEEDED {each.kind}: {each.name}\n{verdict}", file=sys.stderr)
    return min(totals["succeeded"], 100)


if __name__ == "__main__":
    sys.exit(main())
