//! Our names of expressions for the words that data sets use.

/// Our name of an expression; none for a word that is none.
pub fn expression(word: &str) -> Option<&'static str> {
    Some(match word.trim().to_ascii_lowercase().as_str() {
        "neutral" => "neutral",
        "happy" | "happiness" | "joy" => "happiness",
        "sad" | "sadness" => "sadness",
        "surprise" | "surprised" => "surprise",
        "fear" | "fearful" | "afraid" | "scared" => "fear",
        "disgust" | "disgusted" => "disgust",
        "anger" | "angry" => "anger",
        "contempt" => "contempt",
        "anxiety" => "anxiety",
        "helplessness" => "helplessness",
        "disappointment" => "disappointment",
        _ => return None,
    })
}
