//! What people type, as functions of bytes: for the fuzz targets in `fuzz/` and for the tests that run them.

use crate::flags::value::Value as _;
use crate::request::{device, mount, port};
use crate::template::value::Type;
use crate::template::{MissingKey, Template, Value};

/// A `--format` template, read and run.
pub fn template(bytes: &[u8]) {
    let source = String::from_utf8_lossy(bytes);
    let Ok(template) = Template::parse("", &source) else { return };
    let document = serde_json::json!({
        "ID": "0123456789ab", "Names": "web", "Size": 3, "Labels": {"a": "b"}, "Ports": [1, 2], "Nothing": null,
        "Nested": {"Deep": [{"Er": true}]},
    });
    for missing in [MissingKey::Error, MissingKey::NoValue] {
        let _ = template.execute(&Value::document(document.clone(), Type::Any), missing, &mut String::new());
    }
}

/// Values of `--publish`, `--expose`, `--mount` and `--device`.
pub fn flags(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes).into_owned();
    let _ = port::publish(std::slice::from_ref(&text));
    let _ = port::exposed(None, std::slice::from_ref(&text));
    let _ = mount::Mounts::default().set(&text);
    let _ = device::parse_device(&text);
}
