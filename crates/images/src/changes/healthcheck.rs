//! `HEALTHCHECK`.

use oci::image::Healthcheck;

use super::duration;
use super::error::ChangeError;

const FLAGS: [&str; 5] = ["interval", "timeout", "start-period", "start-interval", "retries"];
const MILLISECOND: i64 = 1_000_000;

pub(super) fn parse(
    arguments: &[String],
    json: bool,
    flags: &[(String, Option<String>)],
) -> Result<Healthcheck, ChangeError> {
    let values = flag_values(flags)?;
    let (kind, command) = arguments.split_first().ok_or(ChangeError::AtLeastOne("HEALTHCHECK"))?;
    match kind.to_ascii_uppercase().as_str() {
        "NONE" if command.is_empty() => {
            return Ok(Healthcheck { test: vec!["NONE".to_owned()], ..Healthcheck::default() });
        }
        "NONE" => return Err(ChangeError::HealthcheckNone),
        "CMD" if command.is_empty() => return Err(ChangeError::HealthcheckCommand),
        "CMD" => {}
        other => return Err(ChangeError::HealthcheckType(other.to_owned())),
    }
    let form = if json { "CMD" } else { "CMD-SHELL" };
    let [interval, timeout, start_period, start_interval, retries] = values;
    Ok(Healthcheck {
        test: std::iter::once(form.to_owned()).chain(command.iter().cloned()).collect(),
        interval: interval_of(FLAGS[0], interval)?,
        timeout: interval_of(FLAGS[1], timeout)?,
        start_period: interval_of(FLAGS[2], start_period)?,
        start_interval: interval_of(FLAGS[3], start_interval)?,
        retries: retries_of(retries)?,
    })
}

fn flag_values(flags: &[(String, Option<String>)]) -> Result<[Option<&str>; 5], ChangeError> {
    let mut values = [None; 5];
    for (name, value) in flags {
        let known = FLAGS.iter().position(|flag| flag == name);
        let place = known.ok_or_else(|| ChangeError::UnknownFlag(name.clone()))?;
        if values[place].is_some() {
            return Err(ChangeError::DuplicateFlag(name.clone()));
        }
        let value = value.as_deref().ok_or_else(|| ChangeError::FlagWithoutValue(name.clone()))?;
        values[place] = Some(value);
    }
    Ok(values)
}

/// 0 means the default; anything else shorter than a millisecond is a mistake.
fn interval_of(flag: &'static str, value: Option<&str>) -> Result<i64, ChangeError> {
    let Some(value) = value.filter(|value| !value.is_empty()) else { return Ok(0) };
    let nanoseconds = duration::parse(value)?;
    if nanoseconds != 0 && nanoseconds < MILLISECOND {
        return Err(ChangeError::TooShort(flag));
    }
    Ok(nanoseconds)
}

fn retries_of(value: Option<&str>) -> Result<i64, ChangeError> {
    let Some(value) = value.filter(|value| !value.is_empty()) else { return Ok(0) };
    let retries: i32 = value.parse().map_err(|_| ChangeError::Number(value.to_owned()))?;
    if retries < 0 { Err(ChangeError::Retries(retries.into())) } else { Ok(retries.into()) }
}
