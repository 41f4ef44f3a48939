//! Between the home legs of the control loop and the SIP client of a media anchor: jobs go one
//! way, news the other.

use tokio::sync::mpsc;

use super::control::Mailbox;
use super::homes::{HomeJob, HomeNews, HomeOutcome};

/// Starts the client of one anchor; it ends when the sender is dropped. Must be called within a
/// tokio runtime.
pub(super) fn start(mailbox: &Mailbox) -> mpsc::Sender<HomeJob> {
    let (jobs, inbox) = mpsc::channel(QUEUE);
    tokio::spawn(run(inbox, mailbox.clone()));
    jobs
}

async fn run(mut inbox: mpsc::Receiver<HomeJob>, mailbox: Mailbox) {
    while let Some(job) = inbox.recv().await {
        let (HomeJob::Open { of, .. } | HomeJob::Update { of, .. }) = job else {
            continue;
        };
        let news = HomeNews {
            of,
            outcome: HomeOutcome::Failed("SIP is not supported in this version".to_owned()),
        };
        let told = mailbox.with(move |engine| engine.home_news(news)).await;
        if told.is_err() {
            return;
        }
    }
}

/// Jobs that wait for the client of one anchor: a burst of calls.
const QUEUE: usize = 4_096;
