"""Files broken at random: a picture or a documented code, and nothing else.

`benchmarks/fuzz_reader.py` does the same with many more, and watches time and memory.
"""

from pathlib import Path

import pytest
from broken_files import break_file, list_whole_files

from kneegrade.errors import CODES, ImageError
from kneegrade.images.read import read_radiograph

N_FILES = 300


@pytest.mark.slow
def test_broken_files_are_read_or_refused_with_a_code(tmp_path: Path) -> None:
    files = [path.read_bytes() for path in list_whole_files()]
    codes, n_read = set(), 0
    for seed in range(N_FILES):
        path = tmp_path / "film"
        path.write_bytes(break_file(files, seed))
        try:
            read_radiograph(path)
            n_read += 1
        except ImageError as error:
            codes.add(error.code)
    assert n_read > N_FILES / 10
    assert {"image.truncated", "image.unreadable", "image.bad-header"} <= codes <= set(CODES)


def test_the_same_seed_breaks_a_file_in_the_same_way() -> None:
    files = [path.read_bytes() for path in list_whole_files()[:20]]
    assert [break_file(files, 7), break_file(files, 8)] == [
        break_file(files, 7),
        break_file(files, 8),
    ]
    assert break_file(files, 7) not in files
