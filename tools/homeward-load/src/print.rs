//! What is shown: the progress bar, the report as text or JSON, and errors.

use std::io::{self, Write};

use homeward::traffic::recordings::Found;
use homeward::traffic::report::{Control, Packets, Percentiles};
use homeward::traffic::{Progress, Report};
use indicatif::{ProgressBar, ProgressStyle};

/// A progress bar on standard error if that is a terminal.
pub(crate) struct Bar(ProgressBar);

impl Bar {
    /// A bar, or nothing at all with `quiet`.
    pub(crate) fn new(quiet: bool) -> Self {
        let bar = if quiet {
            ProgressBar::hidden()
        } else {
            ProgressBar::new(0)
        };
        // A template that does not parse leaves the default one.
        let template = "{elapsed} [{bar:30}] {pos}/{len} packets, {msg}";
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style.progress_chars("=> "));
        }
        Self(bar)
    }

    /// Shows how far the run is.
    pub(crate) fn show(&self, progress: &Progress) {
        self.0.set_length(progress.planned);
        self.0.set_position(progress.arrived);
        let standing = progress.placed.saturating_sub(progress.ended);
        let (placed, calls) = (progress.placed, progress.calls);
        self.0.set_message(format!(
            "{placed} of {calls} calls placed, {standing} standing"
        ));
    }

    /// Takes the bar away.
    pub(crate) fn clear(&self) {
        self.0.finish_and_clear();
    }
}

/// An error, on standard error.
pub(crate) fn error(error: &anyhow::Error) {
    // Where standard error is closed there is nobody to tell.
    let _ = writeln!(io::stderr(), "homeward-load: {error}");
}

/// The report as one JSON object on a line.
pub(crate) fn json(report: &Report, found: Option<&Found>) -> anyhow::Result<()> {
    let mut value = serde_json::to_value(report)?;
    if let Some(object) = value.as_object_mut() {
        object.insert("passed".to_owned(), report.passed().into());
        if let Some(found) = found {
            object.insert("recordings".to_owned(), serde_json::to_value(found)?);
        }
    }
    writeln!(io::stdout(), "{value}")?;
    Ok(())
}

/// The report as a short text.
pub(crate) fn text(report: &Report, found: Option<&Found>) -> io::Result<()> {
    let mut out = io::stdout().lock();
    let calls = report.calls;
    writeln!(
        out,
        "calls        {} ok, {} failed, of {}; {:.1} s",
        calls.ok, calls.failed, calls.planned, report.elapsed_secs
    )?;
    let head = [
        "sent",
        "received",
        "lost",
        "altered",
        "duplicate",
        "reordered",
        "foreign",
    ];
    writeln!(
        out,
        "{:12} {}",
        "packets",
        head.map(|name| format!("{name:>10}")).concat()
    )?;
    packets(&mut out, "  to callee", &report.caller_to_callee)?;
    packets(&mut out, "  to caller", &report.callee_to_caller)?;
    control(&mut out, "  RTCP", &report.rtcp)?;
    control(&mut out, "  floor", &report.floor)?;
    let head = ["p50", "p90", "p99", "p99.9", "max"];
    let head = head.map(|name| format!("{name:>10}")).concat();
    writeln!(out, "{:12} {head}", "microseconds")?;
    percentiles(&mut out, "  latency", &report.latency_us)?;
    percentiles(&mut out, "  from due", &report.latency_from_due_us)?;
    percentiles(&mut out, "  first", &report.first_packet_us)?;
    percentiles(&mut out, "  jitter", &report.jitter_us)?;
    percentiles(&mut out, "  set-up", &report.setup_us)?;
    if report.send_errors > 0 || report.ng_repeats > 0 {
        let (errors, repeats) = (report.send_errors, report.ng_repeats);
        writeln!(
            out,
            "this host    {errors} sends failed, {repeats} NG requests repeated"
        )?;
    }
    if let Some(found) = found {
        recordings(&mut out, found)?;
    }
    if report.interrupted {
        writeln!(out, "interrupted")?;
    }
    for problem in &report.problems {
        writeln!(out, "problem      {problem}")?;
    }
    Ok(())
}

fn packets(out: &mut impl Write, name: &str, counts: &Packets) -> io::Result<()> {
    let Packets {
        sent,
        received,
        lost,
        duplicate,
        reordered,
        altered,
        foreign,
    } = counts;
    writeln!(
        out,
        "{name:12} {sent:>10}{received:>10}{lost:>10}{altered:>10}{duplicate:>10}{reordered:>10}\
         {foreign:>10}"
    )
}

/// Nothing for what was not sent.
fn control(out: &mut impl Write, name: &str, counts: &Control) -> io::Result<()> {
    let Control {
        sent,
        received,
        lost,
        duplicate,
        foreign,
    } = counts;
    if sent + foreign == 0 {
        return Ok(());
    }
    let none = "-";
    writeln!(
        out,
        "{name:12} {sent:>10}{received:>10}{lost:>10}{none:>10}{duplicate:>10}{none:>10}\
         {foreign:>10}"
    )
}

fn percentiles(out: &mut impl Write, name: &str, times: &Percentiles) -> io::Result<()> {
    let Percentiles {
        p50,
        p90,
        p99,
        p999,
        max,
        ..
    } = times;
    writeln!(
        out,
        "{name:12} {p50:>10}{p90:>10}{p99:>10}{p999:>10}{max:>10}"
    )
}

fn recordings(out: &mut impl Write, found: &Found) -> io::Result<()> {
    writeln!(
        out,
        "recordings   {} files, {} packets stored, {} missing, {} altered, {} duplicate, {} \
         unexpected",
        found.files.len(),
        found.stored,
        found.missing,
        found.altered,
        found.duplicate,
        found.unexpected
    )?;
    for problem in &found.problems {
        writeln!(out, "problem      {problem}")?;
    }
    Ok(())
}
