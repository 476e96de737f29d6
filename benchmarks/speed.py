"""How fast training and answers are, beside plain TensorFlow Probability and other packages.

    python benchmarks/speed.py
    python benchmarks/speed.py --sections epoch,run --subjects small --rounds 2
    python benchmarks/speed.py --report

Every figure is measured in a fresh process, and a round goes through all ways in turn, so that a
machine that is slow for a while is slow for all. Every finished measurement is a line of the
results file: the same command goes on where it was interrupted, and measures again what another
version of a package has made stale.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import subprocess
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.racers.report import markdown
from benchmarks.racers.sections import SECTIONS, missing, packages, version
from benchmarks.racers.workloads import SIZES, WORKLOADS
from benchmarks.scoreboard.store import Key, Store

_ROOT = Path(__file__).resolve().parents[1]
_LONGEST = 3600  # seconds of a measurement that is not stopped


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    options = _parser().parse_args(arguments)
    try:
        store = Store(options.output)
        if not options.markdown.absolute().parent.is_dir():
            msg = f"--markdown: there is no folder {options.markdown.parent} to write to."
            raise ValueError(msg)
        if not options.report:
            keys = _keys(options)
            done = set() if options.fresh else store.finished(keys)
            _say_what_is_stored(store, done)
            store.check_writable()
            waiting = [key for key in keys if key not in done]
            for number, key in enumerate(waiting, start=1):
                result = _measured(key, options.threads)
                store.append(key, result)
                print(f"[{number}/{len(waiting)}] {_said(key, result)}", flush=True)
        if not store.results:
            msg = f"there are no results in {store.path} yet"
            raise ValueError(msg)
    except KeyboardInterrupt:
        print("\ninterrupted; the same command goes on from here", file=sys.stderr)
        return 130
    except (OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    text = markdown(store.newest())
    options.markdown.write_text(f"# Speed\n\n{text}", "utf-8")
    print(f"\n{text}")
    return 0 if options.report else int(len(store.finished(keys)) < len(keys))


def _keys(options: argparse.Namespace) -> list[Key]:
    """Return the measurements in the order in which they are made: all ways of a round in turn."""
    machine = _machine(options.threads)
    left_out: dict[str, None] = {}
    keys = []
    for split in range(options.rounds):
        for section in options.sections:
            for subject, ways in SECTIONS[section].subjects.items():
                if options.subjects and subject not in options.subjects:
                    continue
                for way in ways:
                    if options.ways and way not in options.ways:
                        continue
                    absent = missing(section, subject, way)
                    if absent:
                        left_out[f"{way}, which needs {', '.join(absent)}"] = None
                        continue
                    used = {name: version(name) for name in packages(section, subject, way)}
                    settings = json.dumps({"versions": used, **machine}, sort_keys=True)
                    keys.append(Key(section, subject, _checksum(subject), way, split, settings))
    for words in left_out:
        print(f"left out: {words} (pip install '.[bench]')")
    if not keys:
        msg = "nothing is left to measure."
        raise ValueError(msg)
    return keys


def _checksum(subject: str) -> str:
    known = WORKLOADS | SIZES
    return known[subject].checksum() if subject in known else ""


def _machine(threads: int) -> dict[str, Any]:
    """Return what a figure depends on, and nothing that names the machine."""
    return {
        "cpu": _cpu_model(),
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "threads": threads,
    }


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        lines = []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or platform.machine())


def _code_state() -> str:
    """Return 12 digits that change with the code of the package; kept beside a result."""
    digest = hashlib.sha256()
    for path in sorted((_ROOT / "tfp_mdn").rglob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


def _say_what_is_stored(store: Store, done: Iterable[Key]) -> None:
    done = list(done)
    if not done:
        return
    print(f"{len(done)} measurements are stored in {store.path}")
    ours = [key for key in done if "tfp-mdn" in json.loads(key.settings)["versions"]]
    old = [key for key in ours if store.results[key].get("code") != _code_state()]
    if old:
        print(f"  {len(old)} of them are of another state of the code; --fresh repeats them")


def _measured(key: Key, threads: int) -> dict[str, Any]:
    """Measure in a process of its own."""
    command = [
        *(sys.executable, "-m", "benchmarks.racers.worker"),
        *(key.protocol, key.data, key.method, str(key.split)),
    ]
    code = _code_state()
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            errors="replace",
            env=_environment(threads),
            timeout=_LONGEST,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return {"error": f"took more than {_LONGEST} s"}
    if done.returncode:
        last_lines = done.stderr.strip().splitlines()[-1:]
        return {"error": ": ".join([f"status {done.returncode}", *last_lines])[:300]}
    return {"scores": json.loads(done.stdout), "code": code}


def _environment(threads: int) -> dict[str, str]:
    names = ("TF_NUM_INTRAOP", "TF_NUM_INTEROP", "OMP_NUM", "OPENBLAS_NUM", "MKL_NUM")
    limits = {f"{name}_THREADS": str(threads) for name in names}
    if threads == 1:
        limits["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false"
    paths = [str(_ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {
        **os.environ,
        **limits,
        "NPROC": str(threads),  # of JAX
        "JAX_PLATFORMS": "cpu",
        "CUDA_VISIBLE_DEVICES": "-1",
        # The fastest backend of keras-mdn-layer.
        "KERAS_BACKEND": "jax",
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "PYTHONPATH": os.pathsep.join(paths),
    }


def _said(key: Key, result: dict[str, Any]) -> str:
    what = f"round {key.split}, {key.protocol}, {key.data}, {key.method}"
    if "error" in result:
        return f"{what}: FAILED: {result['error']}"
    figures = (f"{name} {value:.4g}" for name, value in result["scores"].items())
    return f"{what}: {', '.join(figures)}"


def _listed(known: Iterable[str] | None = None) -> Callable[[str], list[str]]:
    def parse(text: str) -> list[str]:
        # Subjects have commas of their own.
        names = [name.strip() for name in text.split(";" if ";" in text else ",") if name.strip()]
        unknown = [name for name in names if known is not None and name not in known]
        if unknown:
            msg = f"no {', '.join(unknown)} here; there are {', '.join(known or ())}"
            raise argparse.ArgumentTypeError(msg)
        return names

    return parse


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        msg = f"{text!r} is not a whole number of at least 1"
        raise argparse.ArgumentTypeError(msg)
    return int(text)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    ways = {way for s in SECTIONS.values() for group in s.subjects.values() for way in group}
    subjects = [subject for s in SECTIONS.values() for subject in s.subjects]
    default = Path(__file__).with_name("speed.jsonl")
    parser.add_argument("--rounds", type=_positive, default=5, help="processes for each figure (5)")
    parser.add_argument("--threads", type=_positive, default=1, help="threads of each process (1)")
    parser.add_argument(
        "--sections",
        type=_listed(SECTIONS),
        default=list(SECTIONS),
        help=f"of {','.join(SECTIONS)} (all)",
    )
    parser.add_argument(
        "--subjects",
        type=_listed(subjects),
        help="such as small;spiral;samples, 1e6 rows (all)",
    )
    parser.add_argument("--ways", type=_listed(ways), help=f"of {','.join(sorted(ways))} (all)")
    parser.add_argument("--fresh", action="store_true", help="repeat what is stored")
    parser.add_argument("--report", action="store_true", help="write the report, measure nothing")
    parser.add_argument(
        "--output", type=Path, default=default, metavar="FILE", help=f"results ({default.name})"
    )
    markdown_default = default.with_suffix(".md")
    parser.add_argument(
        "--markdown",
        type=Path,
        default=markdown_default,
        metavar="FILE",
        help=f"report ({markdown_default.name})",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
