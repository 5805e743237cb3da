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


class OnnxNetwork:
    """A network run by ONNX Runtime on the CPU in float32.

    Parameters
    ----------
    path : Path
        An ONNX file with one input ``(n, 1, size, size)``.
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
        except Exception as error:
            raise invalid_network(path) from error
        self.outputs = {output.name: output.shape[1] for output in self._session.get_outputs()}
        """Channels of each output."""
        self._input = self._session.get_inputs()[0].name

    def run(self, images: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
        """Outputs by name for images ``(n, 1, size, size)``."""
        outputs = self._session.run(None, {self._input: images})
        return {
            name: np.asarray(output, dtype=np.float32)
            for name, output in zip(self.outputs, outputs, strict=True)
        }


class OnnxRunner:
    """A grading member: an `OnnxNetwork` with one output per task, named after it.

    Raises
    ------
    BundleError
        ``bundle.invalid`` if ONNX Runtime cannot load the file, or an output is not a task.
    """

    def __init__(self, path: Path, *, n_threads: int | None = None) -> None:
        self._network = OnnxNetwork(path, n_threads=n_threads)
        try:
            self._tasks = {name: Task(name) for name in self._network.outputs}
        except ValueError as error:
            raise invalid_network(path) from error

    def run(self, images: NDArray[np.float32]) -> dict[Task, NDArray[np.float64]]:
        """Logits per task, each ``(n, n_grades)``, for images ``(n, 1, size, size)``."""
        outputs = self._network.run(images)
        return {task: outputs[name].astype(np.float64) for name, task in self._tasks.items()}


def invalid_network(path: Path) -> BundleError:
    """The error of a file that is not the network that a bundle needs."""
    return BundleError(
        "bundle.invalid",
        f"{path.name} is not a network that ONNX Runtime can load, or not the one expected.",
        "Export the bundle again.",
    )
