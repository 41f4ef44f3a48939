//! A site: a proxy, an NG daemon behind it, and agents that call each other.

use std::cell::RefCell;
use std::fs::{read_to_string, write};
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::agents::{Agent, Dialog, Parts, loopback, talk};
use crate::http;
use crate::party::{Ear, Heard};
use crate::ports::Ports;
use crate::process::{Process, command, wait_for};
use crate::recording;
use crate::setup::{
    ELSEWHERE, RELAY, answers, elsewhere_config, homeward_config, kamailio, options, proxy_config,
    rtpengine,
};

/// Which NG daemon carries the media.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Daemon {
    /// `homeward run`.
    Homeward,
    /// The daemon whose protocol this is; shows that the agents and the proxy do their part.
    Rtpengine,
}

/// What the relay has agreed on, and with whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Setup {
    /// `primary.example` gets copies, at the logger in the relay.
    Duplicate,
    /// So does `other.example`, at a logger elsewhere.
    TwoPrimaries,
    /// Calls go through `primary.example`, by the media anchor elsewhere.
    Redirect,
}

/// What is set up and called.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    /// The daemon.
    pub(crate) daemon: Daemon,
    /// What the relay knows of others.
    pub(crate) setup: Setup,
    /// Who calls whom, at most five.
    pub(crate) dialogs: &'static [Dialog],
    /// Whether callees are on IPv6 while callers are on IPv4.
    pub(crate) bridged: bool,
}

/// How a relay makes place for the next one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Restart {
    /// It is asked to end, and started when it has.
    Orderly,
    /// It is killed outright, and started again.
    Killed,
    /// The next one takes over its sockets.
    TakenOver,
}

/// The programs of a site, and where they keep their files.
#[derive(Debug)]
pub(crate) struct Site {
    plan: Plan,
    ports: Ports,
    // Declared, and so stopped, before the folder goes away.
    daemon: RefCell<Option<Process>>,
    elsewhere: RefCell<Option<Process>>,
    proxy: Process,
    dir: TempDir,
}

impl Site {
    /// Starts all programs, and returns when they answer.
    pub(crate) fn start(plan: Plan) -> Self {
        // In memory if possible: a logger that is killed loses what waits for its disk, and how
        // long others keep that busy is no part of a test.
        let dir = TempDir::new_in("/dev/shm")
            .or_else(|_| TempDir::new())
            .unwrap();
        let ports = Ports::find();
        if let Some(text) = elsewhere_config(plan.setup, ports) {
            write(dir.path().join(ELSEWHERE), text).unwrap();
        }
        write(dir.path().join(RELAY), homeward_config(plan.setup, ports)).unwrap();
        write(dir.path().join("kamailio.cfg"), proxy_config(plan, ports)).unwrap();
        let mut daemon = match plan.daemon {
            Daemon::Homeward => homeward(&["run", "--config", RELAY]),
            Daemon::Rtpengine => rtpengine(ports),
        };
        let mut site = Self {
            plan,
            ports,
            daemon: Some(Process::start("daemon", dir.path(), &mut daemon)).into(),
            elsewhere: None.into(),
            proxy: Process::start("proxy", dir.path(), &mut kamailio()),
            dir,
        };
        if plan.setup != Setup::Duplicate {
            site.start_elsewhere();
        }
        site.wait_for_daemon();
        let proxy = &mut site.proxy;
        wait_for("the proxy", Duration::from_secs(15), || {
            assert!(proxy.runs(), "the proxy has ended:\n{}", proxy.log());
            answers(ports.proxy(), &options(ports.proxy()), "SIP/2.0 200").then_some(())
        });
        site
    }

    /// Sends a request to the relay's hooks.
    pub(crate) fn http(&self, method: &str, path: &str, body: &str) -> (u16, serde_json::Value) {
        let send = || http::request(self.ports.http(), method, path, body);
        wait_for("the HTTP hooks", Duration::from_secs(10), send)
    }

    /// The recordings that the relay has closed.
    pub(crate) fn recordings(&self) -> Vec<PathBuf> {
        recording::find(&self.dir.path().join("data"))
    }

    /// The recordings that the logger elsewhere has closed.
    pub(crate) fn recordings_elsewhere(&self) -> Vec<PathBuf> {
        recording::find(&self.dir.path().join("elsewhere"))
    }

    /// Starts the logger elsewhere, again if need be, and waits until it answers.
    pub(crate) fn start_elsewhere(&self) {
        let mut start = homeward(&["logger", "--config", ELSEWHERE]);
        let mut process = Process::start("elsewhere", self.dir.path(), &mut start);
        wait_for("the logger elsewhere", Duration::from_secs(15), || {
            assert!(process.runs(), "it has ended:\n{}", process.log());
            http::request(self.ports.door(), "GET", "/healthz", "")
        });
        self.elsewhere.replace(Some(process));
    }

    /// Kills the logger elsewhere outright.
    pub(crate) fn kill_elsewhere(&self) {
        let process = self.elsewhere.take();
        process.unwrap().kill();
    }

    /// Restarts the relay. Gives when its end began, and when the next one answered.
    pub(crate) fn restart(&self, how: Restart) -> (Instant, Instant) {
        let begun = Instant::now();
        let mut daemon = self.daemon.take().unwrap();
        let mut run = vec!["run", "--config", RELAY];
        match how {
            Restart::Orderly => {
                let status = daemon.stop(Duration::from_secs(10));
                assert!(status.success(), "the relay: {status}\n{}", daemon.log());
            }
            Restart::Killed => daemon.kill(),
            Restart::TakenOver => run.push("--take-over"),
        }
        let next = Process::start("next", self.dir.path(), &mut homeward(&run));
        if how == Restart::TakenOver {
            let status = daemon.wait(Duration::from_secs(10));
            assert!(status.success(), "the relay: {status}\n{}", daemon.log());
        }
        self.daemon.replace(Some(next));
        self.wait_for_daemon();
        (begun, Instant::now())
    }

    /// Stops the daemon and the logger elsewhere, which are to end in good order. Gives all
    /// recordings that there are then.
    pub(crate) fn close(self) -> Vec<PathBuf> {
        let ends = self.elsewhere.take().into_iter();
        for mut process in [self.daemon.take()].into_iter().flatten().chain(ends) {
            let status = process.stop(Duration::from_secs(10));
            assert!(status.success(), "{status}\n{}", process.log());
        }
        [self.recordings(), self.recordings_elsewhere()].concat()
    }

    /// The ports of the site.
    pub(crate) const fn ports(&self) -> Ports {
        self.ports
    }

    /// What the programs have printed, for messages of failures.
    pub(crate) fn log(&self) -> String {
        let log = |of: &RefCell<Option<Process>>| {
            of.borrow().as_ref().map_or(String::new(), Process::log)
        };
        format!(
            "{}\nelsewhere:\n{}",
            log(&self.daemon),
            log(&self.elsewhere)
        )
    }

    /// Places the one call of the site: the agents play their parts, `during` looks on. Gives what
    /// the caller and the callee have heard.
    pub(crate) fn call(
        &self,
        caller: &Parts<'_>,
        callee: &Parts<'_>,
        during: impl FnOnce(&[Ear; 2]),
    ) -> [Vec<Heard>; 2] {
        let mut heard = self.calls(&[[caller, callee]], |ears| during(&ears[0]));
        heard.pop().unwrap()
    }

    /// Places all calls of the site at once.
    pub(crate) fn calls(
        &self,
        said: &[[&Parts<'_>; 2]],
        during: impl FnOnce(&[[Ear; 2]]),
    ) -> Vec<[Vec<Heard>; 2]> {
        assert_eq!(said.len(), self.plan.dialogs.len());
        let talk = talk(said.iter().flatten().flat_map(|parts| parts.iter()));
        let agents: Vec<[Agent; 2]> = (0..said.len()).map(|dialog| self.agents(dialog)).collect();
        let ears: Vec<[Ear; 2]> = agents
            .iter()
            .map(|both| both.map(|agent| Ear::open(agent.address, agent.ports.rtp())))
            .collect();
        let mut running = Vec::new();
        // Who is called has to listen first.
        for side in [1, 0] {
            for (both, parts) in agents.iter().zip(said) {
                let (agent, parts) = (both[side], parts[side]);
                let process = agent.start(self.dir.path(), self.ports.proxy(), parts, talk);
                running.push((agent.name(), process));
            }
        }
        during(&ears);
        let limit = talk * 3 + Duration::from_secs(20);
        for (name, agent) in &mut running {
            let status = agent.wait(limit);
            let trace = read_to_string(self.dir.path().join(format!("{name}.messages")));
            let (trace, log) = (trace.unwrap_or_default(), self.log());
            assert!(
                status.success(),
                "{name}: {status}\n{trace}\ndaemon:\n{log}"
            );
        }
        ears.into_iter().map(|both| both.map(Ear::close)).collect()
    }

    fn agents(&self, dialog: usize) -> [Agent; 2] {
        let number = u16::try_from(dialog).unwrap() * 2;
        [false, true].map(|is_callee| Agent {
            dialog: self.plan.dialogs[dialog],
            is_callee,
            ports: self.ports.agent(number + u16::from(is_callee)),
            address: loopback(is_callee && self.plan.bridged),
        })
    }

    fn wait_for_daemon(&self) {
        let mut daemon = self.daemon.borrow_mut();
        let daemon = daemon.as_mut().unwrap();
        wait_for("the daemon", Duration::from_secs(15), || {
            assert!(daemon.runs(), "the daemon has ended:\n{}", daemon.log());
            answers(self.ports.ng(), "0_0 d7:command4:pinge", "pong").then_some(())
        });
    }
}

fn homeward(args: &[&str]) -> Command {
    let mut command = command(env!("CARGO_BIN_EXE_homeward"));
    command.args(args);
    command
}
