"""Whole runs: two processes learn what one does, a run whose process died goes on to the same bits, and what comes out is a run folder."""
import contextlib
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path

import made
import torch
from safetensors.torch import load_file

import distil
from faces import read_ferplus
from training import Settings, measure

# Of losses of about 40: sums of f32 in another order.
SAME = 1e-4
EPOCHS = 4


def processes_of(parent):
    """What a process started, with all that those started."""
    found = []
    for task in Path(f"/proc/{parent}/task").glob("*/children"):
        for child in map(int, task.read_text().split()):
            found += [child, *processes_of(child)]
    return found


class RunsTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.kept = tempfile.TemporaryDirectory()
        cls.folder = Path(cls.kept.name)
        made.ferplus(cls.folder)
        made.face_nets(cls.folder / "nets")
        made.mux(cls.folder / "mux.npz")
        made.run(cls.folder / "start")
        cls.whole = cls.train("whole")
        # Dropout is drawn in each process by itself, so whoever is compared has the same teachers.
        for run in ("two", "died"):
            (cls.folder / run / "work").mkdir(parents=True)
            for name in ("faceres.pt", "faceres-deep.pt"):
                shutil.copy(cls.whole / "work" / name, cls.folder / run / "work")
        cls.two = cls.finish(cls.launch("two"))

    @classmethod
    def tearDownClass(cls):
        cls.kept.cleanup()

    @classmethod
    def arguments(cls, output, start="start", *more):
        usual = {"from": start, "ferplus": "ferplus", "fer2013": "fer2013.csv", "face-nets": "nets", "output": output}
        words = [word for name, place in usual.items() for word in (f"--{name}", str(cls.folder / place))]
        return [*words, *f"--device cpu --precision f32 --batch 16 --teacher-batch 16 --epochs {EPOCHS} --teacher-epochs 1".split(),
                "--further", f"mux:{cls.folder / 'mux.npz'}", "--occluders", "0.3", *more]

    @classmethod
    def train(cls, output, start="start", *more):
        """In this very process; gives the run's folder."""
        with contextlib.redirect_stdout(io.StringIO()) as said:
            distil.main(cls.arguments(output, start, *more))
        cls.said = said.getvalue()
        return cls.folder / output

    @classmethod
    def launch(cls, output, *more):
        """Two processes, by torchrun."""
        command = [sys.executable, *"-m torch.distributed.run --standalone --nproc-per-node 2".split(), str(made.SCRIPTS / "distil.py")]
        return subprocess.Popen([*command, *cls.arguments(output, "start", *more)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    @staticmethod
    def finish(process):
        """Waits for a run, and gives what it said."""
        said = process.communicate(timeout=300)[0]
        if process.returncode:
            raise AssertionError(said)
        return said

    def history(self, run):
        return json.loads((run / "state.json").read_text())["history"]

    def test_two_processes_learn_what_one_does(self):
        one, two = self.history(self.whole), self.history(self.folder / "two")
        self.assertEqual(len(one), EPOCHS)
        for each, other in zip(one, two):
            self.assertLess(abs(each["loss"] - other["loss"]), SAME, self.two)
        weights, others = (load_file(run / "averaged.safetensors") for run in (self.whole, self.folder / "two"))
        for name, value in weights.items():
            self.assertLess((value - others[name]).norm() / (value.norm() + 1e-3), 1e-2, name)
        # And it learned: the equality is not one of nets that stand still.
        self.assertLess(one[-1]["loss"], one[0]["loss"] - 1)

    def test_a_run_whose_process_died_goes_on_to_the_same_bits(self):
        place = self.folder / "died/work/student.pt"
        process = self.launch("died")
        begun = time.time()
        while not place.is_file() and process.poll() is None and time.time() < begun + 300:
            time.sleep(0.01)
        workers = [child for child in processes_of(process.pid)
                   if b"distil.py" in Path(f"/proc/{child}/cmdline").read_bytes()]
        os.kill(workers[-1], signal.SIGKILL)
        said = process.communicate(timeout=120)[0]
        self.assertNotEqual(process.returncode, 0, said)
        self.assertFalse((self.folder / "died/state.json").exists(), said)
        done = len(torch.load(place)["history"])
        self.assertTrue(1 <= done < EPOCHS, done)
        said = self.finish(self.launch("died"))
        self.assertIn(f"student: going on after epoch {done} of {EPOCHS}", said)
        self.assertIn("faceres: going on after epoch 1 of 1", said)
        losses = [[each["loss"] for each in self.history(self.folder / run)] for run in ("died", "two")]
        self.assertEqual(*losses)
        weights, others = (load_file(self.folder / run / "averaged.safetensors") for run in ("died", "two"))
        self.assertTrue(all((value == others[name]).all() for name, value in weights.items()))

    def test_what_comes_out_is_a_run(self):
        state = json.loads((self.whole / "state.json").read_text())
        self.assertEqual(state["config"]["batch"], 16)
        self.assertIn("--occluders 0.3", state["distilled"]["command"])
        self.assertIn("--further mux:mux.npz", state["distilled"]["command"])
        self.assertIn("the faces of mux, whose own terms hold", state["distilled"]["teachers"][-1])
        self.assertTrue((self.whole / "start/state.json").is_file())
        self.assertEqual(json.loads((self.whole / "trained-on.json").read_text()), {"data": "FER+, mux", "count": 79 + 36})
        report = json.loads((self.whole / "report.json").read_text())
        # Of four held-back pictures one has two labels.
        self.assertEqual(report["finished"]["held back of mux"]["count"], 3)
        averaged, best = (load_file(self.whole / f"{name}.safetensors") for name in ("averaged", "best"))
        self.assertEqual(set(averaged) - set(best), {name for name in averaged if ".norm." in name})
        self.train("whole")
        self.assertIn("is finished", self.said)

    def test_it_starts_from_a_bundle_and_from_a_run_that_did(self):
        made.run(self.folder / "deployed", deployed=True)
        made.bundle(self.folder / "bundle", "int8", learned=True)
        _, validation = read_ferplus(self.folder / "ferplus", self.folder / "fer2013.csv", self.folder / "sets")
        expected = measure(made.encoder(), validation, Settings(torch.device("cpu"), kind=torch.float32)).war
        few = ["--epochs", "1", "--limit", "32", "--rate", "1e-4"]
        for start in ("deployed", "bundle"):
            run = self.train(f"from-{start}", start, *few)
            self.assertEqual(json.loads((run / "trained-on.json").read_text())["limit"], 32)
            found = json.loads((run / "report.json").read_text())["started"]["FER+ validation"]["war"]
            # Eight bits may move an answer or two of a drawn encoder, which is sure of none.
            self.assertLessEqual(abs(found - expected), 2.5 / made.VALIDATION if start == "bundle" else 1e-6)
        origin = json.loads((self.folder / "from-bundle/origin.json").read_text())
        self.assertEqual(origin["name"], "drawn")

    @unittest.skipUnless("CLIPER_PKG" in os.environ, "CLIPER_PKG names no program of `cargo pkg`")
    def test_cargo_pkg_packs_it(self):
        made.bundle(self.folder / "packed-start")
        for run in (self.whole, self.train("for-packing", "packed-start", "--epochs", "1")):
            bundle = self.folder / f"{run.name}-bundle"
            packed = subprocess.run([os.environ["CLIPER_PKG"], "pack", "--checkpoint", run, "--output", bundle, "--name", "drawn", "--data",
                                     f"ferplus:{self.folder / 'ferplus'}", "--card-data", f"fer2013:{self.folder / 'fer2013.csv'}"],
                                    cwd=made.ROOT, capture_output=True, text=True)
            self.assertEqual(packed.returncode, 0, packed.stderr)
            card = (bundle / "CARD.md").read_text()
            for said in ("Taught by HSE-FaceRes' `faceres-deep`", "distil.py", "START is"):
                self.assertIn(said, card)


if __name__ == "__main__":
    unittest.main()
