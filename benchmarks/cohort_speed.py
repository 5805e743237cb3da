"""How long does the OAI release take to become a knee table? Against plainly reading its tables.

Usage: python benchmarks/cohort_speed.py [--people 2525]
Writes tables and empty films in the release's layout into a temporary folder: nine visits, two
knees, a second project for every tenth knee, wide clinical tables. Each way runs in a process of
its own; the ratio is that of one run.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np

VISITS = {"00": 0, "01": 1, "02": 2, "03": 3, "04": 4, "05": 5, "06": 6, "08": 8, "10": 10}
"""Number of a visit in the names of tables, and in those of image releases."""
GRADES = "XRKL XROSFL XROSFM XROSTL XROSTM XRJSL XRJSM XRSCFL XRSCFM XRSCTL XRSCTM XRATTL XRATTM"
OTHER_READINGS = "XRCYFL XRCYFM XRCYTL XRCYTM XRCHL XRCHM"
N_CLINICAL_COLUMNS = 300
FILM = "Bilateral PA Fixed Flexion Knee"

MEASURE = """
import json, resource, sys, time
from pathlib import Path
folder = Path(sys.argv[1])
start = time.perf_counter()
{code}
seconds = time.perf_counter() - start
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(json.dumps({{"seconds": seconds, "peak_mib": peak, "rows": rows}}))
"""
READ_OAI = """
from kneegrade.cohorts.oai.read import read_oai
study = read_oai(folder)
rows = [study.n_read, len(study.knees)]
"""
READ_CSV = """
import pandas as pd
tables = [pd.read_csv(path, sep="|", encoding="latin-1", low_memory=False)
          for path in sorted(folder.rglob("*.txt"))]
rows = [sum(len(table) for table in tables if "READPRJ" in table), len(tables)]
"""


def _write(path: Path, header: str, lines: Iterable[str]) -> None:
    path.write_text("\n".join([header, *lines]) + "\n")


def _write_visit(folder: Path, visit: str, ids: list[str], rng: np.random.Generator) -> None:
    release = folder / f"{VISITS[visit]}.C.2"
    series = {person: f"0{VISITS[visit]:02d}{at:05d}" for at, person in enumerate(ids)}
    names = [f"V{visit}{name}" for name in f"{GRADES} {OTHER_READINGS}".split(" ")]
    readings = [
        f"{person}|{side}|{project}|0.6|{'|'.join(map(str, rng.integers(0, 4, len(names))))}"
        f"|0166{series[person]}"
        for person in ids
        for side in (1, 2)
        for project in ((15, 37) if rng.random() < 0.1 else (15,))
    ]
    head = "|".join(["ID", "SIDE", "READPRJ", "VERSION", *names, f"V{visit}BARCDBU"])
    _write(folder / f"kxr_sq_bu{visit}.txt", head, readings)
    other = [f"V{visit}WORD{at}" for at in range(N_CLINICAL_COLUMNS)]
    words = "|".join(["1: Yes", ".A: Not Expected", "3.25"] * (N_CLINICAL_COLUMNS // 3))
    _write(
        folder / f"AllClinical{visit}.txt",
        "|".join(["ID", f"V{visit}AGE", f"V{visit}BMI", *other]),
        (f"{person}|61|29.5|{words}" for person in ids),
    )
    _write(
        folder / f"XRay{visit}.txt",
        "|".join(f"V{visit}{name}" for name in ["XRBARCD", "EXAMTP", "XRSIDE", "ACCEPT", "ALIGN"])
        + "|ID",
        (f"0166{series[person]}|{FILM}|3|Y|X|{person}" for person in ids),
    )
    _write(
        folder / f"kxr_qjsw_duryea{visit}.txt",
        f"ID|SIDE|READPRJ|V{visit}MCMJSW|V{visit}JSW250|V{visit}LJSW850",
        (f"{person}|{side}|16|4.125|5.5|6.75" for person in ids for side in (1, 2)),
    )
    for person in ids:
        film = release / person / "20041102" / series[person]
        film.mkdir(parents=True)
        (film / "001").touch()
    _write(
        release / "contents.csv",
        "Folder,ParticipantID,StudyDate,Barcode,StudyDescription,SeriesDescription",
        (f"{release.name}/{p}/20041102/{s},{p},20041102,{s},X,{FILM}" for p, s in series.items()),
    )


def _write_release(folder: Path, n_people: int) -> None:
    rng = np.random.default_rng(0)
    ids = [str(9_000_000 + at) for at in range(n_people)]
    for visit in VISITS:
        _write_visit(folder, visit, ids, rng)
    _write(
        folder / "enrollees.txt",
        "ID|P02SEX|P02RACE|V00SITE|V00COHORT",
        (f"{person}|1: Male|1: White|A|2" for person in ids),
    )
    _write(
        folder / "outcomes99.txt",
        "ID|V99ERKBLRP|V99ELKBLRP|V99ERKDAYS|V99ELKDAYS",
        (f"{person}|0|0| | " for person in ids),
    )


def _measure(code: str, folder: Path) -> dict[str, float]:
    command = [sys.executable, "-c", MEASURE.format(code=code), str(folder)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return dict(json.loads(done.stdout))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--people", type=int, default=2525)
    n_people = parser.parse_args().people
    with tempfile.TemporaryDirectory() as name:
        _write_release(Path(name), n_people)
        plain = _measure(READ_CSV, Path(name))
        ours = _measure(READ_OAI, Path(name))
    for what, found in (("pandas.read_csv", plain), ("read_oai", ours)):
        print(f"{what}: {found['seconds']:.1f} s, {found['peak_mib']:.0f} MiB, {found['rows']}")
    print(f"read_oai / read_csv = {ours['seconds'] / plain['seconds']:.1f} in time, ", end="")
    print(f"{ours['peak_mib'] / plain['peak_mib']:.2f} in memory")
