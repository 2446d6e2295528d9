//! The story: arguments, configuration, process, run.

use std::io::Write as _;
use std::net::TcpListener;
use std::process::ExitCode;

use clap::Parser as _;
use culvert::cli::{Arguments, Command};
use culvert::config::problem::Problems;
use culvert::config::{self, Config, Loaded};
use culvert::os::{daemon, kept_sockets};
use culvert::serving::trial;
use culvert::telemetry::diagnostics;
use culvert::{commands, demo, gateway, process, upgrade};

#[cfg(feature = "jemalloc")]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    // The access log alone goes to standard output.
    diagnostics::start();
    let done = run(&arguments);
    log::logger().flush();
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(messages) => {
            // Nobody will accept what waits there.
            kept_sockets::drop_all();
            eprintln!("{messages}");
            ExitCode::FAILURE
        }
    }
}

/// Runs to the end. An error is what the operator reads: each line names the place and the cause.
fn run(arguments: &Arguments) -> Result<(), String> {
    let conf = arguments.conf();
    match &arguments.command {
        Some(Command::Demo { port }) => return demo::run(*port),
        Some(Command::Launch { program }) => return upgrade::launch(program),
        Some(command) => {
            if let Some(answer) = commands::run(command, &conf) {
                return print(&answer?);
            }
        }
        None => {}
    }
    let name = conf.display().to_string();
    let Loaded { config, warnings } =
        config::load(&conf).map_err(|problems| problems.to_string())?;
    for warning in warnings.iter().filter(|_| !daemon::is_this()) {
        eprintln!("{}", warning.as_warning(&name));
    }
    if arguments.test {
        if arguments.strict && !warnings.is_empty() {
            return Err(format!("culvert: {name}: warnings, and --strict"));
        }
        // Whoever takes over has the sockets already.
        let is_tried = !arguments.offline && !arguments.upgrade;
        return test(config, &name, is_tried);
    }
    if let Some(Command::Upgrade { binary, socket }) = &arguments.command {
        let socket = socket.as_ref().or(config.server.upgrade_socket.as_ref());
        let timeout = config.server.upgrade.timeout;
        let done = upgrade::ask(socket, &conf, binary.as_deref(), timeout)?;
        println!("{done}");
        return Ok(());
    }
    if arguments.daemon && !daemon::is_this() {
        return daemon::start(&config).map_err(|why| format!("{name}: {why}"));
    }
    process::serve(&conf, config, arguments.upgrade)
}

/// `-t`: what else is wrong, and what a start would refuse here, where that is tried.
fn test(config: Config, name: &str, is_tried: bool) -> Result<(), String> {
    if is_tried {
        let tried = trial::addresses(&config, |_| false);
        for line in tried.told {
            println!("{name}: {line}");
        }
        let faults = trial::folders(&config).into_iter().chain(tried.faults);
        let problems = faults.map(|fault| fault.into_problem(&config, true));
        let (file, problems) = (name.to_owned(), problems.collect::<Vec<_>>());
        if !problems.is_empty() {
            return Err(Problems { file, problems }.to_string());
        }
    }
    let unread = gateway::unreadable(&config);
    let (_, told) = gateway::offline(config, &mut |address| {
        // Whoever serves now may have the port.
        TcpListener::bind((address.ip(), 0)).map(drop)
    });
    for line in told.iter().filter(|line| !unread.contains(line)) {
        println!("{line}");
    }
    if !unread.is_empty() {
        return Err(unread.join("\n"));
    }
    println!("culvert: {name}: ok");
    Ok(())
}

/// Prints an answer, unless whoever reads it has gone.
fn print(answer: &str) -> Result<(), String> {
    if answer.is_empty() {
        return Ok(());
    }
    let printed = writeln!(std::io::stdout(), "{answer}");
    match printed {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error.to_string()),
        _ => Ok(()),
    }
}
