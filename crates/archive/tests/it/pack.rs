//! Files as archives.

use std::os::fd::AsFd;
use std::os::unix::fs::symlink;

use archive::pack::pack_path;
use archive::tar::Reader;
use archive::walk::Descend;

use crate::kit::TempDir;

fn names(dir: &TempDir, path: &str, root_name: &str) -> Vec<String> {
    let bytes =
        pack_path(dir.fd(".").as_fd(), path.as_ref(), root_name.as_bytes(), Vec::new(), &mut |item| {
            Ok(if item.name == "hidden" { Descend::No } else { Descend::Yes })
        })
        .unwrap();
    let mut reader = Reader::new(bytes.as_slice());
    let mut names = Vec::new();
    while let Some(header) = reader.next().unwrap() {
        let link = String::from_utf8_lossy(&header.link).into_owned();
        let arrow = if link.is_empty() { "" } else { " -> " };
        names.push(format!("{}{arrow}{link}", String::from_utf8_lossy(&header.name)));
    }
    names
}

#[test]
fn a_tree_has_the_name_that_it_is_given() {
    let dir = TempDir::new();
    dir.folder("o/s");
    dir.folder("o/hidden/below");
    dir.file("o/f", "x");
    std::fs::hard_link(dir.0.join("o/f"), dir.0.join("o/g")).unwrap();
    symlink("f", dir.0.join("o/l")).unwrap();
    drop(std::os::unix::net::UnixListener::bind(dir.0.join("o/socket")).unwrap());
    let wanted = |root: &str| {
        ["", "f", "g", "hidden/", "l -> f", "s/"].map(|name| match name {
            "g" => format!("{root}g -> {root}f"),
            name => format!("{root}{name}"),
        })
    };
    assert_eq!(names(&dir, "o", "o"), wanted("o/"));
    assert_eq!(names(&dir, "o", "."), wanted("./"));
    assert_eq!(names(&dir, "o", "/"), wanted("/"));
    assert_eq!(names(&dir, "o/f", "f"), ["f"]);
    assert_eq!(names(&dir, "o/l", "l"), ["l -> f"]);
}
