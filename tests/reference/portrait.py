"""Writes the demo portrait, its credit, and a fake-camera clip of it for Chromium.

Run: python tests/reference/portrait.py
Used: pillow 13.0.0, scikit-image 0.26.0.
"""
import io
from math import cos, pi, sin

from PIL import Image, ImageEnhance
from skimage.data import astronaut

from fixture import FIXTURES, ROOT

LEFT, TOP, SIDE = 170, 69, 112  # the face in the photo: hairline to chin, ear to ear
WIDTH, HEIGHT, FRAMES = 320, 240, 30
CREDITS = """\
# Credits

- `portrait.jpg`: NASA's portrait of the astronaut Eileen Collins, public domain; cut from the copy in scikit-image
  (`skimage.data.astronaut`) by `tests/reference/portrait.py`. The same picture, moved, zoomed and faded, is the test clip
  `tests/fixtures/portrait.mjpeg`. Using it here implies no endorsement by NASA or by the person shown.
"""

photo = Image.fromarray(astronaut())
demo = ROOT / "www" / "demo"
demo.mkdir(parents=True, exist_ok=True)
FIXTURES.mkdir(parents=True, exist_ok=True)
face = photo.resize((2 * SIDE, 2 * SIDE), Image.BICUBIC, (LEFT, TOP, LEFT + SIDE, TOP + SIDE))
face.save(demo / "portrait.jpg", quality=90)
(demo / "CREDITS.md").write_text(CREDITS, encoding="utf-8")

clip = b""
for i in range(FRAMES):
    turn = 2 * pi * i / FRAMES  # a whole turn: the clip repeats without a jump
    height = SIDE * (1 + 0.05 * cos(turn))
    width = height * WIDTH / HEIGHT
    x = LEFT + SIDE / 2 + 0.05 * SIDE * sin(turn)
    y = TOP + SIDE / 2 + 0.025 * SIDE * sin(2 * turn)
    box = (x - width / 2, y - height / 2, x + width / 2, y + height / 2)
    frame = photo.resize((WIDTH, HEIGHT), Image.BICUBIC, box)
    frame = ImageEnhance.Brightness(frame).enhance(0.95 + 0.15 * cos(turn + 1))
    data = io.BytesIO()
    frame.save(data, "JPEG", quality=85)
    clip += data.getvalue()
(FIXTURES / "portrait.mjpeg").write_bytes(clip)
