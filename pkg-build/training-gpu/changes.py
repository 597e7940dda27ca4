"""What happens to a face before a net sees it, for a whole batch at once: what `src/train/augment.rs` does, what brings other
kinds of pictures nearer, and mixup. Every number is drawn from a picture's own key, so that neither the batch that a picture
is in nor the number of processes changes it."""
import math

import torch
import torch.nn.functional as F

SIDE = 48
# Pictures are kept with what lies around the face, a third more than the square that a net sees.
CANVAS = 64
ROLL, SCALE, SHIFT = math.radians(20), math.log(1.2), 0.1
GAMMA, LIGHT, NOISE, CUT = 0.8, 0.25, 6 / 255, 0.4
MEAN, STD = 0.508, 0.255  # of FER+'s pictures, as in the run's own preprocessing
OCCLUDERS = 4             # glasses, mask, hand, hair


class Draws:
    """Numbers from 0 to 1, one a key each time, by SplitMix64's finaliser (Steele et al. 2014)."""

    def __init__(self, keys):
        self.keys, self.turn = keys, 0

    def __call__(self, *shape):
        self.turn += 1
        size = math.prod(shape)
        places = torch.arange(size, device=self.keys.device) + (self.turn << 32)
        keys = mix(mix(self.keys)[:, None] + places * signed(0x9E3779B97F4A7C15))
        return ((keys >> 40 & 0xFFFFFF).float() / 2**24).view(len(self.keys), *shape)

    def normal(self, *shape):
        """Normal numbers, by Box and Muller."""
        return (-2 * (1 - self(*shape)).log()).sqrt() * (2 * math.pi * self(*shape)).cos()


def mix(keys):
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        keys = (keys ^ shifted(keys, shift)) * signed(factor)
    return keys ^ shifted(keys, 31)


def shifted(keys, by):
    """To the right, as numbers without a sign."""
    return keys >> by & (1 << 64 - by) - 1


def signed(number):
    return number - (1 << 64) if number >> 63 else number


def change(pictures, keys, more=None):
    """Changed copies, 0 to 1, [n, 1, 48, 48], of u8 [n, 64, 64]; the extent of a picture's changes is drawn from 0 to 1.

    more: shares of pictures that get a change that augment.rs does not have, by its name, and `margins`
    """
    more = more or {}
    # What augment.rs draws stays as it is, whatever is asked for beside it.
    count, draws, others = len(pictures), Draws(keys), Draws(~keys)
    draw = lambda: draws(1)[:, 0]
    extent = draw()
    within = lambda most: (draw() * 2 - 1) * most * extent
    each = lambda values: values.view(count, 1, 1, 1)
    some = lambda name: others(1, 1, 1) < more[name]
    roll, zoom, mirror = within(ROLL), torch.exp(within(SCALE)), torch.where(draw() < 0.5, -1.0, 1.0)
    if "margins" in more:
        least, most = map(math.log, more["margins"])
        zoom = torch.exp(least + (most - least) * others(1)[:, 0])
    # The grid's unit is half a side.
    across, down = within(2 * SHIFT), within(2 * SHIFT)
    rows = [torch.stack([roll.cos() * zoom * mirror, -roll.sin() * zoom, across], 1),
            torch.stack([roll.sin() * zoom * mirror, roll.cos() * zoom, down], 1)]
    grid = F.affine_grid(torch.stack(rows, 1) * (SIDE / CANVAS), [count, 1, SIDE, SIDE], align_corners=False)
    faces = F.grid_sample(pictures[:, None].float() / 255, grid, padding_mode="border", align_corners=False)
    if "occluders" in more:
        faces = torch.where(some("occluders"), occlude(faces, others), faces)
    faces = faces.clamp(1e-4, 1) ** each(torch.exp2(within(GAMMA)))
    faces = ((faces - 0.5) * each(1 + within(LIGHT)) + 0.5 + each(within(LIGHT / 2))).clamp(0, 1)
    # Half of the pictures stay sharp.
    faces = faces + each(draw() * extent * (draw() < 0.5)) * (soften(faces) - faces)
    if "photographs" in more:
        faces = torch.where(some("photographs"), photograph(faces, others), faces)
    faces = (faces + draws.normal(1, SIDE, SIDE) * each(within(NOISE).abs())).clamp(0, 1)
    if "normalised" in more:
        faces = torch.where(some("normalised"), normalise(faces), faces)
    side = (draw() * CUT * SIDE * extent).int()
    places = torch.arange(SIDE, device=keys.device)[None]
    top, left = ((draw() * (SIDE - side)).int()[:, None] for _ in range(2))
    tall, wide = ((places >= first) & (places < first + side[:, None]) for first in (top, left))
    return torch.where((tall[:, :, None] & wide[:, None])[:, None], 0.5, faces)


def plain(pictures):
    """Pictures as they are, 0 to 1, [n, 1, 48, 48], of u8 [n, 64, 64]."""
    border = (CANVAS - SIDE) // 2
    return pictures[:, None, border:-border, border:-border].float() / 255


def soften(faces):
    """Blurred by [1 2 1] / 4 in both directions."""
    bordered = F.pad(faces, (1, 1, 1, 1), "replicate")
    lines = bordered[:, :, :-2] + 2 * bordered[:, :, 1:-1] + bordered[:, :, 2:]
    return (lines[..., :-2] + 2 * lines[..., 1:-1] + lines[..., 2:]) / 16


def photograph(faces, draws):
    """As a larger photograph brought to this size: sharper or softer than it was, with the grain of a sensor, which
    bright places show most."""
    sharpness, grain = draws(2, 1, 1, 1).unbind(1)
    faces = faces + (1.2 * sharpness - 0.8) * (faces - soften(soften(faces)))
    return (faces + draws.normal(1, SIDE, SIDE) * faces.clamp(0, 1).sqrt() * grain * 0.04).clamp(0, 1)


def normalise(faces):
    """Gamma and contrast brought to what FER+'s pictures have in the mean."""
    faces = faces.clamp(1e-3, 1)
    gamma = math.log(MEAN) / faces.mean((1, 2, 3), keepdim=True).clamp(0.05, 0.95).log()
    faces = faces ** gamma.clamp(0.4, 2.5)
    mean, spread = faces.mean((1, 2, 3), keepdim=True), faces.std((1, 2, 3), keepdim=True).clamp_min(0.05)
    return ((faces - mean) * (STD / spread) + MEAN).clamp(0, 1)


def occlude(faces, draws):
    """With dark glasses, a mask over mouth and nose, a hand at the cheek or chin, or hair over the forehead."""
    kind, tone, first, second, third = draws(5, 1, 1, 1).unbind(1)
    y, x = torch.meshgrid(*[torch.linspace(-1, 1, SIDE, device=faces.device)] * 2, indexing="ij")
    kind = (kind * OCCLUDERS).int()
    # Eyes lie above the middle of a face's square, the mouth half way down from there.
    eyes, aside = -0.35 + 0.2 * first, 0.38 + 0.08 * second
    lens = ((x.abs() - aside) / (0.26 + 0.1 * third)) ** 2 + ((y - eyes) / (0.16 + 0.1 * third)) ** 2 < 1
    glasses = lens | ((y - eyes).abs() < 0.03)
    mask = (y > 0.05 + 0.25 * first + 0.2 * x ** 2) & (x.abs() < 0.95 - 0.3 * (y - 0.4).clamp_min(0))
    side = torch.where(second < 0.5, -1.0, 1.0)
    hand = ((x - side * (0.3 + 0.5 * first)) / 0.35) ** 2 + ((y - 0.3 - 0.5 * third) / 0.5) ** 2 < 1
    hair = y < -0.75 + 0.5 * first + (0.7 * second - 0.35) * x + 0.05 * torch.sin(9 * x + 6 * third)
    covered = torch.stack([glasses, mask, hand, hair]).gather(0, kind[None].long().expand(1, *faces.shape))[0]
    skin = faces.mean((2, 3), keepdim=True)
    tones = torch.stack([0.25 * tone, tone, skin * (0.8 + 0.4 * tone), 0.4 * tone])
    tone = tones.gather(0, kind[None].long())[0]
    return torch.where(covered, tone, faces)


def blend(values, others, shares):
    """Each row with another one, by a share of its own (mixup)."""
    shares = shares.view(-1, *[1] * (values.dim() - 1))
    return shares * values + (1 - shares) * others
