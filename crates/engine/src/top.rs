//! `top`: the host's `ps`, and of its lines those of the container.

use std::process::Command;
use std::sync::Arc;

use runtime::cgroup::Cgroup;

use crate::container::Container;
use crate::error::{EngineError, ErrorKind, Result};
use crate::shared::Shared;

/// Titles, and a row per process.
pub(crate) type Table = (Vec<String>, Vec<Vec<String>>);

/// Runs `ps` with the user's arguments. Blocks.
pub(crate) fn top(shared: &Shared, container: &Arc<Container>, arguments: &str) -> Result<Table> {
    let record = container.record();
    if record.state.run().is_none() {
        return Err(EngineError::conflict(format!("container {} is not running", record.id)));
    }
    let cgroup = Cgroup::open(&shared.layout.cgroup(&record.id, &record.host_config.cgroup_parent));
    let pids =
        cgroup.pids().map_err(|error| EngineError::system("cannot list the container's processes", error))?;
    let output = Command::new("ps")
        .args(arguments.split_whitespace())
        .output()
        .map_err(|error| EngineError::system("error running ps", crate::error::plain(&error)))?;
    if !output.status.success() {
        let text = String::from_utf8_lossy(&output.stderr);
        // What follows is how to use ps.
        return Err(EngineError::system("ps", text.trim().lines().next().unwrap_or_default()));
    }
    select(&String::from_utf8_lossy(&output.stdout), &pids)
}

/// The lines whose pid is one of `pids`; the last column keeps its blanks.
fn select(text: &str, pids: &[i32]) -> Result<Table> {
    let mut lines = text.lines();
    let titles: Vec<String> =
        lines.next().unwrap_or_default().split_whitespace().map(str::to_owned).collect();
    let column = titles
        .iter()
        .position(|title| title == "PID")
        .ok_or_else(|| EngineError::new(ErrorKind::System, "Couldn't find PID field in ps output"))?;
    let mut processes = Vec::new();
    for line in lines {
        let mut fields: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        let pid = fields.get(column).and_then(|pid| pid.parse::<i32>().ok());
        if !pid.is_some_and(|pid| pids.contains(&pid)) {
            continue;
        }
        if fields.len() > titles.len() {
            let last = fields.split_off(titles.len() - 1).join(" ");
            fields.push(last);
        }
        processes.push(fields);
    }
    Ok((titles, processes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_selected_by_pid() {
        let text = "UID PID PPID CMD\nroot 7 1 sleep 10 20\nroot 8 1 other\n";
        let (titles, processes) = select(text, &[7]).unwrap();
        assert_eq!(titles, ["UID", "PID", "PPID", "CMD"]);
        assert_eq!(processes, [["root", "7", "1", "sleep 10 20"]]);
        assert!(select("A B\n", &[1]).is_err());
    }
}
