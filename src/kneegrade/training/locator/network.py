"""The landmark network: a small U-Net with a heat map per point.

Heat maps as in A. Newell, K. Yang, J. Deng, "Stacked Hourglass Networks for Human Pose Estimation",
ECCV 2016; skip connections as in O. Ronneberger, P. Fischer, T. Brox, "U-Net", MICCAI 2015.
"""

from itertools import pairwise
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from kneegrade.bundles.manifest import KNEE_SCORES
from kneegrade.training.locator.recipe import LandmarkNetworkSpec, Stage

METAL_PX: Final = 32
"""How many of the plainest px of its map count for the score of metal: about 25 mm2 of a knee."""
METAL_WEIGHT: Final = 32.0
"""Weight of the loss of where metal is: a mean over pixels, few of which are metal."""
_NOT_KNEE, _METAL, _MOTION = (KNEE_SCORES.index(name) for name in ("not_knee", "metal", "motion"))


class LandmarkNetwork(nn.Module):
    """U-Net of pairs of 3 x 3 convolutions; heat maps at half the input's resolution.

    Parameters
    ----------
    spec : LandmarkNetworkSpec
    stage : Stage
    """

    def __init__(self, spec: LandmarkNetworkSpec, stage: Stage) -> None:
        super().__init__()
        widths = spec.channels
        pairs = list(pairwise(widths))
        self.stem = _block(1, widths[0], stride=2)
        self.down = nn.ModuleList([_block(a, b, stride=2) for a, b in pairs])
        self.lateral = nn.ModuleList([nn.Conv2d(b, a, 1) for a, b in pairs])
        self.up = nn.ModuleList([_block(a, a, stride=1) for a, _ in pairs])
        self.heatmaps = nn.Conv2d(widths[0], stage.n_points, 1)
        self.absent = nn.Linear(widths[-1], stage.n_points)
        self.metal = self.scores = None
        if stage.n_scores:
            self.metal = nn.Conv2d(widths[0], 1, 1)
            nn.init.constant_(self.metal.get_parameter("bias"), -4.0)  # few pixels are metal
            self.scores = nn.Linear(2 * widths[-1] + 1, stage.n_scores)

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Logits.

        Parameters
        ----------
        images : (n, 1, size, size) tensor

        Returns
        -------
        heatmaps : (n, k, size / 2, size / 2) tensor
        absent : (n, k) tensor
            That the point is outside the image.
        scores : (n, m) tensor
            Absent for a stage without scores. From the mean and the maximum of the deepest maps
            (motion is everywhere), and from where metal is seen most plainly.
        metal : (n, 1, size / 2, size / 2) tensor
            That there is metal; absent for a stage without scores.
        """
        levels = [self.stem(images)]
        for down in self.down:
            levels.append(down(levels[-1]))
        pooled = levels[-1].mean(dim=(2, 3))
        found = levels[-1]
        for skip, lateral, up in zip(
            levels[-2::-1], reversed(self.lateral), reversed(self.up), strict=True
        ):
            enlarged = interpolate(
                lateral(found), size=skip.shape[-2:], mode="bilinear", align_corners=False
            )
            found = up(skip + enlarged)
        outputs = (self.heatmaps(found), self.absent(pooled))
        if self.scores is None or self.metal is None:
            return outputs
        strongest = levels[-1].amax(dim=(2, 3))
        metal = self.metal(found)
        plainest = metal.flatten(1).topk(METAL_PX).values.mean(dim=1, keepdim=True)
        scores = self.scores(torch.cat([pooled, strongest, plainest], dim=1))
        return (*outputs, scores, metal)


def _block(inputs: int, outputs: int, *, stride: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
        nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )


def compute_landmark_loss(
    outputs: tuple[Tensor, ...],
    points: Tensor,
    is_there: Tensor,
    kinds: Tensor,
    metal: Tensor,
    sigma_px: float,
) -> Tensor:
    """Cross-entropy of the heat maps with a Gaussian, plus that of the scores and of the metal.

    Parameters
    ----------
    outputs : tuple of tensors
        Of `LandmarkNetwork`.
    points : (n, knees, k, 2) tensor
        ``(row, col)`` in px of the heat maps; the same point of several knees shares a heat map.
    is_there : (n, knees, k) tensor, bool
        False: the point is not in the image.
    kinds : (n, 3) tensor
        In the order of `KNEE_SCORES`, 1 where it is so. Whether something that is not a knee has
        metal is not taught, nor are the points of a knee with metal.
    metal : (n, 1, rows, cols) tensor
        How plainly metal is seen at each pixel of the heat maps, 0 to 1.
    sigma_px : float
        Of the Gaussian, in px of the heat maps.
    """
    heatmaps, absent = outputs[:2]
    n, k, rows, cols = heatmaps.shape
    row = torch.arange(rows, device=heatmaps.device, dtype=torch.float32)
    col = torch.arange(cols, device=heatmaps.device, dtype=torch.float32)
    along_rows = torch.exp(-((row - points[..., 0:1]) ** 2) / (2 * sigma_px**2))
    along_cols = torch.exp(-((col - points[..., 1:2]) ** 2) / (2 * sigma_px**2))
    gaussian = along_rows[..., :, None] * along_cols[..., None, :] * is_there[..., None, None]
    gaussian = gaussian.sum(dim=1).flatten(2)
    gaussian = gaussian / gaussian.sum(dim=2, keepdim=True).clamp_min(1e-6)
    there = is_there.any(dim=1).float()[..., None]
    target = torch.cat([gaussian * there, 1 - there], dim=2)
    logits = torch.cat([heatmaps.float().flatten(2), absent.float()[..., None]], dim=2)
    per_point = -(target * logits.log_softmax(dim=2)).sum(dim=2)
    taught = 1 - kinds[:, _METAL, None].float().expand(n, k)
    loss = (per_point * taught).sum() / taught.sum().clamp_min(1)
    if len(outputs) > 2:
        per_score = nn.functional.binary_cross_entropy_with_logits(
            outputs[2].float(), kinds.float(), reduction="none"
        )
        per_pixel = nn.functional.binary_cross_entropy_with_logits(
            outputs[3].float(), metal, reduction="none"
        )
        is_knee = 1 - kinds[:, _NOT_KNEE].float()
        of_metal = is_knee * (per_score[:, _METAL] + METAL_WEIGHT * per_pixel.mean(dim=(1, 2, 3)))
        loss = loss + (per_score[:, _NOT_KNEE] + per_score[:, _MOTION] + of_metal).mean()
    return loss
