"""What taking a person's own neutral face out of answers is worth: accuracy and mean recall by the share that is taken out.

    python3 tests/bench/scripts/neutral.py FACES.npz [EMBEDDINGS.json]

FACES.npz: `images` u8 [N, side, side] (squares 1.3 times the detector's box), `labels` bool [N, 8], `label_names`, `person` i32 [N].
EMBEDDINGS.json: what `cargo pkg embed --json` printed of the crops; made here without it. Of every person with at least three
neutral pictures and another one each picture is answered with the mean of at most five of them as the neutral face, never the picture itself.
Half of the people choose the share, the others say what it is worth. Needs numpy, pillow and safetensors.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image
from safetensors.numpy import load_file

BUNDLE = Path("pkg-build/models/ferplus-small")
SHARES = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.7, 1.0)


def embed(images, places):
    """The crops' embeddings, as the command line makes them of FER2013's framing."""
    side = images.shape[1]
    inner = round(side / 1.3)
    first = (side - inner) // 2
    with tempfile.TemporaryDirectory() as folder:
        files = []
        for place in places:
            files.append(str(Path(folder) / f"{place:06d}.png"))
            Image.fromarray(images[place, first : first + inner, first : first + inner]).save(files[-1])
        command = ["cargo", "pkg", "embed", "--bundle", str(BUNDLE), "--json", *files]
        return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def main():
    faces = np.load(sys.argv[1])
    manifest = json.loads((BUNDLE / "model.json").read_text())
    names = [expression["name"] for expression in manifest["expressions"]]
    labels, persons = faces["labels"].astype(int), faces["person"]
    order = [names.index(str(name)) for name in faces["label_names"]]
    # A picture with two labels, or none, is no example.
    truth = np.array([order[row.argmax()] if row.sum() == 1 else -1 for row in labels])
    neutral = names.index("neutral")
    rest, other = truth == neutral, (truth >= 0) & (truth != neutral)
    often = {person for person in np.unique(persons) if rest[persons == person].sum() >= 3 and other[persons == person].any()}
    places = [place for place, person in enumerate(persons) if person in often]
    printed = json.loads(Path(sys.argv[2]).read_text()) if len(sys.argv) > 2 else embed(faces["images"], places)
    found = {int(Path(image["path"]).stem): np.array(image["embedding"]) for image in printed["images"]}
    places = [place for place in places if place in found]
    unit = {place: found[place] / np.linalg.norm(found[place]) for place in places}

    tensors = load_file(BUNDLE / "descriptors.safetensors")
    sizes = [len(expression["descriptors"]) for expression in manifest["expressions"]]
    rows = np.stack([part.mean(0) for part in np.split(tensors["embeddings"], np.cumsum(sizes)[:-1])])
    usual = tensors["faces.means"][neutral]
    of_person = {}
    for place in places:
        of_person.setdefault(int(persons[place]), []).append(place)
    people = {person: own for person, own in of_person.items() if sum(truth[place] == neutral for place in own) >= 3}
    chosen = set(sorted(people)[::2])
    print(f"{len(people)} people, {len(chosen)} of them choose")
    for share in SHARES:
        answers = {True: [], False: []}
        for person, own in people.items():
            for place in (place for place in own if truth[place] >= 0):
                neutrals = [one for one in own if truth[one] == neutral and one != place][:5]
                difference = np.mean([unit[one] for one in neutrals], 0) - usual
                top = (rows @ (unit[place] - share * difference)).argmax()
                answers[person in chosen].append((truth[place], top))
        line = []
        for half in (True, False):
            wanted, got = np.array(answers[half]).T
            often = [label for label in np.unique(wanted) if (wanted == label).sum() >= 10]
            recalls = [(got[wanted == label] == label).mean() for label in often]
            line.append(f"{len(wanted)} pictures: {100 * (wanted == got).mean():.2f} %, mean recall {100 * np.mean(recalls):.2f} %")
        print(f"share {share}: {'; '.join(line)}")


if __name__ == "__main__":
    main()
