//! `info` for people.

use std::io::{self, Write};

use serde_json::Value as Json;

use crate::ui::Ui;
use crate::units::binary_size;

/// Prints both parts; the engine's head alone when it did not answer.
pub(super) fn print(client: &Json, engine: Option<&Json>, ui: &mut Ui) -> io::Result<()> {
    let out = ui.stdout();
    writeln!(out, "Client:")?;
    writeln!(out, " Version:    {}", text(client, "Version"))?;
    writeln!(out, " Context:    {}", text(client, "Context"))?;
    writeln!(out, " Debug Mode: {}", text(client, "Debug"))?;
    writeln!(out, "\nServer:")?;
    let Some(info) = engine else { return Ok(()) };
    print_engine(info, out)?;
    writeln!(out)?;
    let warnings: Vec<String> = texts(&info["Warnings"]);
    for warning in warnings {
        ui.tell(&warning);
    }
    Ok(())
}

/// A member as people read it; empty when it is absent.
fn text(json: &Json, name: &str) -> String {
    match &json[name] {
        Json::Null => String::new(),
        Json::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn texts(json: &Json) -> Vec<String> {
    let items = json.as_array().map(Vec::as_slice).unwrap_or_default();
    items.iter().filter_map(|item| item.as_str().map(str::to_owned)).collect()
}

/// Prints ` LABEL: VALUE` for each member that is there.
fn rows(info: &Json, rows: &[(&str, &str)], out: &mut impl Write) -> io::Result<()> {
    for (label, name) in rows {
        let value = text(info, name);
        if !value.is_empty() {
            writeln!(out, " {label}: {value}")?;
        }
    }
    Ok(())
}

fn print_engine(info: &Json, out: &mut impl Write) -> io::Result<()> {
    rows(
        info,
        &[
            ("Containers", "Containers"),
            (" Running", "ContainersRunning"),
            (" Paused", "ContainersPaused"),
            (" Stopped", "ContainersStopped"),
            ("Images", "Images"),
            ("Server Version", "ServerVersion"),
            ("Storage Driver", "Driver"),
        ],
        out,
    )?;
    for pair in info["DriverStatus"].as_array().map(Vec::as_slice).unwrap_or_default() {
        writeln!(
            out,
            "  {}: {}",
            pair[0].as_str().unwrap_or_default(),
            pair[1].as_str().unwrap_or_default()
        )?;
    }
    rows(
        info,
        &[
            ("Logging Driver", "LoggingDriver"),
            ("Cgroup Driver", "CgroupDriver"),
            ("Cgroup Version", "CgroupVersion"),
        ],
        out,
    )?;
    print_plugins(info, out)?;
    writeln!(out, " Swarm: {}", text(&info["Swarm"], "LocalNodeState"))?;
    if let Some(runtimes) = info["Runtimes"].as_object().filter(|runtimes| !runtimes.is_empty()) {
        let names: Vec<&str> = runtimes.keys().map(String::as_str).collect();
        writeln!(out, " Runtimes: {}", names.join(" "))?;
        writeln!(out, " Default Runtime: {}", text(info, "DefaultRuntime"))?;
    }
    if info["OSType"] == "linux" {
        print_linux(info, out)?;
    }
    rows(
        info,
        &[
            ("Kernel Version", "KernelVersion"),
            ("Operating System", "OperatingSystem"),
            ("OSType", "OSType"),
            ("Architecture", "Architecture"),
            ("CPUs", "NCPU"),
        ],
        out,
    )?;
    writeln!(out, " Total Memory: {}", binary_size(info["MemTotal"].as_i64().unwrap_or(0)))?;
    rows(
        info,
        &[("Name", "Name"), ("ID", "ID"), ("Docker Root Dir", "DockerRootDir"), ("Debug Mode", "Debug")],
        out,
    )?;
    if info["Debug"] == true {
        rows(
            info,
            &[
                (" File Descriptors", "NFd"),
                (" Goroutines", "NGoroutines"),
                (" System Time", "SystemTime"),
                (" EventsListeners", "NEventsListener"),
            ],
            out,
        )?;
    }
    rows(info, &[("HTTP Proxy", "HttpProxy"), ("HTTPS Proxy", "HttpsProxy"), ("No Proxy", "NoProxy")], out)?;
    list(" Labels:", &texts(&info["Labels"]), out)?;
    rows(info, &[("Experimental", "ExperimentalBuild")], out)?;
    print_registries(&info["RegistryConfig"], out)?;
    rows(
        info,
        &[("Live Restore Enabled", "LiveRestoreEnabled"), ("Product License", "ProductLicense")],
        out,
    )?;
    print_pools(info, out)
}

fn list(head: &str, items: &[String], out: &mut impl Write) -> io::Result<()> {
    if items.is_empty() {
        return Ok(());
    }
    writeln!(out, "{head}")?;
    items.iter().try_for_each(|item| writeln!(out, "  {item}"))
}

fn print_plugins(info: &Json, out: &mut impl Write) -> io::Result<()> {
    let plugins = |kind: &str| texts(&info["Plugins"][kind]).join(" ");
    writeln!(out, " Plugins:")?;
    writeln!(out, "  Volume: {}", plugins("Volume"))?;
    writeln!(out, "  Network: {}", plugins("Network"))?;
    let authorization = plugins("Authorization");
    if !authorization.is_empty() {
        writeln!(out, "  Authorization: {authorization}")?;
    }
    writeln!(out, "  Log: {}", plugins("Log"))?;
    list(" CDI spec directories:", &texts(&info["CDISpecDirs"]), out)
}

fn print_linux(info: &Json, out: &mut impl Write) -> io::Result<()> {
    writeln!(out, " Init Binary: {}", text(info, "InitBinary"))?;
    writeln!(out, " containerd version: {}", text(&info["ContainerdCommit"], "ID"))?;
    writeln!(out, " runc version: {}", text(&info["RuncCommit"], "ID"))?;
    writeln!(out, " init version: {}", text(&info["InitCommit"], "ID"))?;
    let options = texts(&info["SecurityOptions"]);
    if options.is_empty() {
        return Ok(());
    }
    writeln!(out, " Security Options:")?;
    for option in &options {
        let pairs = || option.split(',').filter_map(|pair| pair.split_once('='));
        match pairs().find(|(key, _)| *key == "name") {
            Some((_, name)) => writeln!(out, "  {name}")?,
            None => writeln!(out, "  {option}")?,
        }
        if let Some((_, profile)) = pairs().find(|(key, _)| *key == "profile") {
            writeln!(out, "   Profile: {profile}")?;
        }
    }
    Ok(())
}

fn print_registries(config: &Json, out: &mut impl Write) -> io::Result<()> {
    let indexes = config["IndexConfigs"].as_object();
    let insecure = indexes.into_iter().flatten().filter(|(_, index)| index["Secure"] == false);
    let names = insecure.map(|(_, index)| text(index, "Name")).chain(texts(&config["InsecureRegistryCIDRs"]));
    list(" Insecure Registries:", &names.collect::<Vec<_>>(), out)?;
    list(" Registry Mirrors:", &texts(&config["Mirrors"]), out)
}

fn print_pools(info: &Json, out: &mut impl Write) -> io::Result<()> {
    let pools = info["DefaultAddressPools"].as_array().map(Vec::as_slice).unwrap_or_default();
    if pools.is_empty() {
        return Ok(());
    }
    writeln!(out, " Default Address Pools:")?;
    pools.iter().try_for_each(|pool| {
        writeln!(out, "   Base: {}, Size: {}", text(pool, "Base"), pool["Size"].as_i64().unwrap_or(0))
    })
}
