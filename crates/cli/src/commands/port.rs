//! `port`: where the ports of a container are published.

use std::io::Write;

use api_types::host_config::PortBinding;

use crate::command::{Arity, Command};
use crate::context::Context;
use crate::error::{CommandError, Outcome};
use crate::flags::value::read_unsigned;
use crate::ui::Ui;

/// `port`.
pub(crate) struct Port;

impl Command for Port {
    type Args = ();
    const USAGE: &'static str = "CONTAINER [PRIVATE_PORT[/PROTO]]";
    const ABOUT: &'static str = "Show where the ports of a container are published";
    const ARITY: Arity = Arity::Between(1, 2);

    async fn run(_args: (), operands: Vec<String>, context: &Context, ui: &mut Ui) -> Outcome {
        let Some((container, port)) = operands.split_first() else { return Ok(0) };
        let found = context.engine(ui)?.inspect_container(container).await?;
        let published = found.network_settings.ports;
        if let Some(port) = port.first() {
            let bindings = published.get(&wanted(port)?).cloned().flatten().unwrap_or_default();
            if bindings.is_empty() {
                let why = format!("Error: No public port '{port}' published for {container}");
                return Err(CommandError::new(why));
            }
            for binding in &bindings {
                writeln!(ui.stdout(), "{}", address(binding))?;
            }
            return Ok(0);
        }
        let mut lines: Vec<(u16, String)> = Vec::new();
        for (port, bindings) in &published {
            let number = port.split('/').next().and_then(|number| number.parse().ok()).unwrap_or(0);
            for binding in bindings.iter().flatten() {
                lines.push((number, format!("{port} -> {}", address(binding))));
            }
        }
        lines.sort();
        for (_, line) in lines {
            writeln!(ui.stdout(), "{line}")?;
        }
        Ok(0)
    }
}

/// The key of a port in the engine's answer: `80` is `80/tcp`.
fn wanted(port: &str) -> Result<String, CommandError> {
    let (number, protocol) = port.split_once('/').unwrap_or((port, ""));
    let number = read_unsigned(number, 16)
        .map_err(|why| CommandError::new(format!("Error: invalid port ({number}): {why}")))?;
    let protocol = if protocol.is_empty() { "tcp" } else { protocol };
    Ok(format!("{number}/{protocol}"))
}

/// `0.0.0.0:80`, `[::]:80`.
fn address(binding: &PortBinding) -> String {
    match binding.host_ip.contains(':') {
        true => format!("[{}]:{}", binding.host_ip, binding.host_port),
        false => format!("{}:{}", binding.host_ip, binding.host_port),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_tcp_unless_it_says_otherwise() {
        for (given, want) in
            [("80", "80/tcp"), ("80/", "80/tcp"), ("9001/udp", "9001/udp"), ("80/x/y", "80/x/y")]
        {
            assert_eq!(wanted(given).unwrap(), want);
        }
        for (given, want) in [
            ("abc", "Error: invalid port (abc): strconv.ParseUint: parsing \"abc\": invalid syntax"),
            ("/tcp", "Error: invalid port (): strconv.ParseUint: parsing \"\": invalid syntax"),
            (
                "70000",
                "Error: invalid port (70000): strconv.ParseUint: parsing \"70000\": value out of range",
            ),
        ] {
            assert_eq!(wanted(given).unwrap_err().message, want);
        }
    }

    #[test]
    fn addresses_of_ipv6_stand_in_brackets() {
        let at = |ip: &str| address(&PortBinding { host_ip: ip.to_owned(), host_port: "8080".to_owned() });
        assert_eq!((at("0.0.0.0").as_str(), at("::").as_str()), ("0.0.0.0:8080", "[::]:8080"));
    }
}
