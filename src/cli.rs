//! The command line. The short options are Pingora's own letters.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::{ArgGroup, Args, Parser, Subcommand};
use clap_complete::Shell;

/// An application load balancer for long-lived WebSocket connections.
#[derive(Debug, Parser)]
#[command(name = "culvert", version = env!("CULVERT_VERSION"), about)]
pub struct Arguments {
    /// The configuration file; without it conf/culvert.yaml where that is there, or else
    /// /etc/culvert/culvert.yaml
    #[arg(short, long, value_name = "FILE", global = true)]
    pub conf: Option<PathBuf>,

    /// Check the configuration, and try what a start needs: folders, addresses, permissions. Exit:
    /// 0 if it is valid, 1 with every problem on standard error if not
    #[arg(short, long)]
    pub test: bool,

    /// With -t: warnings count as problems
    #[arg(long, requires = "test")]
    pub strict: bool,

    /// With -t: go by the file alone, wherever it is to serve; nothing of this machine is tried
    #[arg(long, requires = "test")]
    pub offline: bool,

    /// Take over from the running process at server.upgradeSocket: wait until it gets SIGQUIT, then
    /// serve in its place
    #[arg(short, long)]
    pub upgrade: bool,

    /// Run in the background; ends when it serves. Needs accessLog.path
    #[arg(short, long)]
    pub daemon: bool,

    /// What to do instead of serving the configuration
    #[command(subcommand)]
    pub command: Option<Command>,
}

impl Arguments {
    /// The configuration file: the one that is named, that of this folder, or the machine's.
    pub fn conf(&self) -> PathBuf {
        let here = Path::new("conf/culvert.yaml");
        let default = || match here.exists() {
            true => here.to_owned(),
            false => PathBuf::from("/etc/culvert/culvert.yaml"),
        };
        self.conf.clone().unwrap_or_else(default)
    }
}

/// What else the program does.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve a chat page and two echo targets on 127.0.0.1:8080; needs no configuration
    Demo {
        /// Another port than 8080, or a free one where that is taken; 0 is a free one, too
        #[arg(long, value_name = "PORT")]
        port: Option<u16>,
    },

    /// Have the running process at server.upgradeSocket start this program, hand over to it, and
    /// keep its tunnels
    Upgrade {
        /// Another program than this one
        #[arg(long, value_name = "PATH")]
        binary: Option<PathBuf>,

        /// Where the running process is, if the file has another server.upgradeSocket by now
        #[arg(long, value_name = "PATH")]
        socket: Option<PathBuf>,
    },

    /// Show what the running process serves with, and how it fares
    Status(Reached),

    /// Print the configuration with all defaults, as YAML, from the file alone
    Config(Effective),

    /// Print the JSON Schema of the configuration file, for editors
    Schema,

    /// Show the objects of the Gateway API, and what is told of each
    Gateway(Gateway),

    /// Show the certificates, until when each is good, and how far those of ACME are
    Certificates(Certificates),

    /// Read or write what the IONOS API keeps, where no process has it
    #[command(subcommand)]
    Api(Kept),

    /// Show groups, targets, tunnels per second and why they end, each second anew, in a terminal
    Top(Reached),

    /// List the open tunnels, the oldest first
    Tunnels(Tunnels),

    /// End tunnels, with a Close frame to both sides. Its code 1008 throws their clients out and
    /// bans nobody: those that reconnect do so at once, and graphql-ws gives up for good. To move
    /// clients say --code 1012, and spread many with --over
    Kill(Kill),

    /// Have the running process drain and end, as SIGTERM does
    Drain(Reached),

    /// Have the running process read its configuration again, and show what has changed; 1 with
    /// every problem if it is rejected
    Reload(Reload),

    /// Show how much the running process says on standard error, or have it say more or less, until
    /// the next reload
    LogLevel(LogLevel),

    /// Show what would become of a request, and why
    Explain(Explain),

    /// Look at this node: files, ports, certificates, names, listeners; each with a verdict and
    /// what to do. 1 where something is wrong
    Doctor(Reached),

    /// Write the manual's pages, one for each command, into a folder
    Man {
        /// The folder; it is made where it is not there
        directory: PathBuf,
    },

    /// Print what has a shell complete the commands and options
    Completions {
        /// The shell
        shell: Shell,
    },

    /// Start a program that does not belong to us
    #[command(hide = true)]
    Launch {
        /// The program and its arguments
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, required = true)]
        program: Vec<OsString>,
    },
}

/// What is done with what the API keeps.
#[derive(Debug, Subcommand)]
pub enum Kept {
    /// Print it as JSON; a running process is not disturbed
    Export,
    /// Put what was exported, from a file or standard input (-), in the place of what is kept
    Import {
        /// The file
        path: PathBuf,
    },
}

/// `gateway`
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Gateway {
    /// What to do instead.
    #[command(subcommand)]
    pub other: Option<GatewayCommand>,

    /// Where the process is.
    #[command(flatten)]
    pub reached: Reached,
}

/// What else there is of the Gateway API.
#[derive(Debug, Subcommand)]
pub enum GatewayCommand {
    /// Print the CustomResourceDefinitions of the policies, for `kubectl apply -f -`; needs no
    /// process
    Crds,
}

/// `certificates`
#[derive(Debug, Args)]
pub struct Certificates {
    /// Have one be issued anew now, whatever is due and however often it has failed
    #[arg(long, value_name = "NAME")]
    pub renew: Option<String>,

    /// Where the process is.
    #[command(flatten)]
    pub reached: Reached,
}

/// Where the running process is heard, and how to show what it says.
#[derive(Debug, Args)]
pub struct Reached {
    /// Its admin address, HOST:PORT or unix:PATH; without it the one in the configuration
    /// file
    #[arg(long, value_name = "ADDRESS")]
    pub admin: Option<String>,

    /// The file with its token; without it admin.tokenFile of the configuration file
    #[arg(long, value_name = "PATH")]
    pub token_file: Option<PathBuf>,

    /// JSON, as the API gives it
    #[arg(long)]
    pub json: bool,
}

/// Which tunnels: those of which all is true.
#[derive(Debug, Args)]
pub struct Filter {
    /// The tunnel with this trackingId
    #[arg(value_name = "ID")]
    pub id: Option<String>,

    /// Those of a forwarding rule
    #[arg(long, value_name = "NAME")]
    pub rule: Option<String>,

    /// Those to a target group
    #[arg(long, value_name = "NAME")]
    pub group: Option<String>,

    /// Those to a target
    #[arg(long, value_name = "IP:PORT")]
    pub target: Option<String>,

    /// Those of a client, or of a block of addresses: 10.0.0.0/8
    #[arg(long, value_name = "IP")]
    pub client: Option<String>,

    /// Those that have been open for so long: 90s, 1h
    #[arg(long, value_name = "DURATION")]
    pub min_age: Option<String>,

    /// Those with this text in the request's URI, or in the address of the client or the target
    #[arg(long, value_name = "TEXT")]
    pub search: Option<String>,
}

/// `tunnels`
#[derive(Debug, Args)]
pub struct Tunnels {
    /// Which ones.
    #[command(flatten)]
    pub filter: Filter,

    /// How many at most
    #[arg(long, default_value_t = 100, value_parser = at_least_one)]
    pub limit: usize,

    /// Where the process is.
    #[command(flatten)]
    pub reached: Reached,
}

/// `kill`
#[derive(Debug, Args)]
#[command(group(ArgGroup::new("which").required(true).multiple(true)
    .args(["id", "rule", "group", "target", "client", "min_age", "search"])))]
pub struct Kill {
    /// Which ones; something must be said.
    #[command(flatten)]
    pub filter: Filter,

    /// The code of the Close frames; 1008 by default, which throws out; 1012 asks to come back
    #[arg(long)]
    pub code: Option<u16>,

    /// The text in the Close frames, at most 123 bytes
    #[arg(long)]
    pub text: Option<String>,

    /// Spread the ends over so long, at random moments, the idlest first: 30s; at most 1h
    #[arg(long, value_name = "DURATION")]
    pub over: Option<String>,

    /// Where the process is.
    #[command(flatten)]
    pub reached: Reached,
}

/// `config`
#[derive(Debug, Args)]
pub struct Effective {
    /// Show instead what a reload would change in the running process, or, with FILE, what would
    /// change if that file were in the place of -c
    #[arg(long, value_name = "FILE", num_args = 0..=1)]
    pub diff: Option<Option<PathBuf>>,

    /// Show instead the rules and the groups that serve in the running process, and where each
    /// comes from: the file, or the API
    #[arg(long, conflicts_with = "diff")]
    pub sources: bool,

    /// Where the process is.
    #[command(flatten)]
    pub reached: Reached,
}

/// `reload`
#[derive(Debug, Args)]
pub struct Reload {
    /// Only show what would change
    #[arg(long)]
    pub dry_run: bool,

    /// Where the process is.
    #[command(flatten)]
    pub reached: Reached,
}

/// `log-level`
#[derive(Debug, Args)]
pub struct LogLevel {
    /// error, warn, info or debug; or default, as the configuration file says. Only of this
    /// program's own lines
    #[arg(value_name = "LEVEL")]
    pub level: Option<String>,

    /// Where the process is.
    #[command(flatten)]
    pub reached: Reached,
}

/// `explain`
#[derive(Debug, Args)]
pub struct Explain {
    /// The path with its query, or a URL; ws:// and wss:// ask for a WebSocket
    #[arg(value_name = "URL")]
    pub target: String,

    /// The method
    #[arg(short = 'X', long, default_value = "GET")]
    pub method: String,

    /// A header, "NAME: VALUE"; may be given several times
    #[arg(short = 'H', long = "header", value_name = "HEADER")]
    pub headers: Vec<String>,

    /// The headers of a WebSocket handshake, too; ws:// and wss:// say so as well
    #[arg(short, long)]
    pub websocket: bool,

    /// The version of HTTP: 1.0, 1.1 or 2; 1.1 by default
    #[arg(long, value_name = "VERSION")]
    pub http_version: Option<String>,

    /// What should become of it: a status, 101 where a tunnel opens, or the target group that it
    /// goes to. Exit with 1 where it is something else
    #[arg(long, value_name = "STATUS|GROUP")]
    pub expect: Option<String>,

    /// Go by the configuration file alone, without a running process: all targets count as healthy,
    /// and no name is resolved
    #[arg(long, conflicts_with_all = ["admin", "token_file"])]
    pub offline: bool,

    /// The client's address; 127.0.0.1 by default
    #[arg(long, value_name = "IP")]
    pub client: Option<String>,

    /// The forwarding rule, where there are several
    #[arg(long, value_name = "NAME")]
    pub rule: Option<String>,

    /// The request comes over TLS; https:// and wss:// say so as well
    #[arg(long)]
    pub tls: bool,

    /// Where the process is.
    #[command(flatten)]
    pub reached: Reached,
}

fn at_least_one(text: &str) -> Result<usize, String> {
    let number = text.parse().ok().filter(|number| *number > 0);
    number.ok_or_else(|| "must be an integer of at least 1".to_owned())
}
