"""How long does `import kneegrade` and `kneegrade --help` take? Ratios against what they rest on.

Usage: python benchmarks/import_time.py
Best of seven fresh interpreters each, all in one run.
"""

import subprocess
import sys
import time
from pathlib import Path

COMMANDS = {
    "import numpy": [sys.executable, "-c", "import numpy"],
    "import kneegrade": [sys.executable, "-c", "import kneegrade"],
    "import typer, rich.console": [sys.executable, "-c", "import typer, rich.console, numpy"],
    "kneegrade --help": [str(Path(sys.executable).parent / "kneegrade"), "--help"],
}


def _best(command: list[str], runs: int = 7) -> float:
    times = []
    for _ in range(runs):
        start = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True)
        times.append(time.perf_counter() - start)
    return min(times)


if __name__ == "__main__":
    seconds = {name: _best(command) for name, command in COMMANDS.items()}
    for name, value in seconds.items():
        print(f"{name}: {value:.3f} s")
    ratio = seconds["import kneegrade"] / seconds["import numpy"]
    print(f"import kneegrade / import numpy = {ratio:.2f}")
    ratio = seconds["kneegrade --help"] / seconds["import typer, rich.console"]
    print(f"kneegrade --help / import typer, rich, numpy = {ratio:.2f}")
