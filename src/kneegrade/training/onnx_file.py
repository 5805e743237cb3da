"""A torch network -> an ONNX file, and the weights of such a file."""

import logging
import warnings
from collections.abc import Sequence
from pathlib import Path

import onnx
import torch
from torch import Tensor, nn


def write_onnx(network: nn.Module, size_px: int, output_names: Sequence[str], path: Path) -> None:
    """Write a network as ONNX: input ``images`` ``(n, 1, size, size)`` and the outputs named."""
    example = torch.zeros(2, 1, size_px, size_px)
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.onnx.export(
                network,
                (example,),
                str(path),
                dynamo=True,
                external_data=False,
                verbose=False,
                input_names=["images"],
                output_names=list(output_names),
                dynamic_shapes=({0: torch.export.Dim("n")},),
            )
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def read_onnx_weights(path: Path) -> dict[str, Tensor]:
    """Read the weights of an ONNX file by name.

    A convolution has its batch normalisation in its weight; what that adds to the output is named
    after the weight, with ``_bias``.
    """
    return {
        part.name: torch.from_numpy(onnx.numpy_helper.to_array(part).copy())
        for part in onnx.load(path).graph.initializer
    }
