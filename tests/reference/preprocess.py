"""Writes fixture preprocess: pictures of many sizes and what Pillow makes of them (shorter side bicubic, centre crop).

Run: python tests/reference/preprocess.py
Used: pillow 13.0.0, numpy 2.4.6, scikit-image 0.26.0.
"""
import numpy as np
from PIL import Image
from skimage.data import astronaut

from fixture import folder, save_json

NOTE = """
`cases.json`: for each input picture, the side, whether it is made grey first (Pillow's `convert("L")`), and the expected picture.
Resize: shorter side to `side`, longer side int(side * long / short), Pillow's antialiased bicubic on 8-bit values; then a centre
crop at round((length - side) / 2), halves to the even number, as torchvision (and so CLIP) does it.
The face is NASA's portrait of Eileen Collins (public domain), from scikit-image.
"""


def drawn(width, height, seed):
    """A colour gradient with hard-edged stripes, a disc and a patch of noise."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    picture = np.stack(
        [x * 255 // max(width - 1, 1), y * 255 // max(height - 1, 1), (x + y) * 255 // max(width + height - 2, 1)], -1
    )
    picture[(x * 7 // max(width, 7) % 3 == 1) & (y < height // 3)] = (255, 255, 255)
    picture[(x - width * 0.6) ** 2 + (y - height * 0.6) ** 2 < (min(width, height) * 0.2) ** 2] = (200, 0, 30)
    picture[(x // 2 + y // 2) % 2 * (x < width // 4) * (y > height * 3 // 4) == 1] = (0, 0, 0)
    w, h = min(width, 60), min(height, 60)
    top, left = (height - h) // 3, (width - w) // 2
    picture[top:top + h, left:left + w] = random.integers(0, 256, (h, w, 3))
    return Image.fromarray(picture.astype(np.uint8))


def face(width, height):
    """The portrait, cut to the shape wanted and resized."""
    return Image.fromarray(astronaut()).crop((96, 0, 352, round(256 * height / width))).resize((width, height), Image.LANCZOS)


def prepare(picture, side):
    width, height = picture.size
    short, long = min(width, height), max(width, height)
    other = int(side * long / short)
    picture = picture.resize((side, other) if width <= height else (other, side), Image.BICUBIC)
    left, top = int(round((picture.width - side) / 2.0)), int(round((picture.height - side) / 2.0))
    return picture.crop((left, top, left + side, top + side))


INPUTS = {
    "drawn-640x480": drawn(640, 480, 1),
    "drawn-480x640": drawn(480, 640, 2),
    "face-160x200": face(160, 200),
    "face-224x224": face(224, 224),
    "drawn-48x48": drawn(48, 48, 3),
    "drawn-37x53": drawn(37, 53, 4),
    "drawn-1x1": drawn(1, 1, 5),
    "drawn-1000x17": drawn(1000, 17, 6),
    "drawn-100x107": drawn(100, 107, 7),
    "drawn-111x100": drawn(111, 100, 8),
    "drawn-2x3": drawn(2, 3, 9),
}
LARGE = ["drawn-640x480", "face-160x200", "face-224x224"]

path = folder("preprocess", __file__, NOTE)
cases = []
for name, picture in INPUTS.items():
    picture.save(path / f"{name}.png", optimize=True)
    for side, grey in [(48, False), (48, True)] + [(224, False)] * (name in LARGE):
        expected = f"{name}-{side}{'-grey' if grey else ''}.expected.png"
        prepare(picture.convert("L") if grey else picture, side).save(path / expected, optimize=True)
        cases.append({"input": f"{name}.png", "side": side, "grey": grey, "expected": expected})
save_json(path / "cases.json", cases)
