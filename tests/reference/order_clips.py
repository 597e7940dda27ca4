"""Writes made clips whose answer needs the order of their frames, in AFEW's layout, from the portrait alone.

Run: python tests/reference/order_clips.py FOLDER
Used: pillow 12.3.0, numpy 2.4.6.

Each pair of clips has the same 16 frames: the portrait comes forward out of a blurred, faded, smaller self (`Surprise`),
or goes back into it (`Neutral`). The names only say onset and offset with words that the built-in model knows. Where the
change begins, how fast it is, the framing, the roll, the light and the noise are other in each pair.
"""
import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageFilter

FRAMES, SIDE = 16, 48
PAIRS = {"Train_AFEW": 150, "Val_AFEW": 75, "Test_AFEW": 75}
PORTRAIT = Path(__file__).resolve().parents[2] / "www" / "demo" / "portrait.jpg"


def frames(random, portrait):
    """The frames of an onset."""
    begin, speed = random.uniform(0, 6), random.uniform(4, 10)
    roll, zoom = random.uniform(-12, 12), random.uniform(0.9, 1.15)
    shift = random.uniform(-0.05, 0.05, 2) * portrait.width
    light, blur, grey = random.uniform(0.8, 1.2), random.uniform(4, 10), random.uniform(90, 150)
    for time in range(FRAMES):
        share = float(np.clip((time - begin) / speed, 0, 1))
        size = portrait.width / (zoom * (0.85 + 0.15 * share))
        middle = portrait.width / 2 + shift
        box = (*(middle - size / 2), *(middle + size / 2))
        face = portrait.rotate(roll, Image.Resampling.BICUBIC, fillcolor=128).filter(ImageFilter.GaussianBlur(blur * (1 - share)))
        face = face.crop(tuple(map(int, box))).resize((SIDE, SIDE), Image.Resampling.BICUBIC)
        levels = grey + (0.3 + 0.7 * share) * (np.asarray(face, np.float64) * light - grey)
        yield Image.fromarray(np.clip(levels + random.normal(0, 4, levels.shape), 0, 255).astype(np.uint8))


def main(folder):
    portrait = Image.open(PORTRAIT).convert("L").resize((160, 160), Image.Resampling.BICUBIC)
    random = np.random.default_rng(5)
    for part, pairs in PAIRS.items():
        for pair in range(pairs):
            made = list(frames(random, portrait))
            for name, order in (("Surprise", made), ("Neutral", made[::-1])):
                clip = folder / part / name / f"{pair:04}"
                clip.mkdir(parents=True, exist_ok=True)
                for time, frame in enumerate(order):
                    frame.save(clip / f"{time:02}.png")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
