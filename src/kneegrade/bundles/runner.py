"""A network file -> a function on arrays: the only place that imports onnxruntime."""

import os
from pathlib import Path
from typing import Protocol

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from kneegrade.errors import BundleError
from kneegrade.types import Task


class Runner(Protocol):
    """One member of a bundle as a function."""

    def run(self, images: NDArray[np.float32]) -> dict[Task, NDArray[np.float64]]:
        """Logits per task, each ``(n, n_grades)``, for images ``(n, 1, size, size)``."""
        ...


class OnnxRunner:
    """A member run by ONNX Runtime on the CPU in float32.

    Parameters
    ----------
    path : Path
        An ONNX file with one input ``(n, 1, size, size)`` and one output per task, named after it.
    n_threads : int or None
        Threads within one operator; None takes the machine's cores, at most 4.

    Raises
    ------
    BundleError
        ``bundle.invalid`` if ONNX Runtime cannot load the file.
    """

    def __init__(self, path: Path, *, n_threads: int | None = None) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = n_threads or min(os.cpu_count() or 1, 4)
        options.inter_op_num_threads = 1
        # Spinning threads cost a third of the speed on a machine that does anything else.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.log_severity_level = 3
        try:
            self._session = onnxruntime.InferenceSession(
                str(path), options, providers=["CPUExecutionProvider"]
            )
            self._tasks = [Task(output.name) for output in self._session.get_outputs()]
        except Exception as error:
            raise BundleError(
                "bundle.invalid",
                f"{path.name} is no network that ONNX Runtime loads.",
                "Export the bundle again.",
            ) from error
        self._input = self._session.get_inputs()[0].name

    def run(self, images: NDArray[np.float32]) -> dict[Task, NDArray[np.float64]]:
        """Logits per task, each ``(n, n_grades)``, for images ``(n, 1, size, size)``."""
        outputs = self._session.run(None, {self._input: images})
        return {
            task: np.asarray(output, dtype=np.float64)
            for task, output in zip(self._tasks, outputs, strict=True)
        }
