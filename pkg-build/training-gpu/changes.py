"""The changes that `src/train/augment.rs` makes to a face, for a whole batch at once, and mixup."""
import math

import torch
import torch.nn.functional as F

from faces import SIDE

ROLL, SCALE, SHIFT = math.radians(20), math.log(1.2), 0.1
GAMMA, LIGHT, NOISE, CUT = 0.8, 0.25, 6 / 255, 0.4


def change(pictures):
    """Changed copies, 0 to 1, [n, 1, 48, 48], of u8 [n, 48, 48]; the extent of a picture's changes is drawn from 0 to 1."""
    count, device = len(pictures), pictures.device
    draw = lambda: torch.rand(count, device=device)
    extent = draw()
    within = lambda most: (draw() * 2 - 1) * most * extent
    each = lambda values: values.view(count, 1, 1, 1)
    roll, zoom, mirror = within(ROLL), torch.exp(within(SCALE)), torch.where(draw() < 0.5, -1.0, 1.0)
    # The grid's unit is half a side.
    across, down = within(2 * SHIFT), within(2 * SHIFT)
    rows = [torch.stack([roll.cos() * zoom * mirror, -roll.sin() * zoom, across], 1),
            torch.stack([roll.sin() * zoom * mirror, roll.cos() * zoom, down], 1)]
    grid = F.affine_grid(torch.stack(rows, 1), [count, 1, SIDE, SIDE], align_corners=False)
    faces = F.grid_sample(pictures[:, None].float() / 255, grid, padding_mode="border", align_corners=False)
    faces = faces.clamp(1e-4, 1) ** each(torch.exp2(within(GAMMA)))
    faces = ((faces - 0.5) * each(1 + within(LIGHT)) + 0.5 + each(within(LIGHT / 2))).clamp(0, 1)
    # Half of the pictures stay sharp.
    faces = faces + each(draw() * extent * (draw() < 0.5)) * (soften(faces) - faces)
    faces = (faces + torch.randn_like(faces) * each(within(NOISE).abs())).clamp(0, 1)
    side = (draw() * CUT * SIDE * extent).int()
    places = torch.arange(SIDE, device=device)[None]
    top, left = ((draw() * (SIDE - side)).int()[:, None] for _ in range(2))
    tall, wide = ((places >= first) & (places < first + side[:, None]) for first in (top, left))
    return torch.where((tall[:, :, None] & wide[:, None])[:, None], 0.5, faces)


def soften(faces):
    """Blurred by [1 2 1] / 4 in both directions."""
    bordered = F.pad(faces, (1, 1, 1, 1), "replicate")
    lines = bordered[:, :, :-2] + 2 * bordered[:, :, 1:-1] + bordered[:, :, 2:]
    return (lines[..., :-2] + 2 * lines[..., 1:-1] + lines[..., 2:]) / 16


def blend(values, shares):
    """Each row with the one before it, by a share of its own (mixup)."""
    shares = shares.view(-1, *[1] * (values.dim() - 1))
    return shares * values + (1 - shares) * values.roll(1, 0)
