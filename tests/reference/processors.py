"""Writes fixture processors: what transformers' and open_clip's own preprocessing makes of pictures, by the files that say how.

Run: python tests/reference/processors.py
Used: transformers 5.24.0, open_clip_torch 3.3.0, torchvision 0.27.1, torch 2.12.1, pillow 13.0.0.
"""
import json
import tempfile
from pathlib import Path

import torch
from open_clip.transform import PreprocessCfg, image_transform_v2
from PIL import Image
from transformers import CLIPImageProcessor, CLIPProcessor, CLIPTokenizer

from fixture import FIXTURES, folder, save, save_json

NOTE = """
`cases.json`: for each case the file's name and content, and the picture (of fixture preprocess). `expected.safetensors`: the
pixels `[3, 24, 24]` that the library hands to the model, by the case's name and the picture's.
"""

SIDE = 24
PICTURES = ["drawn-100x107", "drawn-111x100", "face-160x200"]
PLAIN = {"size": {"shortest_edge": SIDE}, "crop_size": {"height": SIDE, "width": SIDE}}
HALF = {"image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5]}

TRANSFORMERS = {
    "plain": PLAIN,
    "statistics": PLAIN | HALF,
    "bilinear": PLAIN | {"resample": 2},
    "resized_to_40": PLAIN | {"size": {"shortest_edge": 40}},
    "resized_to_20": PLAIN | {"size": {"shortest_edge": 20}},
    "squashed": PLAIN | {"size": {"height": SIDE, "width": SIDE}, "do_center_crop": False},
    "squashed_to_40": PLAIN | {"size": {"height": 40, "width": 40}},
    "not_normalised": PLAIN | {"do_normalize": False},
    "rescaled": PLAIN | HALF | {"rescale_factor": 1 / 127.5, "image_mean": [1.0, 1.0, 1.0]},
    "not_rescaled": PLAIN | {"do_rescale": False, "image_mean": [127.5] * 3, "image_std": [127.5] * 3},
}
OPEN_CLIP = {
    "plain": {},
    "statistics": {"mean": [0.5, 0.4, 0.3], "std": [0.25, 0.5, 0.125]},
    "squash": {"resize_mode": "squash"},
    "longest": {"resize_mode": "longest"},
    "longest_filled": {"resize_mode": "longest", "fill_color": 127},
    "bilinear": {"interpolation": "bilinear"},
    "random": {"interpolation": "random"},
    "squash_bilinear": {"resize_mode": "squash", "interpolation": "bilinear"},
}

cases, expected = [], {}


def add(name, file, content, process):
    for picture in PICTURES:
        pixels = process(Image.open(FIXTURES / "preprocess" / f"{picture}.png").convert("RGB"))
        assert tuple(pixels.shape) == (3, SIDE, SIDE), (name, pixels.shape)
        expected[f"{name}/{picture}"] = pixels
    cases.append({"name": name, "file": file, "content": content})


for name, settings in TRANSFORMERS.items():
    processor = CLIPImageProcessor(**settings)
    content = json.loads(processor.to_json_string())
    add(f"transformers/{name}", "preprocessor_config.json", content,
        lambda picture: processor(picture, return_tensors="pt")["pixel_values"][0])

# What `CLIPProcessor` itself saves: the statistics lie in one file with the tokenizer's name.
with tempfile.TemporaryDirectory() as place:
    vocabulary = {"<|startoftext|>": 0, "<|endoftext|>": 1, "a</w>": 2}
    processor = CLIPProcessor(CLIPImageProcessor(**PLAIN, **HALF), CLIPTokenizer(vocab=vocabulary, merges=[]))
    processor.save_pretrained(place)
    assert not (Path(place) / "preprocessor_config.json").exists()
    content = json.loads((Path(place) / "processor_config.json").read_text())
    add("transformers/processor", "processor_config.json", content,
        lambda picture: processor.image_processor(picture, return_tensors="pt")["pixel_values"][0])

for name, settings in OPEN_CLIP.items():
    # `size` counts for nothing in the file: open_clip takes the model's.
    transform = image_transform_v2(PreprocessCfg(size=SIDE, **settings), is_train=False)
    add(f"open_clip/{name}", "open_clip_config.json", {"preprocess_cfg": {"size": 224, "mode": "RGB", **settings}}, transform)

path = folder("processors", __file__, NOTE)
save(path / "expected.safetensors", {name: torch.as_tensor(pixels) for name, pixels in expected.items()})
save_json(path / "cases.json", {"side": SIDE, "pictures": PICTURES, "cases": cases}, indent=1)
