#!/usr/bin/env bash
# Package: transformers 5.24.0 (with torchvision 0.27.1, torch 2.12.1, pillow 13.0.0).
# Guess: CLIPImageProcessor gives the same pixels, to rounding, with its two backends (torchvision, Pillow).
# Behaviour: a picture smaller than the crop by an odd number of pixels is padded with the smaller half first by the torchvision
#   backend and with the larger half first by the Pillow backend: all pixels lie one row or column apart. No warning.
# Seen: torchvision backend: first row of the picture at 0; Pillow backend: at 1
# Fetches PyPI's torch with its CUDA libraries: several GB, in a folder that goes with the script.
set -euo pipefail
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/venv"
"$place/venv/bin/pip" install --quiet transformers==5.24.0 torch==2.12.1 torchvision==0.27.1 pillow==13.0.0
"$place/venv/bin/python" - <<'P'
from PIL import Image
from transformers import CLIPImageProcessor
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

picture = Image.new("RGB", (7, 7), (255, 255, 255))
settings = dict(do_resize=False, do_normalize=False, crop_size={"height": 8, "width": 8})
first = {}
for name, kind in [("torchvision", CLIPImageProcessor), ("Pillow", CLIPImageProcessorPil)]:
    pixels = kind(**settings)(picture, return_tensors="pt")["pixel_values"][0, 0]
    first[name] = int(pixels.sum(1).nonzero()[0])
    print(f"{name} backend: first row of the picture at {first[name]}")
assert first == {"torchvision": 0, "Pillow": 1}, first
P
