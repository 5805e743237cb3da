"""Films graded a second with one process and with more; memory over a long batch.

On a busy machine films a second say little; the processor's time a film, which a second process
should not raise, still tells.

Usage: python benchmarks/batch_speed.py speed FILMS [--films N] [--workers N] [--repeats N]
       python benchmarks/batch_speed.py memory FILMS [--films N] [--workers N]

FILMS is a folder of films (`kneegrade phantom study` draws some); where N is more than it has, each
is graded several times under other names.
"""

import argparse
import multiprocessing
import os
import resource
import tempfile
import time
from math import inf
from pathlib import Path

from kneegrade.images.find import find_images
from kneegrade.pipeline.batch import grade_batch
from kneegrade.pipeline.request import GradeRequest
from kneegrade.types import RadiographFile


def _requests_of(folder: Path, n_films: int) -> list[GradeRequest]:
    sources = find_images([folder]).sources
    return [
        GradeRequest(f"film-{k}", RadiographFile(sources[k % len(sources)])) for k in range(n_films)
    ]


def _processor_s() -> float:
    """Time of the processor that ended children took."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _time_a_film(requests: list[GradeRequest], n_workers: int) -> tuple[float, float]:
    """Seconds by the clock and of the processor."""
    with tempfile.TemporaryDirectory() as out:
        start, used = time.perf_counter(), _processor_s()
        grade_batch(requests, folder=Path(out), n_workers=n_workers)
        passed = time.perf_counter() - start
        return passed / len(requests), (_processor_s() - used) / len(requests)


def _measure_speed(requests: list[GradeRequest], n_workers: int, repeats: int) -> None:
    best = {1: (inf, inf), n_workers: (inf, inf)}
    for _ in range(repeats):
        for n in best:
            load = os.getloadavg()[0]
            passed_s, used_s = _time_a_film(requests, n)
            best[n] = min(best[n][0], passed_s), min(best[n][1], used_s)
            print(
                f"{n} processes: {1 / passed_s:.2f} films/s, {used_s:.3f} s of the processor a "
                f"film (load before: {load:.1f})",
                flush=True,
            )
    one, many = best[1], best[n_workers]
    print(f"films/s, {n_workers} processes / 1 = {one[0] / many[0]:.2f} (best of each)")
    print(f"processor's time a film, {n_workers} processes / 1 = {many[1] / one[1]:.2f}")


def _resident_mib(pid: int) -> float:
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return 0.0
    return int(status.partition("VmRSS:")[2].split()[0]) / 1024


def _measure_memory(requests: list[GradeRequest], n_workers: int) -> None:
    seen: list[tuple[float, float]] = []
    every = max(len(requests) // 10, 1)

    def look(done: int, total: int) -> None:
        if done and done % every == 0 and done < total:
            workers = [_resident_mib(p.pid or 0) for p in multiprocessing.active_children()]
            seen.append((_resident_mib(os.getpid()), max(workers)))
            each = " ".join(f"{mib:.0f}" for mib in workers)
            print(f"{done} films: parent {seen[-1][0]:.0f} MiB, workers {each} MiB", flush=True)

    with tempfile.TemporaryDirectory() as out:
        grade_batch(requests, folder=Path(out), n_workers=n_workers, on_progress=look)
    (parent, worker), (late_parent, late_worker) = seen[0], seen[-1]
    print(f"parent late / early = {late_parent / parent:.2f}")
    print(f"largest worker late / early = {late_worker / worker:.2f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["speed", "memory"])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--films", type=int, default=60)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=3)
    given = parser.parse_args()
    films = _requests_of(given.folder, given.films)
    if given.what == "speed":
        _measure_speed(films, given.workers, given.repeats)
    else:
        _measure_memory(films, given.workers)
