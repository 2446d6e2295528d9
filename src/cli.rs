//! The command line. The short options are Pingora's own letters.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Parser, Subcommand};

/// An application load balancer for long-lived WebSocket connections.
#[derive(Debug, Parser)]
#[command(name = "culvert", version, about)]
pub struct Arguments {
    /// The configuration file
    #[arg(short, long, value_name = "FILE", default_value = "conf/culvert.yaml")]
    pub conf: PathBuf,

    /// Check the configuration and exit: 0 if it is valid, 1 with every problem on standard error if not
    #[arg(short, long)]
    pub test: bool,

    /// Take over from the running process at server.upgradeSocket: wait until it gets SIGQUIT, then serve in its place
    #[arg(short, long)]
    pub upgrade: bool,

    /// Run in the background; ends when it serves. Needs accessLog.path
    #[arg(short, long)]
    pub daemon: bool,

    /// What to do instead of serving the configuration
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// What else the program does.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve a chat page and two echo targets on 127.0.0.1:8080; needs no configuration
    Demo,

    /// Have the running process at server.upgradeSocket start this program, hand over to it, and keep its tunnels
    Upgrade {
        /// Another program than this one
        #[arg(long, value_name = "PATH")]
        binary: Option<PathBuf>,

        /// Where the running process is, if the file has another server.upgradeSocket by now
        #[arg(long, value_name = "PATH")]
        socket: Option<PathBuf>,
    },

    /// Start a program that does not belong to us
    #[command(hide = true)]
    Launch {
        /// The program and its arguments
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, required = true)]
        program: Vec<OsString>,
    },
}
