//! `--volume`: a mount in its short form.

use std::collections::BTreeMap;

use api_types::Empty;

use super::mount::absolute_if_dotted;

/// What `--volume` flags amount to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Volumes {
    /// Mounts with a source.
    pub(crate) binds: Vec<String>,
    /// Paths of anonymous volumes.
    pub(crate) anonymous: BTreeMap<String, Empty>,
}

/// Sorts `specs` into binds and anonymous volumes. What the parts mean is the engine's to judge.
///
/// A single letter before the colon is no source: Docker's client takes it for a Windows drive.
pub(crate) fn parse(specs: &[String]) -> Result<Volumes, String> {
    let mut volumes = Volumes::default();
    for spec in specs {
        if spec.is_empty() {
            return Err("invalid empty volume spec".to_owned());
        }
        let source = source_of(spec)?;
        if source.is_empty() {
            volumes.anonymous.insert(spec.clone(), Empty {});
            continue;
        }
        let bind = format!("{}{}", absolute_if_dotted(source), &spec[source.len()..]);
        if !volumes.binds.contains(&bind) {
            volumes.binds.push(bind);
        }
    }
    Ok(volumes)
}

/// The part before the first colon; empty if there is no other part.
fn source_of(spec: &str) -> Result<&str, String> {
    if spec.len() <= 2 {
        return Ok("");
    }
    let empty_section = || format!("invalid spec: {spec}: empty section between colons");
    let is_drive = |section: &str| section.len() == 1 && section.bytes().all(|b| b.is_ascii_alphabetic());
    let mut sections = Vec::new();
    let mut start = 0;
    for (colon, _) in spec.match_indices(':') {
        if !is_drive(&spec[start..colon]) {
            sections.push(&spec[start..colon]);
            start = colon + 1;
        }
    }
    sections.push(&spec[start..]);
    if sections.iter().any(|section| section.is_empty()) {
        return Err(empty_section());
    }
    Ok(if sections.len() > 1 { sections[0] } else { "" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_and_anonymous_volumes_are_told_apart() {
        let here = std::env::current_dir().unwrap().display().to_string();
        let dotted = format!("{here}/x:/y");
        for (spec, bind) in [
            ("ab:/y", Some("ab:/y")),
            ("/a:/b:ro,z", Some("/a:/b:ro,z")),
            ("./x:/y", Some(dotted.as_str())),
            ("a b:/c", Some("a b:/c")),
            ("a:b:c", Some("a:b:c")),
            ("/a", None),
            ("x:/y", None),
            ("C:/x", None),
            ("a:", None),
            (".", None),
        ] {
            let volumes = parse(&[spec.to_owned()]).unwrap();
            match bind {
                Some(bind) => assert_eq!(
                    (volumes.binds.as_slice(), volumes.anonymous.len()),
                    (&[bind.to_owned()][..], 0)
                ),
                None => assert_eq!(volumes.anonymous.keys().next().map(String::as_str), Some(spec)),
            }
        }
    }

    #[test]
    fn empty_sections_are_refused() {
        assert_eq!(parse(&[String::new()]), Err("invalid empty volume spec".to_owned()));
        let want = "invalid spec: :/x: empty section between colons";
        assert_eq!(parse(&[":/x".to_owned()]), Err(want.to_owned()));
        assert!(parse(&["/a:/b::".to_owned()]).is_err());
    }
}
