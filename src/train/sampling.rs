//! Which samples an epoch sees: every class as often as the balance says, in a seeded order.

use rand::{Rng, seq::SliceRandom};

/// Places of an epoch's samples, as many as there are labels.
///
/// A class with `n` of all samples gets a share of `n^(1 - class_balance)`: 0 leaves the classes' shares alone, 1 makes them
/// equal. A sample comes again only when its class has been used up.
///
/// - labels: class of each sample
pub fn epoch_order(labels: &[usize], class_balance: f64, random: &mut impl Rng) -> Vec<usize> {
    let classes = labels.iter().max().map_or(0, |most| most + 1);
    let mut places = vec![Vec::new(); classes];
    labels.iter().enumerate().for_each(|(place, &label)| places[label].push(place));
    let share =
        |class: &Vec<usize>| if class.is_empty() { 0.0 } else { (class.len() as f64).powf(1.0 - class_balance) };
    let sum: f64 = places.iter().map(share).sum();
    let mut order = Vec::with_capacity(labels.len());
    let mut due = 0.0;
    for class in &mut places {
        // Running sums rounded, so that the parts add up to the whole.
        due += labels.len() as f64 * share(class) / sum;
        let end = (due.round() as usize).min(labels.len());
        while order.len() < end {
            class.shuffle(random);
            order.extend(class.iter().take(end - order.len()));
        }
    }
    order.shuffle(random);
    order
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    use super::*;

    fn counts(class_balance: f64) -> Vec<usize> {
        let labels: Vec<usize> = [vec![0; 810], vec![2; 90], vec![3; 10]].concat();
        let order = epoch_order(&labels, class_balance, &mut ChaCha8Rng::seed_from_u64(7));
        assert_eq!(order.len(), labels.len());
        (0..4).map(|class| order.iter().filter(|&&place| labels[place] == class).count()).collect()
    }

    #[test]
    fn the_balance_goes_from_the_datas_shares_to_equal_ones() {
        assert_eq!(counts(0.0), [810, 0, 90, 10]);
        assert_eq!(counts(1.0), [303, 0, 304, 303]);
        let half = counts(0.5);
        assert!(half[3] > 10 && half[3] < 303 && half[0] < 810, "{half:?}");
    }

    #[test]
    fn without_balance_every_sample_comes_once_and_the_seed_decides_the_order() {
        let labels = [0, 1, 0, 2, 1, 0];
        let order = |seed| epoch_order(&labels, 0.0, &mut ChaCha8Rng::seed_from_u64(seed));
        let mut sorted = order(1);
        assert_eq!(order(1), order(1));
        sorted.sort_unstable();
        assert_eq!(sorted, [0, 1, 2, 3, 4, 5]);
        assert!((2..9).any(|seed| order(seed) != order(1)));
    }
}
