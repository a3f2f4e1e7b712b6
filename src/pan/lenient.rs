//! Numbers or strings, null or missing: what the service sends where one type is meant.
//!
//! The web answers mix styles (API page 0 and 5.4): ids and sizes as numbers or strings, times as
//! RFC 3339 or Unix seconds, flags as booleans or numbers, lists as null. These functions are for
//! `#[serde(deserialize_with)]`; together with `#[serde(default)]` a missing field is the same as null.

use std::fmt;

use jiff::civil::DateTime;
use jiff::tz::Offset;
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// The zone of times that name none (API page 8).
const CHINA: Offset = Offset::constant(8);
/// Larger numbers of seconds are milliseconds: the year 5138.
const MILLIS_FROM: i64 = 100_000_000_000;

/// Any scalar; what is no scalar counts as null.
enum Scalar {
    Null,
    Int(i64),
    Text(String),
}

/// An integer; 0 where there is none.
pub fn int<'de, D: Deserializer<'de>>(d: D) -> Result<i64, D::Error> {
    Ok(opt_int(d)?.unwrap_or(0))
}

/// An integer, where there is one.
pub fn opt_int<'de, D: Deserializer<'de>>(d: D) -> Result<Option<i64>, D::Error> {
    Ok(match d.deserialize_any(ScalarVisitor)? {
        Scalar::Int(n) => Some(n),
        Scalar::Text(s) => s.trim().parse().ok(),
        Scalar::Null => None,
    })
}

/// A text; empty where there is none.
pub fn text<'de, D: Deserializer<'de>>(d: D) -> Result<String, D::Error> {
    Ok(match d.deserialize_any(ScalarVisitor)? {
        Scalar::Text(s) => s,
        Scalar::Int(n) => n.to_string(),
        Scalar::Null => String::new(),
    })
}

/// A flag: true, a number other than 0, or the text of either.
pub fn flag<'de, D: Deserializer<'de>>(d: D) -> Result<bool, D::Error> {
    Ok(match d.deserialize_any(ScalarVisitor)? {
        Scalar::Int(n) => n != 0,
        Scalar::Text(s) => !matches!(s.trim(), "" | "0" | "false" | "False"),
        Scalar::Null => false,
    })
}

/// A time as Unix seconds; 0 where it is unknown or cannot be read.
pub fn time<'de, D: Deserializer<'de>>(d: D) -> Result<i64, D::Error> {
    Ok(match d.deserialize_any(ScalarVisitor)? {
        Scalar::Int(n) => seconds(n),
        Scalar::Text(s) => parse_time(&s),
        Scalar::Null => 0,
    })
}

/// A list; empty where it is null.
pub fn list<'de, D: Deserializer<'de>, T: Deserialize<'de>>(d: D) -> Result<Vec<T>, D::Error> {
    Ok(Option::<Vec<T>>::deserialize(d)?.unwrap_or_default())
}

/// Reads a time: RFC 3339, Unix seconds, or `YYYY-MM-DD hh:mm:ss` in UTC+8. 0 where it is none of these.
pub fn parse_time(text: &str) -> i64 {
    let text = text.trim();
    if let Ok(n) = text.parse::<i64>() {
        return seconds(n);
    }
    if let Ok(at) = text.parse::<jiff::Timestamp>() {
        return at.as_second().max(0);
    }
    // The old Open list prints "2025-01-01 08:00:00 +0800 CST": date and clock are its first 19 bytes.
    text.get(..19)
        .and_then(|t| t.parse::<DateTime>().ok())
        .and_then(|t| CHINA.to_timestamp(t).ok())
        .map_or(0, |at| at.as_second().max(0))
}

fn seconds(n: i64) -> i64 {
    if n >= MILLIS_FROM { n / 1000 } else { n.max(0) }
}

struct ScalarVisitor;

impl<'de> Visitor<'de> for ScalarVisitor {
    type Value = Scalar;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number, a string, a boolean or null")
    }

    fn visit_bool<E>(self, v: bool) -> Result<Scalar, E> {
        Ok(Scalar::Int(i64::from(v)))
    }

    fn visit_i64<E>(self, v: i64) -> Result<Scalar, E> {
        Ok(Scalar::Int(v))
    }

    fn visit_u64<E>(self, v: u64) -> Result<Scalar, E> {
        Ok(i64::try_from(v).map_or(Scalar::Null, Scalar::Int))
    }

    fn visit_f64<E>(self, v: f64) -> Result<Scalar, E> {
        // Only floats that are integers, within what a float holds exactly.
        let exact = v.fract() == 0.0 && v.abs() < 9_007_199_254_740_992.0;
        #[allow(clippy::cast_possible_truncation)]
        Ok(if exact {
            Scalar::Int(v as i64)
        } else {
            Scalar::Null
        })
    }

    fn visit_str<E>(self, v: &str) -> Result<Scalar, E> {
        Ok(Scalar::Text(v.to_owned()))
    }

    fn visit_string<E>(self, v: String) -> Result<Scalar, E> {
        Ok(Scalar::Text(v))
    }

    fn visit_unit<E>(self) -> Result<Scalar, E> {
        Ok(Scalar::Null)
    }

    fn visit_none<E>(self) -> Result<Scalar, E> {
        Ok(Scalar::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Scalar, A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Scalar::Null)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Scalar, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Scalar::Null)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[derive(serde::Deserialize)]
    struct Row {
        #[serde(default, deserialize_with = "int")]
        id: i64,
        #[serde(default, deserialize_with = "flag")]
        trashed: bool,
        #[serde(default, deserialize_with = "time")]
        at: i64,
        #[serde(default, deserialize_with = "text")]
        name: String,
        #[serde(default, deserialize_with = "list")]
        list: Vec<u8>,
    }

    fn row(json: &str) -> Row {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn numbers_and_strings_mean_the_same() {
        assert_eq!(row(r#"{"id":12}"#).id, 12);
        assert_eq!(row(r#"{"id":"12"}"#).id, 12);
        assert_eq!(row(r#"{"id":12.0}"#).id, 12);
        assert_eq!(row(r#"{"id":null}"#).id, 0);
        assert_eq!(row("{}").id, 0);
        assert_eq!(row(r#"{"id":{"x":[1]}}"#).id, 0);
        assert_eq!(row(r#"{"name":7}"#).name, "7");
        assert!(row(r#"{"trashed":1}"#).trashed);
        assert!(row(r#"{"trashed":true}"#).trashed);
        assert!(!row(r#"{"trashed":"0"}"#).trashed);
        assert!(row(r#"{"list":null}"#).list.is_empty());
    }

    #[test]
    fn times_come_as_rfc_3339_or_unix_seconds() {
        let at = 1_767_294_245;
        assert_eq!(row(r#"{"at":"2026-01-02T03:04:05+08:00"}"#).at, at);
        assert_eq!(row(r#"{"at":"2026-01-01T19:04:05Z"}"#).at, at);
        assert_eq!(row(r#"{"at":1767294245}"#).at, at);
        assert_eq!(row(r#"{"at":"1767294245"}"#).at, at);
        assert_eq!(row(r#"{"at":1767294245123}"#).at, at);
        assert_eq!(row(r#"{"at":"2026-01-02 03:04:05"}"#).at, at);
        assert_eq!(row(r#"{"at":"2026-01-02 03:04:05 +0800 CST"}"#).at, at);
        assert_eq!(row(r#"{"at":"yesterday"}"#).at, 0);
        assert_eq!(row(r#"{"at":"0001-01-01T00:00:00Z"}"#).at, 0);
        assert_eq!(row(r#"{"at":"长长长长长长长长"}"#).at, 0);
    }
}
