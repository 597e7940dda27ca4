"""Sets are read into files, refused by name where their labels are not what they say, and shown by an order of their own."""
import tempfile
import unittest
from pathlib import Path

import made
import numpy as np
from PIL import Image

from changes import plain
from faces import EXPRESSIONS, LABELS, Epoch, FurtherSet, loader, order, read_ferplus


class SetsTest(unittest.TestCase):
    def setUp(self):
        self.folder = Path(self.enterContext(tempfile.TemporaryDirectory()))

    def refused(self, action, *said):
        with self.assertRaises(SystemExit) as error:
            action()
        for each in said:
            self.assertIn(each, str(error.exception))

    def test_ferplus_is_kept_on_disk_as_it_is(self):
        ferplus, fer2013 = made.ferplus(self.folder)
        training, validation = read_ferplus(ferplus, fer2013, self.folder / "sets")
        self.assertEqual((len(training), len(validation)), (made.TRAINING - 5, made.VALIDATION))
        self.assertIsInstance(training.parts[0], np.memmap)
        # The first row, the twentieth after it, ... are held back.
        first = np.asarray(Image.open(ferplus / "FER2013Train/1.png"))
        np.testing.assert_allclose(training.plain(0, 1, "cpu")[0, 0] * 255, first, atol=1e-4)
        np.testing.assert_allclose(training.votes[0], [0, 0.7, 0.3, 0, 0, 0, 0, 0], atol=1e-6)
        self.assertEqual(training.labels[0].argmax(), 1)
        contempt = training.majority == EXPRESSIONS.index("contempt")
        self.assertFalse(training.labels[contempt].any())

    def test_labels_in_another_order_are_refused(self):
        ferplus, fer2013 = made.ferplus(self.folder, numbers=[0, 1, 2, 3, 4, 5, 6])
        self.refused(lambda: read_ferplus(ferplus, fer2013, self.folder / "sets"), str(fer2013), "agrees with the votes on", "angry")

    def test_a_picture_with_two_labels_is_half_of_each(self):
        ferplus, fer2013 = made.ferplus(self.folder)
        rows = fer2013.read_text().splitlines()
        # The second row is the first picture that is trained on: once more, as FER2013's 0, anger.
        fer2013.write_text("\n".join([*rows, f"0,{rows[2].split(',')[1]},Training"]) + "\n")
        training, _ = read_ferplus(ferplus, fer2013, self.folder / "sets")
        np.testing.assert_allclose(training.labels[0], [0, 0.5, 0, 0, 0.5, 0, 0])
        training, held_back = FurtherSet(f"mux:{made.mux(self.folder / 'mux.npz')}").read(self.folder / "sets")
        both = held_back.votes[0]
        np.testing.assert_allclose(both, [0.5, 0.5, 0, 0, 0, 0, 0, 0])

    def test_people_are_held_back_whole(self):
        further = FurtherSet(f"mux:{made.mux(self.folder / 'mux.npz')}")
        training, held_back = further.read(self.folder / "sets")
        self.assertEqual((len(training), len(held_back)), (36, 4))
        self.assertFalse(set(further.person[further.held_back]) & set(further.person[~further.held_back]))
        self.assertTrue((training.further == 1).all() and not training.labels.any())
        # A third wider than its face: the middle is what the net sees.
        self.assertEqual(plain(training.pictures(np.array([0]))).shape, (1, 1, 48, 48))

    def test_what_does_not_fit_its_name_is_refused(self):
        names = [*EXPRESSIONS[:7], "sleepy"]
        self.refused(lambda: FurtherSet(f"mux:{made.mux(self.folder / 'a.npz', names)}"), "a.npz", "sleepy", "contempt")
        np.savez(self.folder / "b.npz", images=np.zeros((3, 96, 96), np.uint8), labels=np.zeros((3, 8), bool),
                 label_names=EXPRESSIONS, person=np.zeros(2))
        self.refused(lambda: FurtherSet(f"mux:{self.folder / 'b.npz'}"), "b.npz", "don't belong together")
        np.savez(self.folder / "c.npz", images=np.zeros((3, 96, 96), np.uint8))
        self.refused(lambda: FurtherSet(f"mux:{self.folder / 'c.npz'}"), "c.npz", "no array `label_names`")
        np.savez(self.folder / "d.npz", images=np.zeros((3, 96, 96), np.uint8), labels=np.zeros((3, 8), bool),
                 label_names=EXPRESSIONS, person=np.zeros(3))
        self.refused(lambda: FurtherSet(f"mux:{self.folder / 'd.npz'}"), "picture 0 has no label")
        (self.folder / "classes/happy").mkdir(parents=True)
        self.refused(lambda: FurtherSet(f"folders:{self.folder / 'classes'}"), "classes", "happy", "happiness")
        self.refused(lambda: FurtherSet("rafdb:somewhere"), "mux:FILE, folders:FOLDER or affectnet:FOLDER")

    def test_folders_of_classes_are_read(self):
        for name in ("anger", "fear"):
            (self.folder / "classes" / name).mkdir(parents=True)
            for index in range(10):
                Image.new("RGB", (80, 60), (index, index, index)).save(self.folder / f"classes/{name}/{index}.jpg")
        training, held_back = FurtherSet(f"folders:{self.folder / 'classes'}").read(self.folder / "sets")
        self.assertEqual((len(training), len(held_back)), (18, 2))
        self.assertEqual(set(training.majority), {EXPRESSIONS.index("anger"), EXPRESSIONS.index("fear")})

    def test_affectnet_is_read_in_its_own_order_of_labels(self):
        part = self.folder / "affectnet/train_set"
        for folder in ("images", "annotations"):
            (part / folder).mkdir(parents=True)
        self.refused(lambda: FurtherSet(f"affectnet:{self.folder / 'affectnet'}"), "train_set/annotations")
        # As text, as AffectNet has them, and as numbers; 8 is none, and its picture is not needed.
        for name, label in {"10": "2", "11": np.int64(3), "12": "6", "13": "8"}.items():
            np.save(part / f"annotations/{name}_exp.npy", label)
            if label != "8":
                Image.new("RGB", (224, 224), (int(name), int(name), int(name))).save(part / f"images/{name}.png", "PNG")
                (part / f"images/{name}.png").rename(part / f"images/{name}.jpg")
        training, held_back = FurtherSet(f"affectnet:{self.folder / 'affectnet'}").read(self.folder / "sets")
        self.assertEqual([EXPRESSIONS[index] for each in (held_back, training) for index in each.majority], ["sadness", "surprise", "anger"])
        self.assertEqual([int(each) for each in training.pictures(np.arange(2))[:, 30, 30]], [11, 12])
        for wrong in ("eleven", 1.5, 11):
            np.save(part / "annotations/14_exp.npy", wrong)
            self.refused(lambda: FurtherSet(f"affectnet:{self.folder / 'affectnet'}"), "14_exp.npy", "0 to 10")
        np.save(part / "annotations/14_exp.npy", 0)
        self.refused(lambda: FurtherSet(f"affectnet:{self.folder / 'affectnet'}").read(self.folder / "more"), "14.jpg is missing")

    def test_an_epoch_follows_from_its_seed_and_evens_classes_out(self):
        ferplus, fer2013 = made.ferplus(self.folder)
        own, _ = read_ferplus(ferplus, fer2013, self.folder / "sets")
        further, _ = FurtherSet(f"mux:{made.mux(self.folder / 'mux.npz')}").read(self.folder / "sets")
        faces = own + further
        drawn = order(faces, 1.0, np.random.default_rng(1))
        counts = np.bincount(faces.majority[drawn[drawn < len(own)]])
        self.assertLessEqual(counts.max() - counts.min(), 1)
        self.assertEqual(sorted(drawn[drawn >= len(own)]), list(range(len(own), len(faces))))
        epoch = Epoch(faces, 0.15, 0.2, seed=1)
        batches = loader(epoch, 16, 1, 0, False)
        read = lambda number: (epoch.begin(number), batches.sampler.set_epoch(number), [batch["keys"] for batch in batches])[2]
        first, second, again = read(1), read(2), read(1)
        self.assertTrue(all((a == b).all() for a, b in zip(first, again)))
        self.assertFalse(all((a == b).all() for a, b in zip(first, second)))
        batch = next(iter(batches))
        self.assertEqual(batch["pictures"].shape, (32, 64, 64))
        self.assertEqual(len(LABELS), batch["labels"].shape[1])


if __name__ == "__main__":
    unittest.main()
