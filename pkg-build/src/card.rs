//! The model card: what a model was made from, what it can do, and what it must not be used for.

use std::fmt::Write;

use cliper::bundle::Manifest;
use cliper::evaluation::Evaluation;
use cliper::model::descriptors::count_texts;

/// Terms of the built-in weights.
pub const LICENCE: &str = "MIT OR Apache-2.0 for the weights; see the card for the terms of the data behind them";

/// What the built-in model was trained on.
pub const DATA: &str = "FER2013 pictures (ICML 2013 challenge, gathered from the web; nobody holds a licence to pass \
them on, and no picture is in this bundle) with FER+ votes (Barsoum et al. 2016, MIT)";

const LIMITS: &str = "\
## Limits

- The scores name an *apparent* expression: what a face looks like to FER+'s ten taggers, not what a person feels.
- Trained on 48-pixel grey faces from the web, cropped tightly. Other crops, tilted or half-lit faces cost accuracy.
- Not measured: differences by skin tone, age, gender or culture. The data carries no such labels.
- Disgust, fear and contempt are rare in the data (191, 652 and 165 training pictures) and are recognised worst.
- The descriptors explain which text the model compares a face with; they are no clinical claim.
- Law: the EU's AI Act, Art. 5(1)(f), bans inferring emotions at work and in education. Do not use it there.
";

/// The card of a bundle whose weights nobody trained on faces.
pub fn zero_shot(manifest: &Manifest) -> String {
    let encoder = &manifest.encoder;
    format!(
        "# {}\n\nA CLIP image encoder of {} parameters ({:.1} GFLOP a picture, {} x {} pixels), as imported, scored \
         against {} text descriptors of {} apparent expressions. Zero-shot: nothing in it was trained or fitted on \
         faces.\n\n\
         ## Terms\n\nWeights: {}.\n\n\
         ## What to expect\n\n\
         Little. The published zero-shot accuracy of CLIP ViT-B/16 is 40.16 % on RAF-DB (7 expressions), where CLIPER \
         trained on its faces reaches 91.61 %; on FERV39k it is 16.20 % (WAR) against 51.34 %. This bundle was not \
         measured, and its temperature {} was not fitted: its scores are no probabilities. Measure it on your own \
         pictures before you rely on it.\n\n\
         ## Limits\n\n\
         - The scores name an *apparent* expression: what a face looks like, not what a person feels.\n\
         - Not measured: differences by skin tone, age, gender or culture.\n\
         - The descriptors explain which text the model compares a face with; they are no clinical claim.\n\
         - OpenAI's model card calls any deployed use of its CLIP weights out of scope; read that of yours.\n\
         - Law: the EU's AI Act, Art. 5(1)(f), bans inferring emotions at work and in education. Do not use it there.\n",
        manifest.name,
        encoder.parameters(),
        encoder.flops() as f64 / 1e9,
        encoder.side,
        encoder.side,
        count_texts(&manifest.expressions),
        manifest.expressions.len(),
        manifest.licence.trim_end_matches('.'),
        manifest.calibration.temperature
    )
}

/// The card as Markdown.
pub fn text(manifest: &Manifest, validation: Option<&Evaluation>) -> String {
    let encoder = &manifest.encoder;
    let mut card = format!(
        "# {}\n\nAn image encoder of {} parameters ({:.3} GFLOP a picture, {} x {} pixels) that is scored against {} \
         text descriptors of {} apparent expressions.\n\n## Data and terms\n\n{}.\nWeights: {}.\n\n",
        manifest.name,
        encoder.parameters(),
        encoder.flops() as f64 / 1e9,
        encoder.side,
        encoder.side,
        count_texts(&manifest.expressions),
        manifest.expressions.len(),
        DATA,
        manifest.licence.trim_end_matches('.')
    );
    if let Some(learned) = &manifest.learned {
        let _ = write!(
            card,
            "## Descriptors\n\nLearned (METD): token embeddings in the prompt \"{}\", through the frozen text tower. The text \
             of each is the nearest word of the vocabulary to each of its tokens: a hint at what was learned, no clinical \
             claim.\n\n",
            learned.prompt
        );
    }
    if let Some(validation) = validation {
        let _ = write!(
            card,
            "## Measured on FER+ validation (majority of the votes, 8 classes; the epoch was chosen on it)\n\n\
             | pictures | WAR | UAR | calibration error |\n|---|---|---|---|\n| {} | {:.2} % | {:.2} % | {:.2} % |\n\n\
             | expression | recall |\n|---|---|\n",
            validation.count,
            validation.war * 100.0,
            validation.uar * 100.0,
            validation.calibration_error * 100.0
        );
        for (name, recall) in validation.expressions.iter().zip(&validation.recalls) {
            let recall = recall.map_or("-".into(), |recall| format!("{:.1} %", recall * 100.0));
            let _ = writeln!(card, "| {name} | {recall} |");
        }
        let _ = write!(
            card,
            "\nReproduce: `cargo pkg evaluate --data ferplus:FOLDER --part valid`. The temperature {:.4} was fitted \
             on every twentieth training picture, which training did not see.\n\n",
            manifest.calibration.temperature
        );
    }
    if let Some(command) = manifest.provenance["command"].as_str() {
        let _ = write!(card, "## Training\n\n`{command}`\n\n");
    }
    card + LIMITS
}
