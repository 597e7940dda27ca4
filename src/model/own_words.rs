//! Expressions in a page's own words: a bundle's descriptors and sentences, brought to one scale.

use super::descriptors::{Descriptors, Expression};
use super::sentence::Sentence;
use super::teaching::TaughtDescriptor;
use crate::error::{Error, ErrorKind, Result};

/// A descriptor that somebody asks for.
#[derive(Debug, Clone, PartialEq)]
pub enum OwnDescriptor {
    /// One of the bundle's, by its text.
    Known(String),
    /// A sentence.
    Sentence(Sentence),
    /// One that was learned from frames.
    Taught(TaughtDescriptor),
}

impl OwnDescriptor {
    fn text(&self) -> &str {
        match self {
            Self::Known(text) => text,
            Self::Sentence(sentence) => sentence.text(),
            Self::Taught(taught) => &taught.text,
        }
    }
}

/// Points of a sentence's quantiles where the bundle has none of its own to match.
const POINTS: usize = 33;
/// Deviations from the mean at which a sentence's quantiles end.
const ENDS: f64 = 3.5;

/// The descriptors of expressions that somebody names, each by what describes it.
///
/// The bundle's own descriptors count as they do in it. A sentence's similarities with faces have another mean and spread: scores
/// take its place among faces, and from that the similarity which a descriptor of the same expression has at that place. For an
/// expression that the bundle does not have, that is one of the expression that is rarest in it. Descriptors of several of the
/// bundle's expressions under one name are those expressions made one: their probabilities add up, and so does that of each
/// expression that was taught.
///
/// # Errors
/// [`ErrorKind::InvalidArgument`] for texts that the bundle does not have, and what [`Descriptors::new`] refuses.
pub fn in_own_words(bundle: &Descriptors, asked: &[(String, Vec<OwnDescriptor>)]) -> Result<Descriptors> {
    let width = bundle.width();
    let owners = owners(bundle);
    let find = |text: &str| {
        let texts = bundle.expressions().iter().flat_map(|expression| &expression.descriptors);
        texts.zip(0..).find(|(known, _)| *known == text).map(|(_, place)| place)
    };
    let usual: Vec<[f32; 2]> = (0..bundle.expressions().len()).map(|index| usual(bundle, &owners, index)).collect();
    let rarest = usual.iter().copied().min_by(|a, b| a[0].total_cmp(&b[0])).unwrap_or([0.0, 1.0]);
    let points = match bundle.quantiles().len() / bundle.count() {
        0 => POINTS,
        points => points,
    };

    let (mut expressions, mut embeddings, mut quantiles) = (Vec::new(), Vec::new(), Vec::new());
    let (mut scales, mut groups) = (Vec::new(), Vec::new());
    for (name, descriptors) in asked {
        let own = bundle.names().position(|known| known == name);
        // Each with the expression of the bundle that it counts as, or none.
        let mut placed = Vec::with_capacity(descriptors.len());
        for descriptor in descriptors {
            let place = find(descriptor.text());
            if let (OwnDescriptor::Known(text), None) = (descriptor, place) {
                return Err(Error::new(
                    ErrorKind::InvalidArgument,
                    format!("\"{text}\" is no descriptor of the model's; have it embedded by the bundle's text side"),
                ));
            }
            placed.push((place.map_or(own, |place| Some(owners[place])), place, descriptor));
        }
        // What was taught is an expression by itself: it was learned as a whole logit, which no mean must thin out.
        let part = |(index, (owner, _, descriptor)): &(usize, (Option<usize>, Option<usize>, &OwnDescriptor))| {
            (*owner, matches!(descriptor, OwnDescriptor::Taught(_)).then_some(*index))
        };
        let mut placed: Vec<_> = placed.into_iter().enumerate().collect();
        placed.sort_by_key(part);
        groups.push(placed.chunk_by(|a, b| part(a) == part(b)).map(<[_]>::len).collect());
        let mut expression = Expression { name: name.clone(), ..Default::default() };
        for (_, (owner, place, descriptor)) in placed {
            expression.descriptors.push(descriptor.text().into());
            match (place, descriptor) {
                (Some(place), _) => {
                    embeddings.extend(&bundle.embeddings()[place * width..(place + 1) * width]);
                    let rows = bundle.quantiles().chunks_exact(points).nth(place);
                    quantiles.extend(rows.into_iter().flatten());
                    scales.push([1.0, 0.0]);
                }
                (None, OwnDescriptor::Sentence(sentence)) => {
                    let [mean, deviation] = sentence.spread();
                    let [wanted, spread] = owner.map_or(rarest, |owner| usual[owner]);
                    let slope = spread / deviation;
                    embeddings.extend(sentence.embedding());
                    quantiles.extend(normal_quantiles(points, mean, deviation));
                    scales.push([slope, wanted - slope * mean]);
                }
                (None, OwnDescriptor::Taught(taught)) => {
                    embeddings.extend(&taught.embedding);
                    quantiles.extend(normal_quantiles(points, taught.mean, taught.deviation));
                    scales.push([taught.slope, taught.offset]);
                }
                (None, OwnDescriptor::Known(_)) => {}
            }
        }
        expressions.push(expression);
    }
    let made = Descriptors::new(expressions, embeddings, width)?.with_scales(scales, groups);
    match bundle.quantiles() {
        [] => Ok(made),
        _ => made.with_quantiles(quantiles),
    }
}

/// Evenly spaced quantiles of a normal distribution.
fn normal_quantiles(points: usize, mean: f32, deviation: f32) -> impl Iterator<Item = f32> {
    (0..points).map(move |point| {
        let share = (point as f64 / (points - 1) as f64).clamp(1e-4, 1.0 - 1e-4);
        mean + deviation * deviations(share) as f32
    })
}

/// The expression of each of the bundle's descriptors.
fn owners(bundle: &Descriptors) -> Vec<usize> {
    let counts = bundle.expressions().iter().map(|expression| expression.descriptors.len());
    counts.enumerate().flat_map(|(index, count)| std::iter::repeat_n(index, count)).collect()
}

/// Mean and deviation that similarities of an expression's descriptors usually have, from their quantiles.
fn usual(bundle: &Descriptors, owners: &[usize], expression: usize) -> [f32; 2] {
    let points = bundle.quantiles().len() / bundle.count();
    if points == 0 {
        return [0.0, 1.0];
    }
    let own = owners.iter().zip(bundle.quantiles().chunks_exact(points)).filter(|(owner, _)| **owner == expression);
    let spreads = own.map(|(_, row)| {
        let mean = row.iter().sum::<f32>() / points as f32;
        let variance = row.iter().map(|value| (value - mean).powi(2)).sum::<f32>() / points as f32;
        [mean, variance.sqrt()]
    });
    let spreads: Vec<[f32; 2]> = spreads.collect();
    [0, 1].map(|part| spreads.iter().map(|spread| spread[part]).sum::<f32>() / spreads.len().max(1) as f32)
}

/// Where a share of a normal distribution ends, in deviations from its mean: by halving, as exactly as [`Sentence::compare`] asks.
fn deviations(share: f64) -> f64 {
    let (mut low, mut high) = (-ENDS, ENDS);
    for _ in 0..40 {
        let middle = (low + high) / 2.0;
        if super::sentence::normal_share(middle) < share { low = middle } else { high = middle }
    }
    (low + high) / 2.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bundle() -> Descriptors {
        let expression = |name: &str, texts: [&str; 2]| Expression {
            name: name.into(),
            descriptors: texts.map(String::from).to_vec(),
            ..Default::default()
        };
        let expressions = vec![expression("joy", ["smile", "grin"]), expression("calm", ["level", "slack"])];
        let embeddings = vec![1.0, 0.0, 0.8, 0.6, 0.0, 1.0, 0.6, 0.8];
        let quantiles = vec![0.0, 0.2, 0.4, 0.0, 0.2, 0.4, 0.1, 0.2, 0.3, 0.1, 0.2, 0.3];
        Descriptors::new(expressions, embeddings, 2).unwrap().with_quantiles(quantiles).unwrap()
    }

    fn known(texts: &[&str]) -> Vec<OwnDescriptor> {
        texts.iter().map(|text| OwnDescriptor::Known((*text).into())).collect()
    }

    const FACE: [f32; 2] = [0.8, 0.6];

    fn scores(descriptors: &Descriptors) -> Vec<f32> {
        descriptors.scores(&descriptors.similarities(&FACE), 0.1)
    }

    #[test]
    fn the_bundle_s_own_descriptors_score_as_they_do_in_it() {
        let bundle = bundle();
        let asked = [("joy".into(), known(&["smile", "grin"])), ("calm".into(), known(&["level", "slack"]))];
        let made = in_own_words(&bundle, &asked).unwrap();
        assert_eq!(scores(&made), scores(&bundle));
        assert_eq!(made.strength(3, 0.25), bundle.strength(3, 0.25));
        // Some of them, in another order, and under another name.
        let asked = [("calm".into(), known(&["slack"])), ("delight".into(), known(&["grin", "smile"]))];
        let made = in_own_words(&bundle, &asked).unwrap();
        assert_eq!(made.names().collect::<Vec<_>>(), ["calm", "delight"]);
        let [calm, delight] = scores(&made)[..] else { panic!() };
        assert!((calm + delight - 1.0).abs() < 1e-6 && delight > 0.0);
    }

    #[test]
    fn expressions_made_one_add_their_probabilities_up() {
        let bundle = bundle();
        let third = [("any".into(), known(&["smile", "level", "grin", "slack"])), ("x".into(), known(&["smile"]))];
        // Texts stand once in a set of expressions.
        assert_eq!(in_own_words(&bundle, &third).unwrap_err().kind(), ErrorKind::InvalidBundle);
        let sentence = Sentence::new("brows up", vec![0.0, 1.0], 0.6, 0.1).unwrap();
        let asked = |merged: &[&str]| {
            let extra = ("other".into(), vec![OwnDescriptor::Sentence(sentence.clone())]);
            let apart = merged.iter().map(|name| {
                let expression = bundle.expressions().iter().find(|it| it.name == *name).unwrap();
                let texts: Vec<&str> = expression.descriptors.iter().map(String::as_str).collect();
                (String::from(*name), known(&texts))
            });
            apart.chain([extra]).collect::<Vec<_>>()
        };
        let apart = in_own_words(&bundle, &asked(&["joy", "calm"])).unwrap();
        let merged = [("both".into(), known(&["smile", "grin", "level", "slack"])), asked(&[])[0].clone()];
        let together = in_own_words(&bundle, &merged).unwrap();
        let (apart, together) = (scores(&apart), scores(&together));
        assert!((apart[0] + apart[1] - together[0]).abs() < 1e-6, "{apart:?} {together:?}");
    }

    #[test]
    fn a_sentence_counts_by_its_place_among_faces() {
        let bundle = bundle();
        let made = |mean: f32| {
            let sentence = Sentence::new("a wide smile", FACE.to_vec(), mean, 0.05).unwrap();
            let asked =
                [("joy".into(), vec![OwnDescriptor::Sentence(sentence)]), ("calm".into(), known(&["level", "slack"]))];
            in_own_words(&bundle, &asked).unwrap()
        };
        // The face's similarity is 1: two deviations above the mean, or at it.
        let (high, level) = (made(0.9), made(1.0));
        assert!(scores(&high)[0] > scores(&level)[0]);
        assert!((level.strength(0, 1.0).unwrap() - 0.5).abs() < 1e-3);
        // Three points alone: straight from the middle to 3.5 deviations.
        assert!((high.strength(0, 1.0).unwrap() - (0.5 + 0.5 * 2.0 / 3.5)).abs() < 0.02);
        // At its mean it stands for the mean of joy's own descriptors, 0.2; calm's are the face's own.
        let wanted = [0.2f32, (0.6 + 0.96) / 2.0].map(|mean| (mean / 0.1f32).exp());
        assert!((scores(&level)[0] - wanted[0] / (wanted[0] + wanted[1])).abs() < 1e-5);
    }

    #[test]
    fn what_was_taught_counts_on_its_own_scale() {
        let taught = TaughtDescriptor {
            text: "as shown for wink".into(),
            embedding: vec![0.6, 0.8],
            slope: 2.0,
            offset: -0.5,
            mean: 0.5,
            deviation: 0.2,
        };
        let asked = [("wink".into(), vec![OwnDescriptor::Taught(taught)]), ("calm".into(), known(&["level", "slack"]))];
        let made = in_own_words(&bundle(), &asked).unwrap();
        // The face's similarity with it is 0.96.
        let wanted = [(2.0 * 0.96 - 0.5) / 0.1f32, (0.6 + 0.96) / 2.0 / 0.1].map(f32::exp);
        assert!((scores(&made)[0] - wanted[0] / (wanted[0] + wanted[1])).abs() < 1e-5);
        assert!((made.strength(0, 0.5).unwrap() - 0.5).abs() < 1e-3);
    }

    #[test]
    fn what_was_taught_is_made_one_with_others_by_adding_its_probability() {
        let taught = |text: &str, embedding: [f32; 2], slope: f32| {
            let text = text.into();
            let embedding = embedding.to_vec();
            OwnDescriptor::Taught(TaughtDescriptor { text, embedding, slope, offset: -0.5, mean: 0.5, deviation: 0.2 })
        };
        let [wink, pout] = [taught("wink", [0.6, 0.8], 1.2), taught("pout", [0.8, -0.6], 2.0)];
        let expression = |name: &str, parts: &[&[OwnDescriptor]]| (name.to_string(), parts.concat());
        let [wink, pout, joy, calm] =
            [&[wink][..], &[pout], &known(&["smile", "grin"]), &known(&["level", "slack"])].map(<[_]>::to_vec);
        let scores = |asked: &[(String, Vec<OwnDescriptor>)]| scores(&in_own_words(&bundle(), asked).unwrap());
        let apart = scores(&[
            expression("wink", &[&wink]),
            expression("pout", &[&pout]),
            expression("joy", &[&joy]),
            expression("calm", &[&calm]),
        ]);
        let sum = |places: &[usize]| places.iter().map(|place| apart[*place]).sum::<f32>();
        // With the bundle's, with each other, and with everything, in any order and under a name of the bundle's.
        for (name, parts, places) in [
            ("wink + joy", vec![&wink[..], &joy], vec![0, 2]),
            ("wink + pout", vec![&wink, &pout], vec![0, 1]),
            ("joy", vec![&pout, &joy, &wink], vec![0, 1, 2]),
        ] {
            let one = expression(name, &parts);
            let others = [("wink", &wink), ("pout", &pout), ("joy", &joy), ("calm", &calm)];
            let rest = others.iter().enumerate().filter(|(place, _)| !places.contains(place));
            let asked: Vec<_> =
                [one].into_iter().chain(rest.map(|(_, (name, own))| expression(name, &[own]))).collect();
            let together = scores(&asked)[0];
            assert!((together - sum(&places)).abs() < 1e-6, "{name}: {together} {apart:?}");
        }
    }

    #[test]
    fn an_unknown_text_is_named() {
        let asked = [("joy".into(), known(&["smirk"])), ("calm".into(), known(&["level"]))];
        let error = in_own_words(&bundle(), &asked).unwrap_err();
        assert!(error.kind() == ErrorKind::InvalidArgument && error.to_string().contains("smirk"), "{error}");
    }

    #[test]
    fn balance_takes_the_share_out() {
        let bundle = bundle();
        let level = scores(&bundle.clone().with_balance(&[0.5, 0.5], 1.0));
        let plain = scores(&bundle);
        assert!(level.iter().zip(&plain).all(|(a, b)| (a - b).abs() < 1e-6));
        let balanced = scores(&bundle.clone().with_balance(&[0.8, 0.2], 1.0));
        // By Bayes: odds over odds of the shares.
        assert!((balanced[0] / balanced[1] - plain[0] / plain[1] / 4.0).abs() < 1e-4);
        assert_eq!(scores(&bundle.with_balance(&[0.8, 0.2], 0.0)), plain);
    }
}
