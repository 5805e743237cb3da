import pytest
import torch
from torch import Tensor

from kneegrade.training.locator.network import METAL_PX, LandmarkNetwork, compute_landmark_loss
from kneegrade.training.locator.recipe import LandmarkNetworkSpec, Stage

TINY = LandmarkNetworkSpec(channels=(4, 8), sigma_px=1.5)
N = 32
"""Rows and columns of the heat maps of these tests."""
NEVER = -20.0
"""Logit of a point that is not absent, and of a pixel that is not metal."""
BARE = torch.zeros(1, 1, N, N)
"""No metal."""


def peaks(points: Tensor, height: float = 1.0) -> Tensor:
    """Heat maps (n, k, N, N) whose softmax is a Gaussian of 1.5 px at each point."""
    line = torch.arange(float(N))
    rows = (line - points[..., :1]) ** 2
    cols = (line - points[..., 1:]) ** 2
    return -height * (rows[..., :, None] + cols[..., None, :]) / (2 * 1.5**2)


def loss_of(
    heatmaps: Tensor,
    absent: Tensor,
    scores: Tensor | None = None,
    *,
    points: Tensor,
    is_there: Tensor | None = None,
    kinds: tuple[float, float, float] = (0, 0, 0),
    metal: Tensor = BARE,
    metal_logits: Tensor = BARE + NEVER,
) -> float:
    outputs = (heatmaps, absent)
    if scores is not None:
        outputs = (*outputs, scores, metal_logits)
    there = torch.ones(points.shape[:2], dtype=torch.bool) if is_there is None else is_there
    told = torch.tensor([kinds] * len(points))
    return float(compute_landmark_loss(outputs, points[:, None], there[:, None], told, metal, 1.5))


@pytest.mark.parametrize("stage", Stage)
@pytest.mark.parametrize(("channels", "size"), [((4, 8), 64), ((4, 6, 8, 10, 12), 96)])
def test_shapes(stage: Stage, channels: tuple[int, ...], size: int) -> None:
    network = LandmarkNetwork(LandmarkNetworkSpec(channels, 1.5), stage).eval()
    outputs = network(torch.zeros(3, 1, size, size))
    shapes = [tuple(part.shape) for part in outputs]
    assert shapes[:2] == [(3, stage.n_points, size // 2, size // 2), (3, stage.n_points)]
    metal = (3, 1, size // 2, size // 2)
    assert shapes[2:] == ([(3, 3), metal] if stage is Stage.KNEE else [])


def test_every_weight_is_used() -> None:
    for stage in Stage:
        network = LandmarkNetwork(TINY, stage)
        outputs = network(torch.randn(2, 1, 64, 64))
        torch.cat([part.flatten() for part in outputs]).pow(2).sum().backward()
        unused = [name for name, p in network.named_parameters() if p.grad is None]
        assert unused == []


def test_a_picture_is_judged_alone() -> None:
    torch.manual_seed(0)
    network = LandmarkNetwork(TINY, Stage.KNEE).eval()
    images = torch.randn(3, 1, 64, 64)
    for whole, alone in zip(network(images), network(images[1:2]), strict=True):
        torch.testing.assert_close(whole[1:2], alone, atol=1e-5, rtol=1e-4)


def test_the_loss_is_least_where_the_heat_map_is_right() -> None:
    points = torch.tensor([[[10.0, 20.0], [5.5, 7.25]]])
    absent = torch.full((1, 2), NEVER)
    right = loss_of(peaks(points), absent, points=points)
    entropy = right  # of the target with itself: what cannot be gone below
    for away in ([2.0, 0.0], [0.0, -2.0], [0.5, 0.5], [9.0, 9.0]):
        moved = points + torch.tensor(away)
        assert loss_of(peaks(moved), absent, points=points) > right, away
    for height in (0.3, 3.0):
        assert loss_of(peaks(points, height), absent, points=points) > right
    swapped = points[:, [1, 0]]
    assert loss_of(peaks(swapped), absent, points=points) > entropy + 1


def test_descent_finds_the_point() -> None:
    points = torch.tensor([[[12.0, 18.0]]])
    heatmaps = torch.zeros(1, 1, N, N, requires_grad=True)
    absent = torch.zeros(1, 1, requires_grad=True)
    optimiser = torch.optim.Adam([heatmaps, absent], lr=0.3)
    losses = []
    for _ in range(40):
        optimiser.zero_grad()
        there, kinds = torch.ones(1, 1, 1, dtype=torch.bool), torch.zeros(1, 3)
        loss = compute_landmark_loss((heatmaps, absent), points[:, None], there, kinds, BARE, 1.5)
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] - 2
    assert divmod(int(heatmaps.argmax()), N) == (12, 18)


def test_a_point_that_is_not_there_is_said_to_be_absent() -> None:
    points = torch.tensor([[[10.0, 20.0]]])
    gone = torch.tensor([[False]])
    flat = torch.zeros(1, 1, N, N)
    sure = loss_of(flat, torch.tensor([[20.0]]), points=points, is_there=gone)
    assert sure == pytest.approx(0, abs=1e-3)
    assert loss_of(flat, torch.tensor([[NEVER]]), points=points, is_there=gone) > 20
    assert loss_of(peaks(points), torch.tensor([[20.0]]), points=points) > 10


def test_the_points_of_a_knee_with_metal_are_not_taught() -> None:
    """And those of the knees beside it are, as if it was not there."""
    points = torch.tensor([[[10.0, 20.0]], [[10.0, 20.0]]])
    wrong = torch.tensor([[[25.0, 3.0]]])
    heatmaps = torch.cat([peaks(points[:1]), peaks(wrong)])
    there, absent = torch.ones(2, 1, 1, dtype=torch.bool), torch.full((2, 1), NEVER)
    kinds = torch.tensor([[0.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    outputs = (heatmaps, absent)
    masked = float(compute_landmark_loss(outputs, points[:, None], there, kinds, BARE, 1.5))
    alone = loss_of(peaks(points[:1]), absent[:1], points=points[:1])
    assert masked == pytest.approx(alone, rel=1e-5)
    assert loss_of(heatmaps[1:], absent[1:], points=points[1:], kinds=(0, 1, 0)) == 0


def test_the_scores_are_taught() -> None:
    points = torch.tensor([[[10.0, 20.0]]])
    absent = torch.full((1, 1), NEVER)

    def loss(scores: tuple[float, ...], kinds: tuple[float, float, float]) -> float:
        told = torch.tensor([scores])
        return loss_of(peaks(points), absent, told, points=points, kinds=kinds)

    plain = loss((-9, -9, -9), (0, 0, 0))
    for false_alarm in ((9, -9, -9), (-9, 9, -9), (-9, -9, 9)):
        assert plain < loss(false_alarm, (0, 0, 0)) - 3
    assert loss((-9, 9, -9), (0, 1, 0)) < loss((-9, -9, -9), (0, 1, 0)) - 3
    assert loss((-9, -9, 9), (0, 0, 1)) < loss((-9, -9, -9), (0, 0, 1)) - 3


def test_the_same_point_of_two_knees_shares_a_heat_map() -> None:
    both = torch.tensor([[[[10.0, 20.0]], [[25.0, 5.0]]]])
    absent, kinds = torch.full((1, 1), NEVER), torch.zeros(1, 3)
    maps = torch.logsumexp(torch.stack([peaks(both[:, 0]), peaks(both[:, 1])]), dim=0)

    def loss(heatmaps: Tensor, there: list[bool]) -> float:
        is_there = torch.tensor(there)[None, :, None]
        return float(compute_landmark_loss((heatmaps, absent), both, is_there, kinds, BARE, 1.5))

    assert loss(maps, [True, True]) < loss(peaks(both[:, 0]), [True, True]) - 1
    assert loss(peaks(both[:, 0]), [True, False]) < loss(maps, [True, False]) - 0.3


def test_where_metal_is_is_taught() -> None:
    points, absent = torch.tensor([[[10.0, 20.0]]]), torch.full((1, 1), NEVER)
    screw = BARE.clone()
    screw[..., 4:8, 20:28] = 1

    def loss(metal: Tensor, logits: Tensor) -> float:
        told = torch.tensor([[NEVER] * 3])
        return loss_of(peaks(points), absent, told, points=points, metal=metal, metal_logits=logits)

    right, nowhere, mirrored = 40 * screw - 20, BARE + NEVER, (40 * screw - 20).flip(-1)
    assert loss(screw, right) < loss(screw, nowhere) - 5
    assert loss(screw, right) < loss(screw, mirrored) - 5
    assert loss(BARE, nowhere) < loss(BARE, right) - 5


def test_whether_what_is_no_knee_has_metal_is_not_taught() -> None:
    points, absent = torch.tensor([[[10.0, 20.0]]]), torch.full((1, 1), NEVER)

    def loss(not_knee: float, metal: float, logits: Tensor) -> float:
        told = torch.tensor([[not_knee, metal, NEVER]])
        return loss_of(
            peaks(points), absent, told, points=points, kinds=(1, 0, 0), metal_logits=logits
        )

    assert loss(9, NEVER, BARE + NEVER) == loss(9, 9, BARE + 9)
    assert loss(9, NEVER, BARE + NEVER) < loss(-9, NEVER, BARE + NEVER) - 5


def test_the_surest_metal_reaches_the_scores() -> None:
    """A screw is small: it counts by its own pixels, not by how much of the picture it is."""
    network = LandmarkNetwork(TINY, Stage.KNEE).eval()
    with torch.no_grad():
        for score in network.scores.parameters():
            score.zero_()
        network.scores.weight[:, -1] = 1
    scores, metal = network(torch.randn(3, 1, 64, 64))[2:]
    surest = metal.flatten(1).sort(descending=True).values[:, :METAL_PX].mean(dim=1)
    torch.testing.assert_close(scores, surest[:, None].expand(3, 3))


def test_one_bright_place_reaches_the_scores() -> None:
    """The mean alone would hardly see it."""
    torch.manual_seed(0)
    network = LandmarkNetwork(TINY, Stage.KNEE).eval()
    with torch.no_grad():
        for score in network.scores.parameters():
            score.zero_()
        deepest = TINY.channels[-1]
        network.scores.weight[:, deepest : 2 * deepest] = 1
    picture = torch.zeros(1, 1, 64, 64)
    before = network(picture)[2]
    picture[..., 30:34, 30:34] = 20
    assert (network(picture)[2] > before).all()


def test_a_point_far_off_the_map_teaches_nothing() -> None:
    points = torch.tensor([[[-500.0, 20.0]]])
    assert loss_of(torch.zeros(1, 1, N, N), torch.zeros(1, 1), points=points) == pytest.approx(0)
