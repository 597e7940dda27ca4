#!/usr/bin/env bash
# Package: transformers 5.24.0 (with torchvision 0.27.1, torch 2.12.1, pillow 13.0.0).
# Guess: CLIPImageProcessor crops the middle as torchvision's CenterCrop does, which OpenAI's CLIP was trained and published with.
# Behaviour: where an odd number of pixels is cut off, torchvision rounds half to even and transformers down: every second odd crop
#   begins one pixel earlier.
# Seen: 11 pixels to 8: torchvision begins at 2, transformers at 1
# Fetches PyPI's torch with its CUDA libraries: several GB, in a folder that goes with the script.
set -euo pipefail
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/venv"
"$place/venv/bin/pip" install --quiet transformers==5.24.0 torch==2.12.1 torchvision==0.27.1 pillow==13.0.0
"$place/venv/bin/python" - <<'P'
import torch
from torchvision.transforms.functional import center_crop
from transformers import CLIPImageProcessor

row = torch.arange(11, dtype=torch.uint8).repeat(3, 8, 1)
settings = dict(do_resize=False, do_rescale=False, do_normalize=False, crop_size={"height": 8, "width": 8})
ours = int(CLIPImageProcessor(**settings)(row, return_tensors="pt")["pixel_values"][0, 0, 0, 0])
theirs = int(center_crop(row, [8, 8])[0, 0, 0])
print(f"11 pixels to 8: torchvision begins at {theirs}, transformers at {ours}")
assert (theirs, ours) == (2, 1), (theirs, ours)
P
