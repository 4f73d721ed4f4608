"""Measure the real thing on this machine: a custodian and a signer, started as scripts/demo starts them.

Started by scripts/bench, which sets up first. docs/performance.md says what the figures mean.
"""

import argparse
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

from benchmarks import lease, memory, revoke, sign, viewers
from benchmarks.report import Table, circumstances, show
from benchmarks.theirs import KINDS

EXAMPLES = """\
examples:
  scripts/bench sign --algorithms ecdsa-p256 --clients 1,8     two minutes: is it as fast as cfssl?
  scripts/bench sign --markdown > figures.md                   everything, a quarter of an hour
  scripts/bench sign --cfssl ~/go/bin/cfssl                    against another cfssl
  scripts/bench lease; scripts/bench revoke; scripts/bench memory; scripts/bench viewers

Figures are as good as the machine is quiet: the load average is printed with them. Every server runs on
loopback with keys made for this run; nothing is left behind.
"""


def names_of(*allowed: str) -> Callable[[str], tuple[str, ...]]:
    """Return a parser of a comma-separated list of these names."""

    def parse(text: str) -> tuple[str, ...]:
        names = tuple(text.split(","))
        if unknown := [name for name in names if name not in allowed]:
            raise argparse.ArgumentTypeError(f"there is no {unknown[0]!r}; choose from {','.join(allowed)}")
        return names

    return parse


def positive_numbers(text: str) -> tuple[int, ...]:
    return tuple(positive_number(part) for part in text.split(","))


def positive_number(text: str) -> int:
    if not text.isascii() or not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 1")
    return int(text)


def positive_seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds <= 3600:
        raise argparse.ArgumentTypeError(f"{text!r} is not a time in seconds, up to 3600")
    return seconds


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="scripts/bench",
        description=__doc__.partition("\n\n")[0],
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--markdown", action="store_true", help="print tables to paste into a document")
    common.add_argument(
        "--dir",
        type=Path,
        help="make the servers' state in a new folder here; it is on this disk that records are synced"
        " (default: the folder for temporary files)",
    )
    what = parser.add_subparsers(dest="what", metavar="WHAT", required=True)
    _add_sign(
        what.add_parser("sign", parents=[common], help="signatures per second, beside a real cfssl serve")
    )
    opening = what.add_parser(
        "lease", parents=[common], help="from a request that finds no key open to its signature"
    )
    opening.add_argument("--count", type=positive_number, default=50, help="how often (default: %(default)s)")
    revoking = what.add_parser(
        "revoke", parents=[common], help="from an owner's revocation until the key is gone"
    )
    revoking.add_argument(
        "--count", type=positive_number, default=30, help="how often (default: %(default)s)"
    )
    watching = what.add_parser(
        "viewers", parents=[common], help="from an owner's revocation until every viewer has read of it"
    )
    watching.add_argument(
        "--viewers", type=positive_number, default=300, help="how many watch (default: %(default)s)"
    )
    watching.add_argument(
        "--count", type=positive_number, default=30, help="how often (default: %(default)s)"
    )
    what.add_parser("memory", parents=[common], help="what the daemons take while nothing happens")
    return parser


def _add_sign(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--algorithms",
        type=names_of(*KINDS),
        default=tuple(KINDS),
        metavar="A,B",
        help=f"kinds of CA key (default: {','.join(KINDS)})",
    )
    parser.add_argument(
        "--clients",
        type=positive_numbers,
        default=(1, 2, 8),
        metavar="N,M",
        help="how many ask at once, each anew when answered (default: 1,2,8)",
    )
    parser.add_argument(
        "--endpoint",
        type=names_of("sign", "authsign"),
        default=("sign", "authsign"),
        metavar="E,F",
        help="sign, or authsign with its HMAC, or both (default: sign,authsign)",
    )
    parser.add_argument(
        "--seconds", type=positive_seconds, default=2.0, help="length of a round (default: %(default)g)"
    )
    parser.add_argument(
        "--rounds",
        type=positive_number,
        default=3,
        help="rounds of each server, which take turns; medians are shown (default: %(default)s)",
    )
    parser.add_argument(
        "--cfssl", metavar="PATH", help="the cfssl to compare with (default: the one on the PATH, if any)"
    )


def say(text: str) -> None:
    """Show how far the work is, where it does not get into a file of figures."""
    if sys.stderr.isatty():
        print(f"\r\x1b[K{text} ...", end="", file=sys.stderr, flush=True)


def measure(options: argparse.Namespace, directory: Path) -> Iterable[Table]:
    match options.what:
        case "sign":
            plan = sign.Plan(
                algorithms=options.algorithms,
                clients=options.clients,
                endpoints=options.endpoint,
                seconds=options.seconds,
                rounds=options.rounds,
                cfssl=options.cfssl,
                directory=directory,
            )
            return sign.measure(plan, say)
        case "lease":
            return [lease.measure(directory, options.count, say)]
        case "revoke":
            return [revoke.measure(directory, options.count, say)]
        case "viewers":
            return viewers.measure(directory, options.viewers, options.count, say)
        case _:
            return [memory.measure(directory, say)]


def main() -> None:
    parser = make_parser()
    options = parser.parse_args()
    if options.what == "sign":
        wanted = options.cfssl or "cfssl"
        options.cfssl, named = shutil.which(wanted), options.cfssl
        if named and not options.cfssl:
            parser.error(f"{named} cannot be run; give --cfssl the path of a cfssl binary")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    directory = Path(tempfile.mkdtemp(prefix="custodian-bench-", dir=options.dir)).resolve()
    try:
        for line in circumstances(directory):
            print(f"- {line}" if options.markdown else line, flush=True)
        for table in measure(options, directory):
            say("")
            show(table, markdown=options.markdown)
    except KeyboardInterrupt:
        sys.exit("\ninterrupted")
    finally:
        shutil.rmtree(directory, ignore_errors=True)


if __name__ == "__main__":
    main()
