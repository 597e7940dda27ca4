//! The detector, the built-in model, and pictures with the portrait's face in them.

use cliper::bundle::BundleReader;
use cliper::engine::cpu::CpuEngine;
use cliper::face::FaceDetector;
use cliper::preprocess::Picture;
use cliper::session::Session;

use super::{block_on, fixture};

pub fn model(file: &str) -> Vec<u8> {
    let path = format!("{}/pkg-build/models/blazeface-short-range/{file}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

pub fn manifest() -> String {
    String::from_utf8(model("model.json")).unwrap()
}

pub fn detector() -> FaceDetector {
    FaceDetector::read(&manifest(), &model("detector.safetensors")).unwrap()
}

#[derive(serde::Deserialize)]
pub struct Scene {
    pub file: String,
    pub share: f32,
    pub at: [f32; 2],
    pub roll: f32,
    pub faces: Vec<Found>,
}

#[derive(serde::Deserialize)]
pub struct Found {
    pub score: f32,
    pub values: Vec<f32>,
}

pub fn scenes() -> Vec<(Scene, image::RgbaImage)> {
    let scenes: Vec<Scene> = serde_json::from_slice(&fixture("face", "scenes.json")).unwrap();
    let read = |scene: &Scene| image::load_from_memory(&fixture("face", &scene.file)).unwrap().to_rgba8();
    scenes
        .into_iter()
        .map(|scene| {
            let picture = read(&scene);
            (scene, picture)
        })
        .collect()
}

pub fn picture(rgba: &image::RgbaImage) -> Picture<'_> {
    Picture::new(rgba, rgba.width() as usize, rgba.height() as usize).unwrap()
}

/// A grey picture with the portrait's face pasted at places, `side` pixels high from hairline to chin.
pub fn pasted(width: u32, height: u32, side: u32, places: &[(i64, i64)]) -> image::RgbaImage {
    let (_, rgba) = scenes().swap_remove(12);
    // The largest scene: the face fills 0.8 of 240 rows in the middle.
    let face = image::imageops::crop_imm(&rgba, 40, 0, 240, 240).to_image();
    let whole = side * 10 / 8;
    let face = image::imageops::resize(&face, whole, whole, image::imageops::FilterType::Triangle);
    let mut picture = image::RgbaImage::from_pixel(width, height, image::Rgba([120, 125, 130, 255]));
    for &(x, y) in places {
        image::imageops::overlay(&mut picture, &face, x, y);
    }
    picture
}

/// The built-in model on the lean CPU encoder.
pub fn session() -> Session<CpuEngine> {
    let read = |file: &str| {
        let path = format!("{}/pkg-build/models/ferplus-small/{file}", env!("CARGO_MANIFEST_DIR"));
        std::fs::read(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
    };
    let mut reader = BundleReader::new(&String::from_utf8(read("model.json")).unwrap()).unwrap();
    for file in reader.missing().to_vec() {
        reader.add(&file.path, &read(&file.path)).unwrap();
    }
    let mut bundle = reader.finish().unwrap();
    let engine = CpuEngine::from_bundle(&mut bundle).unwrap();
    block_on(Session::open(engine, bundle)).unwrap()
}
