"""Writes fixture orientation: one picture with every EXIF orientation, as cameras save it.

Run: python tests/reference/orientation.py
Used: pillow 13.0.0.
"""
from PIL import Image, ImageOps

from fixture import folder

NOTE = """
`upright.png` is what every viewer shows of `exif1.jpg` to `exif8.jpg` and of `exif6.png` (Pillow's `ImageOps.exif_transpose` gives it
too). `exif6.webp` says the same, and browsers leave it as it lies: `lying.png`.
"""

path = folder("orientation", __file__, NOTE)
upright = Image.new("RGB", (64, 48))
for index, level in enumerate([250, 20, 130, 200, 60, 10, 90, 170, 40, 220, 110, 0]):
    left, top = index % 4 * 16, index // 4 * 16
    upright.paste((level, level, level), (left, top, left + 16, top + 16))
upright.save(path / "upright.png")
# How the sensor saw it, for each way of turning that back.
LYING = {1: None, 2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180, 4: Image.Transpose.FLIP_TOP_BOTTOM,
         5: Image.Transpose.TRANSPOSE, 6: Image.Transpose.ROTATE_90, 7: Image.Transpose.TRANSVERSE, 8: Image.Transpose.ROTATE_270}


def save(number, ending, **options):
    exif = Image.Exif()
    exif[0x0112] = number
    lying = upright if LYING[number] is None else upright.transpose(LYING[number])
    file = path / f"exif{number}.{ending}"
    lying.save(file, exif=exif, **options)
    turned = ImageOps.exif_transpose(Image.open(file)).convert("RGB")
    assert turned.size == upright.size
    assert max(abs(a - b) for a, b in zip(turned.tobytes(), upright.tobytes())) < 4
    return lying


for number in LYING:
    save(number, "jpg", quality=95, subsampling=0)
save(6, "png")
save(6, "webp", lossless=True).save(path / "lying.png")
