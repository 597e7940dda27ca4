//! What a run of any stage goes on from: its parameters and its optimizer's.

use std::path::Path;

use anyhow::Result;
use cliper::train::RunState;

use crate::files;

const PARAMETERS: &str = "parameters.bin";
const OPTIMIZER: &str = "optimizer.bin";

/// Reads what a run of any stage learns from and with.
pub fn read_records(folder: &Path, run: &mut RunState) -> Result<()> {
    run.parameters = files::read(&folder.join(PARAMETERS))?;
    run.optimizer = files::read(&folder.join(OPTIMIZER))?;
    Ok(())
}

/// Writes it.
pub fn write_records(folder: &Path, run: &RunState) -> Result<()> {
    files::write(&folder.join(PARAMETERS), &run.parameters)?;
    files::write(&folder.join(OPTIMIZER), &run.optimizer)
}
