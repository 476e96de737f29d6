"""How good the densities of `MDNRegressor()` are, untouched, beside other methods and the best.

    python benchmarks/quality.py classic
    python benchmarks/quality.py tables --data path/to/folder --jobs 2
    python benchmarks/quality.py report --markdown quality.md

`classic` measures the gap to the entropy on problems whose density is known; `tables` follows the
UCI protocol on every CSV file of a folder. Every finished run is a line of the results file: the
same command goes on where it was interrupted, and measures again what another version of a
package, other defaults or other data have made stale.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.scoreboard.classic import CASES
from benchmarks.scoreboard.data import DataError, find_tables, load_table
from benchmarks.scoreboard.methods import METHODS, missing_packages, settings_of
from benchmarks.scoreboard.report import markdown
from benchmarks.scoreboard.runner import execute
from benchmarks.scoreboard.store import Key, Store, code_state

_DOCUMENTS = [name for name in METHODS if name.startswith("document-")]
_TABLE_METHODS = [name for name in METHODS if name not in _DOCUMENTS]
# Without a density there is no gap to the entropy.
_CLASSIC_METHODS = [name for name in METHODS if name != "trees"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    options = _parser().parse_args(arguments)
    try:
        store = Store(options.output)
        if options.markdown is not None and not options.markdown.absolute().parent.is_dir():
            msg = f"--markdown: there is no folder {options.markdown.parent} to write to."
            raise DataError(msg)
        if options.command == "report":
            return _report(store, None, options.markdown)
        methods = _installed(options.methods)
        if options.command == "classic":
            paths: dict[str, Path] = {}
            keys = _classic_keys(options, methods)
        else:
            paths = find_tables(options.data, options.names)
            keys = _table_keys(options, methods, paths)
        settings = {
            method: settings_of(METHODS[method])
            for method in dict.fromkeys(key.method for key in keys)
        }
        keys = [replace(key, settings=settings[key.method]) for key in keys]
        code = {"mdn": code_state()} if "mdn" in settings else {}
        finished = set() if options.fresh else store.finished(keys)
        _say_what_is_stored(store, finished, code)
        store.check_writable()
        execute(
            [key for key in keys if key not in finished],
            store,
            paths=paths,
            jobs=options.jobs,
            threads=options.threads,
        )
        status = _report(store, keys, options.markdown)
    except KeyboardInterrupt:
        print("\ninterrupted; the same command goes on from here", file=sys.stderr)
        return 130
    except (OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return max(status, int(len(store.finished(keys)) < len(keys)))


def _classic_keys(options: argparse.Namespace, methods: Sequence[str]) -> list[Key]:
    unknown = [name for name in options.problems or () if name not in CASES]
    if unknown:
        msg = f"no problem {', '.join(unknown)}; there are {', '.join(CASES)}."
        raise DataError(msg)
    return [
        Key("classic", name, CASES[name].checksum(), method, seed, "")
        for name in options.problems or CASES
        for method in methods
        if method not in _DOCUMENTS or method in CASES[name].documents
        for seed in range(options.seeds)
    ]


def _table_keys(
    options: argparse.Namespace, methods: Sequence[str], paths: dict[str, Path]
) -> list[Key]:
    keys = []
    for name, path in paths.items():
        table = load_table(name, path)
        step = "no lattice" if table.step is None else f"targets in steps of {table.step:g}"
        print(f"{name}: {table.x.shape[0]} rows, {table.x.shape[1]} features, {step}")
        if table.dropped:
            print(f"  {table.dropped} rows dropped for missing or infinite values")
        if table.encoded:
            print(f"  one-hot encoded: {', '.join(table.encoded)}")
        protocol = "development" if options.development else "test"
        keys += [
            Key(protocol, name, table.checksum, method, split, "")
            for method in methods
            for split in range(options.splits)
        ]
    return keys


def _installed(methods: Sequence[str]) -> list[str]:
    """Return the methods that can run, and name those that cannot."""
    installed = []
    for name in methods:
        missing = missing_packages(METHODS[name])
        if missing:
            print(f"left out: {name}, which needs {', '.join(missing)} (pip install '.[bench]')")
        else:
            installed.append(name)
    if not installed:
        msg = "none of the methods is installed."
        raise DataError(msg)
    return installed


def _say_what_is_stored(store: Store, finished: set[Key], code: dict[str, str]) -> None:
    if finished:
        print(f"{len(finished)} runs are stored in {store.path}")
    old = [key for key in finished if store.results[key].get("code") != code.get(key.method)]
    if old:
        print(f"  {len(old)} of them are of another state of the code; --fresh repeats them")


def _report(store: Store, keys: Sequence[Key] | None, path: Path | None) -> int:
    """Print, and write if asked to, the report on these runs or on the newest of all."""
    if keys is None:
        results = store.newest()
    else:
        results = {key: store.results[key] for key in keys if key in store.results}
    if not results:
        print(f"error: there are no results in {store.path} yet", file=sys.stderr)
        return 2
    text = markdown(results)
    print(f"\n{text}")
    if path is not None:
        path.write_text(text, "utf-8")
    return 0


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _methods(known: Sequence[str]) -> Callable[[str], list[str]]:
    def parse(text: str) -> list[str]:
        unknown = [name for name in _names(text) if name not in known]
        if unknown:
            msg = f"no method {', '.join(unknown)} here; there are {', '.join(known)}"
            raise argparse.ArgumentTypeError(msg)
        return _names(text)

    return parse


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        msg = f"{text!r} is not a whole number of at least 1"
        raise argparse.ArgumentTypeError(msg)
    return int(text)


def _parser() -> argparse.ArgumentParser:
    output = argparse.ArgumentParser(add_help=False)
    default = Path(__file__).with_name("quality.jsonl")
    output.add_argument(
        "--output", type=Path, default=default, metavar="FILE", help=f"results ({default.name})"
    )
    output.add_argument("--markdown", type=Path, metavar="FILE", help="write the report there, too")
    runs = argparse.ArgumentParser(add_help=False, parents=[output])
    runs.add_argument("--jobs", type=_positive, default=1, help="processes at a time (1)")
    runs.add_argument("--threads", type=_positive, default=1, help="threads of each process (1)")
    runs.add_argument("--fresh", action="store_true", help="repeat runs that are stored")

    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    commands = parser.add_subparsers(dest="command", required=True)
    classic = commands.add_parser("classic", parents=[runs], help="gap to the best possible score")
    classic.add_argument("--seeds", type=_positive, default=5, help="runs of each (5)")
    classic.add_argument("--problems", type=_names, help="such as cardioid-200,spiral-10000 (all)")
    classic.add_argument(
        "--methods",
        type=_methods(_CLASSIC_METHODS),
        default=["mdn", *_DOCUMENTS],
        help=f"of {','.join(_CLASSIC_METHODS)} (mdn and the documents')",
    )
    tables = commands.add_parser("tables", parents=[runs], help="the UCI protocol on CSV files")
    tables.add_argument("--data", type=Path, required=True, metavar="FOLDER", help="of CSV files")
    tables.add_argument("--names", type=_names, help="such as concrete,energy (all in the folder)")
    tables.add_argument("--splits", type=_positive, default=20, help="splits of each (20)")
    tables.add_argument(
        "--methods",
        type=_methods(_TABLE_METHODS),
        default=_TABLE_METHODS,
        help=f"of {','.join(_TABLE_METHODS)} (all)",
    )
    tables.add_argument(
        "--development",
        action="store_true",
        help="split the training rows again and never touch the test rows, to choose settings by",
    )
    commands.add_parser("report", parents=[output], help="tables of the newest results")
    return parser


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    sys.exit(main())
