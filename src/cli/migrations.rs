//! `homeward migrations`: who has migrated to this system.

use anyhow::Result;
use clap::{Args, Subcommand};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::client::{Door, DoorArgs, encoded};
use super::table::{Table, printable};
use super::{Status, say};

/// Arguments of `homeward migrations`.
#[derive(Debug, Args)]
pub(super) struct MigrationsArgs {
    #[command(flatten)]
    door: DoorArgs,
    #[command(subcommand)]
    what: Option<What>,
}

#[derive(Debug, Subcommand)]
enum What {
    /// List migrations; without a subcommand: those in force or to come
    List(ListArgs),
    /// Show all of one migration
    Show {
        /// Its number
        #[arg(value_name = "NUMBER")]
        id: u64,
    },
    /// Add a migration: a user of another system is served here from now on
    Add(AddArgs),
    /// End a migration now
    End {
        /// Its number
        #[arg(value_name = "NUMBER")]
        id: u64,
    },
}

#[derive(Debug, Default, Args)]
struct ListArgs {
    /// Ended ones too
    #[arg(long)]
    all: bool,
    /// Only of this service
    #[arg(long, value_name = "SERVICE")]
    service: Option<String>,
    /// Only of this user, by the ID at home
    #[arg(long, value_name = "ID")]
    primary_id: Option<String>,
    /// Only of this user, by the ID here
    #[arg(long, value_name = "ID")]
    partner_id: Option<String>,
    /// Only of users of this system
    #[arg(long, value_name = "NAME")]
    primary_system: Option<String>,
}

#[derive(Debug, Args)]
struct AddArgs {
    /// The user's MC service ID at home
    #[arg(long, value_name = "ID")]
    primary_id: String,
    /// The user's MC service ID here
    #[arg(long, value_name = "ID")]
    partner_id: String,
    /// The user's own MC system
    #[arg(long, value_name = "NAME")]
    primary_system: String,
    /// mcptt, mcvideo or mcdata
    #[arg(long, value_name = "SERVICE", default_value = "mcptt")]
    service: String,
    /// A functional alias that the user holds here; may be given several times
    #[arg(long = "alias", value_name = "ALIAS")]
    aliases: Vec<String>,
    /// Who set the migration off: client or primary-system
    #[arg(long, value_name = "WHO")]
    trigger: Option<String>,
    /// Index of the user profile in use
    #[arg(long, value_name = "N")]
    profile_index: Option<u32>,
    /// In force from this time on, as 2026-01-31T12:00:00Z; now if not given
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// In force until this time; until it is ended if not given
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
}

/// A page of records.
#[derive(Debug, Deserialize)]
struct Page {
    migrations: Vec<Record>,
}

/// A record, as far as it is shown in a line.
#[derive(Debug, Deserialize)]
struct Record {
    id: u64,
    service: String,
    primary_id: String,
    partner_id: String,
    primary_system: String,
    since: String,
    until: Option<String>,
    #[serde(default)]
    result: String,
}

pub(super) fn run(args: &MigrationsArgs) -> Result<Status> {
    let mut door = args.door.open()?;
    let as_json = args.door.json;
    match &args.what {
        None => list(&mut door, &ListArgs::default(), as_json)?,
        Some(What::List(filter)) => list(&mut door, filter, as_json)?,
        Some(What::Show { id }) => {
            let record = door.ask("GET", &one(*id), None)?;
            whole(&record, as_json);
        }
        Some(What::Add(new)) => {
            let record = door.ask("POST", "/v1/migrations", Some(&body(new)))?;
            told(&door, "added", record, as_json)?;
        }
        Some(What::End { id }) => {
            let record = door.ask("DELETE", &one(*id), None)?;
            told(&door, "ended", record, as_json)?;
        }
    }
    Ok(Status::Good)
}

fn one(id: u64) -> String {
    format!("/v1/migrations/{id}")
}

fn list(door: &mut Door, filter: &ListArgs, as_json: bool) -> Result<()> {
    let heading = [
        "NUMBER",
        "SERVICE",
        "ID HERE",
        "ID AT HOME",
        "HOME",
        "SINCE",
        "UNTIL",
    ];
    let mut table = Table::new(&heading, &[0]);
    let (mut all, mut number) = (Vec::new(), 0_usize);
    let query = query(filter);
    let mut after = String::new();
    loop {
        let mut answer = door.ask("GET", &format!("/v1/migrations?{query}{after}"), None)?;
        let next = answer.get("next").and_then(Value::as_u64);
        if as_json {
            if let Some(Value::Array(records)) = answer.get_mut("migrations") {
                all.append(records);
            }
        } else {
            let page: Page = door.read(answer)?;
            number += page.migrations.len();
            page.migrations
                .iter()
                .for_each(|record| row(&mut table, record));
        }
        match next {
            Some(next) => after = format!("&after={next}"),
            None => break,
        }
    }
    say(&match (as_json, number) {
        (true, _) => format!("{}\n", json!({ "migrations": all, "next": null })),
        (false, 0) => "no migrations\n".to_owned(),
        (false, 1) => format!("{}1 migration\n", table.text("")),
        (false, number) => format!("{}{number} migrations\n", table.text("")),
    });
    Ok(())
}

fn query(filter: &ListArgs) -> String {
    let mut query = format!("limit=1000&all={}", filter.all);
    for (key, value) in [
        ("service", &filter.service),
        ("primary_id", &filter.primary_id),
        ("partner_id", &filter.partner_id),
        ("primary_system", &filter.primary_system),
    ] {
        if let Some(value) = value {
            query.push_str(&format!("&{key}={}", encoded(value)));
        }
    }
    query
}

fn row(table: &mut Table, record: &Record) {
    let until = match (&record.until, record.result == "failed") {
        (_, true) => "failed",
        (Some(until), false) => until,
        (None, false) => "-",
    };
    table.row(&[
        &record.id.to_string(),
        &record.service,
        &record.partner_id,
        &record.primary_id,
        &record.primary_system,
        &record.since,
        until,
    ]);
}

fn body(new: &AddArgs) -> Value {
    let mut body = Map::new();
    let mut put = |key: &str, value: Value| drop(body.insert(key.to_owned(), value));
    put("service", json!(new.service));
    put("primary_id", json!(new.primary_id));
    put("partner_id", json!(new.partner_id));
    put("primary_system", json!(new.primary_system));
    put("functional_aliases", json!(new.aliases));
    if let Some(trigger) = &new.trigger {
        put("trigger", json!(trigger));
    }
    put("profile_index", json!(new.profile_index));
    put("since", json!(new.since));
    put("until", json!(new.until));
    Value::Object(body)
}

fn told(door: &Door, what: &str, answer: Value, as_json: bool) -> Result<()> {
    if as_json {
        say(&format!("{answer}\n"));
        return Ok(());
    }
    let record: Record = door.read(answer)?;
    let until = match &record.until {
        Some(until) => format!(" until {until}"),
        None => String::new(),
    };
    let line = format!(
        "migration {} {what}: {} of {} is {} here for {}, since {}{until}",
        record.id,
        record.primary_id,
        record.primary_system,
        record.partner_id,
        record.service,
        record.since
    );
    say(&format!("{}\n", printable(&line)));
    Ok(())
}

/// Every member on a line of its own.
fn whole(record: &Value, as_json: bool) {
    if as_json {
        say(&format!("{record}\n"));
        return;
    }
    let members = record.as_object().into_iter().flatten();
    for (key, value) in members {
        let text = match value {
            Value::Null => "-".to_owned(),
            Value::String(text) => text.clone(),
            Value::Array(list) if list.is_empty() => "-".to_owned(),
            Value::Array(list) => {
                let texts = list.iter().map(|item| match item.as_str() {
                    Some(text) => text.to_owned(),
                    None => item.to_string(),
                });
                texts.collect::<Vec<String>>().join(", ")
            }
            Value::Bool(_) | Value::Number(_) | Value::Object(_) => value.to_string(),
        };
        say(&format!("{key:<19} {}\n", printable(&text)));
    }
}
