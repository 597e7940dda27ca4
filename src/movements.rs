//! Movements of a face: made of the 52 face shapes that MediaPipe's landmarker gives, and named by descriptors.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorKind, Result};

/// What a descriptor says of movements: a positive weight for one that it names, a negative one for one that it denies.
/// Empty where nothing that can be measured is named.
pub type Movements = BTreeMap<String, f32>;

/// A half of the face.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Half {
    /// Brows and eyes.
    Upper,
    /// Jaw and mouth.
    Lower,
}

/// The half that all named and denied movements lie in; none where they lie in both, or where there are none.
pub fn half(movements: &Movements) -> Option<Half> {
    let all = |parts: [&str; 2]| movements.keys().all(|name| parts.iter().any(|part| name.starts_with(part)));
    match (movements.is_empty(), all(["brow", "eye"]), all(["jaw", "mouth"])) {
        (false, true, _) => Some(Half::Upper),
        (false, _, true) => Some(Half::Lower),
        _ => None,
    }
}

/// The face shapes in the order in which the landmarker gives them; ARKit's names.
pub const SHAPES: [&str; 52] = [
    "_neutral",
    "browDownLeft",
    "browDownRight",
    "browInnerUp",
    "browOuterUpLeft",
    "browOuterUpRight",
    "cheekPuff",
    "cheekSquintLeft",
    "cheekSquintRight",
    "eyeBlinkLeft",
    "eyeBlinkRight",
    "eyeLookDownLeft",
    "eyeLookDownRight",
    "eyeLookInLeft",
    "eyeLookInRight",
    "eyeLookOutLeft",
    "eyeLookOutRight",
    "eyeLookUpLeft",
    "eyeLookUpRight",
    "eyeSquintLeft",
    "eyeSquintRight",
    "eyeWideLeft",
    "eyeWideRight",
    "jawForward",
    "jawLeft",
    "jawOpen",
    "jawRight",
    "mouthClose",
    "mouthDimpleLeft",
    "mouthDimpleRight",
    "mouthFrownLeft",
    "mouthFrownRight",
    "mouthFunnel",
    "mouthLeft",
    "mouthLowerDownLeft",
    "mouthLowerDownRight",
    "mouthPressLeft",
    "mouthPressRight",
    "mouthPucker",
    "mouthRight",
    "mouthRollLower",
    "mouthRollUpper",
    "mouthShrugLower",
    "mouthShrugUpper",
    "mouthSmileLeft",
    "mouthSmileRight",
    "mouthStretchLeft",
    "mouthStretchRight",
    "mouthUpperUpLeft",
    "mouthUpperUpRight",
    "noseSneerLeft",
    "noseSneerRight",
];

/// The movements that descriptors may name: those that move in the landmarker's answers. `cheekPuff`, `cheekSquint`,
/// `noseSneer` and `mouthLeft` and `mouthRight` hardly do, so nothing could be measured by them.
pub const MOVEMENTS: [&str; 33] = [
    "browDown",
    "browInnerUp",
    "browOuterUp",
    "browUneven",
    "eyeBlink",
    "eyeLookDown",
    "eyeLookUp",
    "eyeLookLeft",
    "eyeLookRight",
    "eyeLookAside",
    "eyeSquint",
    "eyeWide",
    "jawForward",
    "jawLeft",
    "jawRight",
    "jawAside",
    "jawOpen",
    "mouthClose",
    "mouthDimple",
    "mouthFrown",
    "mouthFunnel",
    "mouthLowerDown",
    "mouthPress",
    "mouthPucker",
    "mouthRollLower",
    "mouthRollUpper",
    "mouthShrugLower",
    "mouthShrugUpper",
    "mouthSmile",
    "mouthSmileUneven",
    "mouthUpperUpUneven",
    "mouthStretch",
    "mouthUpperUp",
];

/// One movement of a face, or none where no movement has that name.
///
/// A name without a side is the mean of both sides, `NAMEUneven` their difference whichever is the stronger; looks to a side
/// are the means of the eye that turns out and the one that turns in. Shapes that have no sides stand for themselves.
///
/// # Shapes
/// - shapes: in the order of [`SHAPES`]
pub fn movement(name: &str, shapes: &[f32; SHAPES.len()]) -> Option<f32> {
    let shape = |name: &str| SHAPES.iter().position(|&shape| shape == name).map(|place| shapes[place]);
    let sides = |name: &str| Some((shape(&format!("{name}Left"))?, shape(&format!("{name}Right"))?));
    let mean = |one: &str, other: &str| Some((shape(one)? + shape(other)?) / 2.0);
    let uneven = |name: &str| sides(name).map(|(left, right)| (left - right).abs());
    match name {
        "_neutral" | "jaw" | "mouth" | "jawUneven" | "mouthUneven" => None,
        "jawLeft" | "jawRight" => shape(name),
        "jawAside" => uneven("jaw"),
        "eyeLookLeft" => mean("eyeLookOutLeft", "eyeLookInRight"),
        "eyeLookRight" => mean("eyeLookInLeft", "eyeLookOutRight"),
        "eyeLookAside" => Some((movement("eyeLookLeft", shapes)? - movement("eyeLookRight", shapes)?).abs()),
        "browUneven" => Some(uneven("browOuterUp")? + uneven("browDown")?),
        _ if name.ends_with("Left") || name.ends_with("Right") => None,
        _ => match name.strip_suffix("Uneven") {
            Some(name) => uneven(name),
            None => sides(name).map(|(left, right)| (left + right) / 2.0).or_else(|| shape(name)),
        },
    }
}

/// How much each face does what a descriptor says, among these faces: the sum over its movements of weight times the rank
/// of the face's movement as a share of their count (equal ones get the mean of their ranks).
pub fn wanted(movements: &Movements, faces: &[&[f32; SHAPES.len()]]) -> Vec<f64> {
    let mut sums = vec![0.0; faces.len()];
    for (name, &weight) in movements {
        let values: Vec<f64> = faces.iter().map(|face| f64::from(movement(name, face).unwrap_or_default())).collect();
        for (sum, rank) in sums.iter_mut().zip(ranks(&values)) {
            *sum += f64::from(weight) * rank / faces.len() as f64;
        }
    }
    sums
}

/// The rank of each value, counted from 1; equal values get the mean of their ranks.
pub fn ranks(values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|&a, &b| values[a].total_cmp(&values[b]));
    let mut ranks = vec![0.0; values.len()];
    let mut before = 0;
    for equal in order.chunk_by(|&a, &b| values[a] == values[b]) {
        let rank = before as f64 + (equal.len() as f64 + 1.0) / 2.0;
        equal.iter().for_each(|&place| ranks[place] = rank);
        before += equal.len();
    }
    ranks
}

/// Says which movement nobody measures, and which weight is no number.
///
/// # Errors
/// [`ErrorKind::InvalidBundle`].
pub fn check_movements(movements: &Movements, text: &str) -> Result<()> {
    let refuse = |why: String| Err(Error::new(ErrorKind::InvalidBundle, why));
    for (name, weight) in movements {
        if !MOVEMENTS.contains(&name.as_str()) {
            return refuse(format!(
                "the descriptor \"{text}\" names the movement `{name}`, which nobody measures; there are {}",
                MOVEMENTS.join(", ")
            ));
        }
        if !weight.is_finite() {
            return refuse(format!("the weight of `{name}` in the descriptor \"{text}\" is {weight}; give a number"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn face(values: &[(&str, f32)]) -> [f32; SHAPES.len()] {
        let mut shapes = [0.0; SHAPES.len()];
        for (name, value) in values {
            shapes[SHAPES.iter().position(|shape| shape == name).unwrap()] = *value;
        }
        shapes
    }

    #[test]
    fn movements_are_made_of_both_sides() {
        let close = |name: &str, shapes: &[f32; SHAPES.len()], expected: f32| {
            let found = movement(name, shapes).unwrap();
            assert!((found - expected).abs() < 1e-6, "{name}: {found}");
        };
        let smirk = face(&[("mouthSmileLeft", 0.8), ("mouthSmileRight", 0.2), ("jawOpen", 0.3)]);
        close("mouthSmile", &smirk, 0.5);
        close("mouthSmileUneven", &smirk, 0.6);
        close("jawOpen", &smirk, 0.3);
        let glance = face(&[
            ("eyeLookOutLeft", 0.6),
            ("eyeLookInRight", 0.4),
            ("eyeLookInLeft", 0.1),
            ("eyeLookOutRight", 0.1),
            ("jawLeft", 0.2),
            ("jawRight", 0.5),
            ("browOuterUpLeft", 0.7),
            ("browDownRight", 0.2),
        ]);
        close("eyeLookLeft", &glance, 0.5);
        close("eyeLookRight", &glance, 0.1);
        close("eyeLookAside", &glance, 0.4);
        close("jawLeft", &glance, 0.2);
        close("jawAside", &glance, 0.3);
        close("browUneven", &glance, 0.9);
        for name in MOVEMENTS {
            assert!(movement(name, &smirk).is_some(), "{name}");
        }
        for name in ["", "smile", "mouthSmileLeft", "mouthLeft", "_neutral", "jawOpenUneven"] {
            assert_eq!(movement(name, &smirk), None, "{name}");
        }
    }

    #[test]
    fn equal_values_share_their_rank() {
        assert_eq!(ranks(&[3.0, 1.0, 3.0, 2.0]), [3.5, 1.0, 3.5, 2.0]);
        assert_eq!(ranks(&[0.0, -0.0]), [1.5, 1.5]);
        assert_eq!(ranks(&[]), [0.0; 0]);
    }

    #[test]
    fn what_is_denied_counts_against_a_face() {
        let faces =
            [face(&[("jawOpen", 0.1)]), face(&[("jawOpen", 0.9)]), face(&[("jawOpen", 0.5), ("mouthPucker", 1.0)])];
        let all: Vec<_> = faces.iter().collect();
        let movements = Movements::from([("jawOpen".into(), -1.0), ("mouthPucker".into(), 0.5)]);
        // Ranks of the jaw 1, 3, 2; of the lips 1.5, 1.5, 3.
        let expected = [-1.0 + 0.75, -3.0 + 0.75, -2.0 + 1.5].map(|sum| sum / 3.0);
        for (found, expected) in wanted(&movements, &all).iter().zip(expected) {
            assert!((found - expected).abs() < 1e-9, "{found} {expected}");
        }
    }

    #[test]
    fn unknown_movements_and_weights_are_refused_by_name() {
        let refused = |name: &str, weight: f32| {
            check_movements(&Movements::from([(name.into(), weight)]), "a smile").err().unwrap().to_string()
        };
        let unknown = refused("noseWiggle", 1.0);
        assert!(
            unknown.contains("`noseWiggle`") && unknown.contains("a smile") && unknown.contains("jawOpen, mouthClose")
        );
        assert!(refused("jawOpen", f32::INFINITY).contains("`jawOpen`"));
        assert!(check_movements(&Movements::from([("jawOpen".into(), -0.5)]), "a smile").is_ok());
    }
}
