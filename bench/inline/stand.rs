//! What stands between the two ends: a bridge of the kernel's, stopgap, or Suricata, each told to do the same.

use super::Args;
use super::wire::used;
use crate::compare::others;
use harness::netns::{At, Bed, PORTS};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// The longest a start may take, and an end.
const START: Duration = Duration::from_secs(90);
const END: Duration = Duration::from_secs(10);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Program {
    Bridge,
    Suricata,
    Stopgap,
}

impl Program {
    pub const fn name(self) -> &'static str {
        match self {
            Program::Bridge => "bridge",
            Program::Suricata => "suricata",
            Program::Stopgap => "stopgap",
        }
    }
}

/// What all runs share: rules in one file, Suricata's configuration, both caches.
pub struct Kit<'a> {
    args: &'a Args,
    pub work: &'a Path,
    rules: PathBuf,
}

impl<'a> Kit<'a> {
    pub fn new(args: &'a Args, work: &'a Path) -> Result<Kit<'a>, String> {
        let failed = |e: std::io::Error| format!("{}: {e}", work.display());
        std::fs::create_dir_all(work.join("cache")).map_err(failed)?;
        let mut text = Vec::new();
        for path in &args.rules {
            text.extend(std::fs::read(path).map_err(|e| format!("{}: {e}", path.display()))?);
            text.push(b'\n');
        }
        text.extend(BYPASS_RULE.as_bytes());
        let kit = Kit { args, work, rules: work.join("all.rules") };
        std::fs::write(&kit.rules, text).map_err(failed)?;
        Ok(kit)
    }

    /// Writes Suricata's configuration; what its version calls itself.
    pub fn suricata(&self) -> Result<String, String> {
        let listed = others(&self.args.suricata)?;
        let file = self.work.join("suricata.yaml");
        std::fs::write(&file, configuration(self.work, &listed)).map_err(|e| format!("{}: {e}", file.display()))?;
        let out = Command::new(&self.args.suricata).arg("-V").output().map_err(|e| e.to_string())?;
        let text = String::from_utf8_lossy(&out.stdout).into_owned();
        Ok(text.split("version").nth(1).map_or(text.clone(), |v| v.trim().to_string()))
    }

    /// Puts a program between the ports and waits until it inspects.
    pub fn stand(&self, program: Program, bed: &Bed) -> Result<Standing, String> {
        let log = self.work.join(format!("{}.log", program.name()));
        let mut command = match program {
            Program::Bridge => return bridge(bed).map(|()| Standing { child: None }),
            Program::Stopgap => self.stopgap_command(bed),
            Program::Suricata => self.suricata_command(bed),
        };
        let said = File::create(&log).map_err(|e| format!("{}: {e}", log.display()))?;
        let other = said.try_clone().map_err(|e| e.to_string())?;
        command.stdin(Stdio::null()).stdout(said).stderr(other);
        let child = command.spawn().map_err(|e| format!("{}: {e}", program.name()))?;
        let mut standing = Standing { child: Some(child) };
        let word = if program == Program::Stopgap { "inspecting after" } else { "Engine started" };
        let since = Instant::now();
        loop {
            let text = std::fs::read_to_string(&log).unwrap_or_default();
            if text.contains(word) {
                return Ok(standing);
            }
            if since.elapsed() > START || standing.ended() {
                return Err(format!("{} does not start:\n{text}", program.name()));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn stopgap_command(&self, bed: &Bed) -> Command {
        let beside = || std::env::current_exe().ok().map(|p| p.with_file_name("stopgap"));
        let program = self.args.stopgap.clone().or_else(beside).unwrap_or_else(|| "stopgap".into());
        let mut c = bed.command(At::Middle, &program.to_string_lossy());
        c.args(["run", "--inline", &PORTS.join(":"), "--events", "alert", "-j", &self.args.queues.to_string()]);
        // What it cannot inspect it does not forward, or a rate would be another's.
        c.args(["--fail", "closed", "--until-ready", "closed", "--set", "vars.address-groups.EXTERNAL_NET=any"]);
        c.args(["--set", "run.overload=drop"]);
        // The mix holds what no receiver would take; both inspect it and let it by, or one would have less to do.
        c.args(["--set", "exception-policies.all=ignore"]);
        c.arg("-S").arg(&self.rules).arg("-l").arg(self.work).arg("--control").arg(self.work.join("control"));
        c.arg("--cache").arg(self.work.join("cache"));
        for set in &self.args.stopgap_set {
            c.arg("--set").arg(set);
        }
        c
    }

    fn suricata_command(&self, bed: &Bed) -> Command {
        let mut c = bed.command(At::Middle, &self.args.suricata.to_string_lossy());
        c.arg("-c").arg(self.work.join("suricata.yaml")).arg("-S").arg(&self.rules).arg("-l").arg(self.work);
        c.args(["--af-packet", "--runmode", "workers"]);
        for set in &self.args.suricata_set {
            c.arg("--set").arg(set);
        }
        c
    }
}

/// Port of the flows that both are told to bypass.
pub const BYPASS_PORT: u16 = 5202;
const BYPASS_RULE: &str =
    "pass tcp any any <> any 5202 (msg:\"bulk that is bypassed\"; flow:established; bypass; sid:7900001; rev:1;)\n";

fn bridge(bed: &Bed) -> Result<(), String> {
    let steps: [&[&str]; 4] = [
        &["link", "add", "between", "type", "bridge"],
        &["link", "set", PORTS[0], "master", "between"],
        &["link", "set", PORTS[1], "master", "between"],
        &["link", "set", "between", "up"],
    ];
    for step in steps {
        let out = bed.run(At::Middle, "ip", step);
        if !out.status.success() {
            return Err(format!("ip {}: {}", step.join(" "), String::from_utf8_lossy(&out.stderr)));
        }
    }
    // Its ports listen before they forward.
    std::thread::sleep(Duration::from_secs(1));
    Ok(())
}

/// A program in its place; ended when dropped.
pub struct Standing {
    child: Option<Child>,
}

impl Standing {
    /// Seconds of processor time of its processes.
    pub fn used(&self) -> f64 {
        self.child.as_ref().map_or(0.0, |c| used(c.id()))
    }

    fn ended(&mut self) -> bool {
        self.child.as_mut().is_none_or(|c| !matches!(c.try_wait(), Ok(None)))
    }
}

impl Drop for Standing {
    fn drop(&mut self) {
        let Some(child) = &mut self.child else { return };
        if let Some(pid) = rustix::process::Pid::from_raw(child.id() as i32) {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        }
        let since = Instant::now();
        while since.elapsed() < END {
            if !matches!(child.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let _ = child.kill();
        let _ = child.wait();
    }
}

/// Suricata in line on AF_PACKET: one thread a port, version 2 of the ring, alerts to a file, and of the protocols those
/// that stopgap parses too.
fn configuration(work: &Path, off: &[String]) -> String {
    use std::fmt::Write;
    let mut y = String::from("%YAML 1.1\n---\nvars:\n  address-groups:\n");
    let _ = writeln!(y, "    HOME_NET: \"[192.168.0.0/16,10.0.0.0/8,172.16.0.0/12]\"\n    EXTERNAL_NET: any");
    for group in ["HTTP", "SMTP", "SQL", "DNS", "TELNET"] {
        let _ = writeln!(y, "    {group}_SERVERS: $HOME_NET");
    }
    for group in
        ["DC_SERVERS", "DNP3_SERVER", "DNP3_CLIENT", "MODBUS_CLIENT", "MODBUS_SERVER", "ENIP_CLIENT", "ENIP_SERVER"]
    {
        let _ = writeln!(y, "    {group}: $HOME_NET");
    }
    let _ = writeln!(y, "    AIM_SERVERS: any\n  port-groups:");
    let ports = [
        ("HTTP_PORTS", "\"80\""),
        ("SHELLCODE_PORTS", "\"!80\""),
        ("ORACLE_PORTS", "1521"),
        ("SSH_PORTS", "22"),
        ("DNP3_PORTS", "20000"),
        ("MODBUS_PORTS", "502"),
        ("FILE_DATA_PORTS", "\"[$HTTP_PORTS,110,143]\""),
        ("FTP_PORTS", "21"),
        ("GENEVE_PORTS", "6081"),
        ("VXLAN_PORTS", "4789"),
        ("TEREDO_PORTS", "3544"),
    ];
    for (name, value) in ports {
        let _ = writeln!(y, "    {name}: {value}");
    }
    let _ = writeln!(
        y,
        "outputs:\n  - eve-log:\n      enabled: yes\n      filename: suricata-eve.json\n      types: [alert]"
    );
    let _ = writeln!(y, "detect:\n  sgh-mpm-caching: yes\n  sgh-mpm-caching-path: {}", work.join("cache").display());
    let _ = writeln!(y, "mpm-algo: hs\nspm-algo: hs\naf-packet:");
    for (i, port) in PORTS.iter().enumerate() {
        let other = PORTS[i ^ 1];
        let _ = writeln!(y, "  - interface: {port}\n    threads: 1\n    cluster-id: {}", 98 - i);
        let _ = writeln!(y, "    cluster-type: cluster_flow\n    defrag: no\n    tpacket-v3: no\n    ring-size: 4096");
        let _ = writeln!(y, "    copy-mode: ips\n    copy-iface: {other}");
    }
    // As for stopgap: connections met midstream are taken up, and what is not in order is inspected and let by.
    let _ = writeln!(y, "exception-policy: ignore\nstream:\n  midstream: yes\n  drop-invalid: no\n  inline: auto");
    let _ = writeln!(y, "app-layer:\n  protocols:");
    for p in off {
        let _ = writeln!(y, "    {p}:\n      enabled: no");
    }
    y
}
