"""Break many files at random and read them all: only documented errors, no hang, bounded memory.

    .venv/bin/python benchmarks/fuzz_reader.py --files 20000

Prints the results by code, the slowest file, the peak memory of a process and of its children, and
every file that breaks a promise; ends with 1 if there is one.
"""

import argparse
import resource
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from broken_files import break_file, list_whole_files

from kneegrade.errors import CODES, ImageError
from kneegrade.images.read import read_radiograph

MAX_SECONDS = 5.0
CHUNK = 250


def read_broken(seeds: range) -> tuple[Counter[str], list[str], tuple[float, int], int, int]:
    """Results by code, broken promises, the slowest file, and peak memory in KiB."""
    files = [path.read_bytes() for path in list_whole_files()]
    counts: Counter[str] = Counter()
    promises: list[str] = []
    slowest = (0.0, -1)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "film"
        for seed in seeds:
            path.write_bytes(break_file(files, seed))
            began = time.perf_counter()
            try:
                read_radiograph(path)
                result = "read"
            except ImageError as error:
                result = error.code
                if result not in CODES:
                    promises.append(f"{seed}: undocumented {result}")
            except BaseException as error:  # noqa: BLE001  (it is what we look for)
                result = type(error).__name__
                promises.append(f"{seed}: {error!r:.200}")
            seconds = time.perf_counter() - began
            if seconds > MAX_SECONDS:
                promises.append(f"{seed}: {seconds:.1f} s")
            slowest = max(slowest, (seconds, seed))
            counts[result] += 1
    peaks = [
        resource.getrusage(who).ru_maxrss
        for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    ]
    return counts, promises, slowest, peaks[0], peaks[1]


def count_orphans() -> int:
    """Decoders that outlived the process that started them."""
    orphans = 0
    for process in Path("/proc").glob("[0-9]*"):
        try:
            line = (process / "cmdline").read_bytes()
            parent = (process / "stat").read_text().rpartition(")")[2].split()[1]
        except OSError:
            continue
        orphans += b"kneegrade.images.dicom.decode_apart" in line and parent == "1"
    return orphans


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=20_000)
    parser.add_argument("--first-seed", type=int, default=0)
    arguments = parser.parse_args()
    starts = range(arguments.first_seed, arguments.first_seed + arguments.files, CHUNK)
    end = arguments.first_seed + arguments.files
    chunks = [range(start, min(start + CHUNK, end)) for start in starts]
    counts: Counter[str] = Counter()
    promises: list[str] = []
    slowest, peak, children = (0.0, -1), 0, 0
    began = time.perf_counter()
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        for n, result in enumerate(pool.map(read_broken, chunks), 1):
            counts += result[0]
            promises += result[1]
            slowest = max(slowest, result[2])
            peak, children = max(peak, result[3]), max(children, result[4])
            print(f"{n}/{len(chunks)}", *result[1], sep="\n  ", flush=True)
    for code, number in counts.most_common():
        print(f"{number:6} {code}")
    print(f"{time.perf_counter() - began:.0f} s; slowest {slowest[0]:.1f} s (seed {slowest[1]})")
    print(f"peak memory {peak >> 10} MiB, of a decoder {children >> 10} MiB")
    print(f"decoders without a parent: {count_orphans()}")
    print("broken promises:", *(promises or ["none"]), sep="\n  ")
    return 1 if promises else 0


if __name__ == "__main__":
    raise SystemExit(main())
