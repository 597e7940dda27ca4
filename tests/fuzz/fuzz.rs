//! The fuzzer's loop around one target, named by the variable `CLIPER_TARGET`; `CLIPER_SEEDS` writes the seeds there instead.
#![no_main]

mod seeds;
mod targets;

use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;

static TARGET: OnceLock<targets::Target> = OnceLock::new();

fn choose() {
    if let Some(folder) = std::env::var_os("CLIPER_SEEDS") {
        seeds::write(folder.as_ref());
        std::process::exit(0);
    }
    let name = std::env::var("CLIPER_TARGET").unwrap_or_default();
    let found = targets::TARGETS.iter().find(|(known, _)| *known == name);
    TARGET.get_or_init(|| found.unwrap_or_else(|| panic!("CLIPER_TARGET is `{name}`; targets/mod.rs lists them")).1);
}

fuzz_target!(init: choose(), |data: &[u8]| {
    if let Some(target) = TARGET.get() {
        target(data);
    }
});
