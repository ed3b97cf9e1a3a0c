//! Limits of this process, and where the shim is.

use std::path::{Path, PathBuf};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// The daemon is worth more than a container when memory runs out.
const OOM_SCORE: &str = "-500";
/// Name of the shim's program.
const SHIM: &str = "corten-shim";
/// Where packages put it.
const LIBEXEC: [&str; 4] =
    ["/usr/libexec/corten", "/usr/local/libexec/corten", "/usr/lib/corten", "/opt/corten/libexec"];

/// Raises the limit of open files as far as allowed: every container and every client is a few.
pub(crate) fn raise_open_files() {
    let limit = getrlimit(Resource::Nofile);
    let most = std::fs::read_to_string("/proc/sys/fs/nr_open").ok().and_then(|text| text.trim().parse().ok());
    let most = most.unwrap_or(1_048_576);
    let raised = Rlimit { current: Some(most), maximum: Some(most) };
    if setrlimit(Resource::Nofile, raised).is_err() {
        // Not ours to raise the hard limit; the soft one up to it is.
        let allowed = Rlimit { current: limit.maximum, maximum: limit.maximum };
        if let Err(error) = setrlimit(Resource::Nofile, allowed) {
            tracing::warn!(%error, "cannot raise the limit of open files");
        }
    }
}

/// Makes the kernel choose another process first when memory runs out, where that is allowed.
pub(crate) fn lower_oom_score() {
    if let Err(error) = write_proc("/proc/self/oom_score_adj", OOM_SCORE) {
        tracing::debug!(%error, "cannot lower the OOM score");
    }
}

/// `/proc` files take one write and cannot be replaced.
fn write_proc(path: &str, text: &str) -> std::io::Result<()> {
    use std::io::Write;
    std::fs::OpenOptions::new().write(true).open(path)?.write_all(text.as_bytes())
}

/// Why there is no shim.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("cannot find {SHIM}; looked in {}", places.join(", "))]
pub(crate) struct NoShim {
    places: Vec<String>,
}

/// The shim's program: as given, as in `CORTEN_SHIM`, beside this program, or where packages put it.
pub(crate) fn find_shim(given: Option<PathBuf>) -> Result<PathBuf, NoShim> {
    if let Some(path) = given.or_else(|| std::env::var_os("CORTEN_SHIM").map(PathBuf::from)) {
        return if path.is_file() {
            Ok(path)
        } else {
            Err(NoShim { places: vec![path.display().to_string()] })
        };
    }
    let program = std::env::current_exe().unwrap_or_default();
    let beside = program.parent().unwrap_or(Path::new("/"));
    let installed = beside.join("../libexec/corten");
    let places = [beside.to_owned(), installed].into_iter().chain(LIBEXEC.map(PathBuf::from));
    let places: Vec<_> = places.map(|directory| directory.join(SHIM)).collect();
    places
        .iter()
        .find(|path| path.is_file())
        .cloned()
        .ok_or_else(|| NoShim { places: places.iter().map(|path| path.display().to_string()).collect() })
}
