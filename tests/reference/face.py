"""Writes fixture face: raw outputs, boxes and key points of the BlazeFace short-range file by LiteRT.

Run: python tests/reference/face.py face_detection_short_range.tflite
The file is in the npm package @mediapipe/face_detection 0.4.1657300184.
Used: ai-edge-litert 2.3.0, numpy 2.4.6, pillow 13.0.0, scikit-image 0.26.0, torch 2.15.0, safetensors 0.8.0.
"""
import sys
from math import cos, pi, radians, sin

import numpy as np
import torch
from ai_edge_litert.interpreter import Interpreter
from PIL import Image
from skimage.data import astronaut

from fixture import folder, save, save_json

SIDE = 128
NOTE = """
`parity.safetensors`: raw `scores` [2,896] and `boxes` [2,896,16] of LiteRT for two made inputs [128,128,3], from whole
numbers so that no picture has to be kept: value(x, y, channel) / 127.5 - 1 with
 input 0: value = (x * 4 + y * 3 * (channel + 1)) mod 256 within ((x - 64)^2 + (y - 60)^2) / 6 < 300, else
          (x * y + 91 * channel) mod 256;
 input 1: value = state >> 24 of state = state * 1664525 + 1013904223 (mod 2^32), from 1, in the order [y, x, channel].
`scenes.json` and `scene-*.jpg`: the portrait (NASA, public domain; see www/demo/CREDITS.md) at five sizes, shifted, rolled,
and turned on its side; for each the box and key points that the reference finds, in pixels, and its score.
The reference samples the square as MediaPipe does (bilinear, no antialiasing, black beside the picture), runs LiteRT,
and blends by weighted suppression (least score 0.5, overlap 0.3).
"""

interpreter = Interpreter(sys.argv[1], num_threads=1)
interpreter.allocate_tensors()
input_index = interpreter.get_input_details()[0]["index"]
outputs = {detail["name"]: detail["index"] for detail in interpreter.get_output_details()}
anchors = np.array(
    [((x + 0.5) / grid, (y + 0.5) / grid) for grid, n in ((16, 2), (8, 6)) for y in range(grid) for x in range(grid) for _ in range(n)]
)


def run(pixels):
    """[128,128,3] in -1..1 -> [896], [896,16]."""
    interpreter.set_tensor(input_index, pixels[None].astype(np.float32))
    interpreter.invoke()
    return interpreter.get_tensor(outputs["classificators"])[0, :, 0], interpreter.get_tensor(outputs["regressors"])[0]


def letterbox(picture):
    """Bilinear samples at the middles of the square's pixels, black where they fall beside the picture."""
    height, width, _ = picture.shape
    long = max(width, height)
    left, top = (width - long) / 2, (height - long) / 2
    out = np.zeros((SIDE, SIDE, 3))
    padded = np.pad(picture.astype(np.float64), ((1, 1), (1, 1), (0, 0)))
    for y in range(SIDE):
        for x in range(SIDE):
            sx = left + (x + 0.5) * long / SIDE - 0.5
            sy = top + (y + 0.5) * long / SIDE - 0.5
            if not (-1 < sx < width and -1 < sy < height):
                continue
            x0, y0 = int(np.floor(sx)), int(np.floor(sy))
            fx, fy = sx - x0, sy - y0
            corner = padded[y0 + 1:y0 + 3, x0 + 1:x0 + 3]
            out[y, x] = (corner * np.outer([1 - fy, fy], [1 - fx, fx])[..., None]).sum((0, 1))
    return out / 127.5 - 1, long, left, top


def overlap(a, b):
    across = min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0])
    down = min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1])
    shared = max(across, 0) * max(down, 0)
    return shared / (a[2] * a[3] + b[2] * b[3] - shared)


def detect(picture):
    """[(score, [x, y, width, height, 12 key point numbers])], in pixels, the surest first."""
    pixels, long, left, top = letterbox(picture)
    raw, boxes = run(pixels)
    scores = 1 / (1 + np.exp(-np.clip(raw, -100, 100).astype(np.float64)))
    values = boxes.astype(np.float64) / SIDE
    values[:, :2] += anchors
    values[:, 4:] += np.tile(anchors, 6)
    values[:, :2] -= values[:, 2:4] / 2
    rest = sorted([(scores[k], values[k]) for k in np.flatnonzero(scores >= 0.5)], key=lambda pair: -pair[0])
    found = []
    while rest:
        near = [pair for pair in rest if overlap(rest[0][1], pair[1]) > 0.3]
        mean = sum(score * value for score, value in near) / sum(score for score, _ in near)
        mean = mean * long
        mean[[0, 4, 6, 8, 10, 12, 14]] += left
        mean[[1, 5, 7, 9, 11, 13, 15]] += top
        found.append((rest[0][0], mean))
        rest = [pair for pair in rest if overlap(rest[0][1], pair[1]) <= 0.3]
    return found


path = folder("face", __file__, NOTE)
y, x, channel = np.meshgrid(np.arange(SIDE), np.arange(SIDE), np.arange(3), indexing="ij")
disc = np.where(((x - 64) ** 2 + (y - 60) ** 2) // 6 < 300, (x * 4 + y * 3 * (channel + 1)) % 256, (x * y + 91 * channel) % 256)
noise, state = [], 1
for _ in range(SIDE * SIDE * 3):
    state = (state * 1664525 + 1013904223) % 2**32
    noise.append(state >> 24)
made = [disc, np.array(noise).reshape(SIDE, SIDE, 3)]
raw = [run(values / 127.5 - 1) for values in made]
save(
    path / "parity.safetensors",
    {"scores": torch.tensor(np.stack([r[0] for r in raw])), "boxes": torch.tensor(np.stack([r[1] for r in raw]))},
)

photo = Image.fromarray(astronaut())
FACE = (223.0, 120.0)  # the middle of the face in the photo
LENGTH = 112.0  # hairline to chin
scenes = []


def scene(width, height, share, at, degrees):
    """The photo so that the face fills `share` of the height, its middle stands `at` (shares), rolled clockwise."""
    step = LENGTH / (share * height)
    turn = radians(degrees)
    c, s = cos(turn) * step, sin(turn) * step
    mx, my = at[0] * width, at[1] * height
    affine = (c, s, FACE[0] - c * mx - s * my, -s, c, FACE[1] + s * mx - c * my)
    # Twice as large, then halved: the photo shrinks by no more than about two, so that is antialiasing enough.
    big = photo.transform((2 * width, 2 * height), Image.AFFINE, (affine[0] / 2, affine[1] / 2, affine[2], affine[3] / 2, affine[4] / 2, affine[5]), Image.BICUBIC, fillcolor=(90, 100, 110))
    name = f"scene-{len(scenes):02}.jpg"
    big.resize((width, height), Image.BOX).save(path / name, quality=85)
    faces = detect(np.asarray(Image.open(path / name)))
    scenes.append({
        "file": name, "share": share, "at": at, "roll": degrees,
        "faces": [{"score": round(float(score), 5), "values": [round(float(v), 3) for v in values]} for score, values in faces],
    })
    print(name, share, at, degrees, [round(float(score), 3) for score, _ in faces])


for share in (0.2, 0.3, 0.45, 0.6, 0.8):
    for at in ((0.5, 0.5), (0.3, 0.45), (0.7, 0.55)):
        scene(320, 240, share, at, 0)
for degrees in (-30, -20, -10, 10, 20, 30):
    scene(320, 240, 0.4, (0.5, 0.5), degrees)
scene(180, 320, 0.3, (0.5, 0.4), 15)
save_json(path / "scenes.json", scenes, indent=None)

# Without loss, for what a browser and the native tool have to agree on: they decode JPEG differently.
Image.open(path / "scene-21.jpg").crop((0, 20, 180, 220)).save(path / "lossless.png", optimize=True)
