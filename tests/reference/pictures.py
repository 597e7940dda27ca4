"""Writes fixture pictures: the portrait as JPEG XL and AVIF, and an AVIF that its header turns.

Run: python tests/reference/pictures.py, with cjxl (Debian's libjxl-tools 0.7.0) on the PATH.
Used: pillow 13.0.0.
"""
import subprocess
import tempfile
from pathlib import Path

from PIL import Image

from fixture import folder

NOTE = """
The demo's portrait. `turned.avif` lies on its side and says so in its header, by `irot`.
"""

path = folder("pictures", __file__, NOTE)
portrait = Image.open(Path(__file__).parents[2] / "www/demo/portrait.jpg").convert("RGB")
lying = portrait.transpose(Image.Transpose.ROTATE_90)
exif = Image.Exif()
exif[0x0112] = 6
portrait.save(path / "portrait.avif", quality=80)
lying.save(path / "turned.avif", quality=80, exif=exif)
with tempfile.TemporaryDirectory() as aside:
    png = Path(aside) / "portrait.png"
    portrait.save(png)
    subprocess.run(["cjxl", "--quiet", png, path / "portrait.jxl"], check=True)
