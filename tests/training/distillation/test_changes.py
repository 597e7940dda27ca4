"""Changes follow from a picture's key alone, and each does what its name says."""
import unittest

import made  # noqa: F401
import torch

from changes import CANVAS, SIDE, Draws, change, normalise, occlude, photograph, plain


def pictures(count=16):
    return torch.randint(0, 256, (count, CANVAS, CANVAS), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))


class ChangesTest(unittest.TestCase):
    def test_numbers_are_even_normal_and_not_related(self):
        draws = Draws(torch.arange(20000))
        one, other = draws(1)[:, 0], draws(1)[:, 0]
        self.assertLess(abs(one.mean() - 0.5), 0.01)
        self.assertLess(abs(one.var() - 1 / 12), 0.002)
        self.assertLess(abs(torch.corrcoef(torch.stack([one, other]))[0, 1]), 0.03)
        self.assertLess(abs(torch.corrcoef(torch.stack([one[1:], one[:-1]]))[0, 1]), 0.03)
        normal = draws.normal(3).flatten()
        self.assertLess(abs(normal.mean()), 0.02)
        self.assertLess(abs(normal.std() - 1), 0.02)

    def test_a_picture_is_changed_alike_in_any_batch(self):
        keys, more = torch.arange(16) * 7919, {"normalised": 0.5, "photographs": 0.5, "occluders": 0.5, "margins": (1.0, 1.5)}
        together = change(pictures(), keys, more)
        apart = torch.cat([change(pictures()[half], keys[half], more) for half in (slice(0, 5), slice(5, 16))])
        torch.testing.assert_close(together, apart, rtol=0, atol=1e-6)
        self.assertGreater((change(pictures(), keys + 1, more) - together).abs().mean(), 0.01)
        self.assertTrue(((together >= 0) & (together <= 1)).all())

    def test_the_changes_of_augment_rs_stay_what_they_were_when_others_are_asked_for_of_no_picture(self):
        keys = torch.arange(16)
        asked = change(pictures(), keys, {"normalised": 0.0})
        torch.testing.assert_close(change(pictures(), keys), asked, rtol=0, atol=0)

    def test_a_face_stays_where_it_is_until_it_is_moved(self):
        kept = pictures()
        self.assertEqual(plain(kept).shape, (16, 1, SIDE, SIDE))
        torch.testing.assert_close(plain(kept)[3, 0, 5, 6], kept[3, 13, 14].float() / 255)

    def test_margins_say_how_much_is_seen(self):
        canvas = torch.zeros(64, CANVAS, CANVAS, dtype=torch.uint8)
        canvas[:, 24:40, 24:40] = 255
        seen = lambda margin: change(canvas, torch.arange(64), {"margins": (margin, margin)}).mean()
        self.assertGreater(seen(0.8), 1.3 * seen(1.1))
        self.assertGreater(seen(1.1), 1.3 * seen(1.5))

    def test_contrast_and_gamma_are_ferplus_after_normalising(self):
        for faces in (plain(pictures()) * 0.3, 0.7 + 0.3 * plain(pictures())):
            found = normalise(faces)
            self.assertLess(abs(found.mean() - 0.508), 0.04)
            self.assertLess(abs(found.std((1, 2, 3)).mean() - 0.255), 0.04)

    def test_occluders_cover_a_part_and_photographs_keep_the_face(self):
        faces = plain(pictures(400))
        covered = (occlude(faces, Draws(torch.arange(400))) != faces).float().mean((1, 2, 3))
        self.assertTrue(((covered > 0.01) & (covered < 0.75)).all(), covered.sort().values)
        smooth = torch.linspace(0, 1, SIDE).expand(400, 1, SIDE, SIDE)
        made_smaller = photograph(smooth, Draws(torch.arange(400)))
        self.assertTrue(0 < (made_smaller - smooth).abs().mean() < 0.05)


if __name__ == "__main__":
    unittest.main()
