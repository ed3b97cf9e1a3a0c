//! `--log`: a file that callers (containerd, Podman's conmon) read errors from.

use std::ffi::OsStr;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::rc::Rc;

use super::{Failure, Naming, time};

/// Where messages go beside standard error.
#[derive(Debug, Clone)]
pub(crate) struct Log {
    file: Option<Rc<File>>,
    json: bool,
    debug: bool,
}

impl Log {
    /// Opens the log; nothing is written before there is something to say.
    pub(crate) fn open(path: Option<&OsStr>, format: Option<&OsStr>, debug: bool) -> Result<Self, Failure> {
        let json = match format.map(OsStr::to_string_lossy).as_deref() {
            None | Some("text" | "") => false,
            Some("json") => true,
            Some(other) => {
                return Err(Failure::new(format_args!("--log-format: {other:?} is neither text nor json")));
            }
        };
        let open = |path: &OsStr| {
            let file = OpenOptions::new().append(true).create(true).open(path);
            file.naming(|| format!("open log {}", path.display())).map(Rc::new)
        };
        let file = path.filter(|path| !path.is_empty()).map(open).transpose()?;
        Ok(Self { file, json, debug })
    }

    pub(crate) fn error(&self, message: &str) {
        self.write("error", message);
    }

    pub(crate) fn warning(&self, message: &str) {
        self.write("warning", message);
    }

    pub(crate) fn debug(&self, message: &str) {
        if self.debug {
            self.write("debug", message);
        }
    }

    fn write(&self, level: &str, message: &str) {
        let Some(file) = &self.file else { return };
        let now = time::now();
        let line = if self.json {
            format!("{}\n", serde_json::json!({ "level": level, "msg": message, "time": now }))
        } else {
            format!("time=\"{now}\" level={level} msg={message:?}\n")
        };
        // A log that cannot be written must not stop a container.
        let _ = (&**file).write_all(line.as_bytes());
    }
}
