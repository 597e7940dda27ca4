#!/usr/bin/env bash
# Package: open_clip_torch 3.3.0 (with torchvision 0.27.1, torch 2.12.1, pillow 13.0.0).
# Guess: `interpolation: bilinear` in a model's preprocess_cfg holds for every size of model.
# Behaviour: a model that is not square with resize_mode `shortest` is resized bicubically whatever is asked for.
# Seen: square model: bilinear differs from bicubic; oblong model: bilinear equals bicubic
# Fetches PyPI's torch with its CUDA libraries: several GB, in a folder that goes with the script.
set -euo pipefail
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/venv"
"$place/venv/bin/pip" install --quiet open_clip_torch==3.3.0 torch==2.12.1 torchvision==0.27.1 pillow==13.0.0
"$place/venv/bin/python" - <<'P'
import torch
from PIL import Image
from open_clip.transform import PreprocessCfg, image_transform_v2

picture = Image.frombytes("L", (97, 61), bytes(i * 37 % 251 for i in range(97 * 61))).convert("RGB")


def same(size):
    one, other = (image_transform_v2(PreprocessCfg(size=size, interpolation=kind), is_train=False)(picture)
                  for kind in ["bilinear", "bicubic"])
    return torch.equal(one, other)


words = {True: "equals", False: "differs from"}
print(f"square model: bilinear {words[same(32)]} bicubic; oblong model: bilinear {words[same((32, 16))]} bicubic")
assert not same(32) and same((32, 16))
P
