//! In builds for debugging, where the environment asks for it: every tunnel is frozen again and
//! again, told as to another process, and goes on from what was told.

use std::env;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use tokio::runtime::Handle;

use super::arrival::Arrived;
use super::frozen::Frozen;
use super::on_end::Account;
use super::registry::Tunnels;

/// Every so many milliseconds.
const VARIABLE: &str = "CULVERT_REFREEZE_TUNNELS";

/// Begins, if that is asked for.
pub fn begin(tunnels: &Arc<Tunnels>, runtime: &Handle) {
    let every = env::var(VARIABLE).ok().and_then(|every| every.parse().ok());
    let Some(every) = every.map(Duration::from_millis) else {
        return;
    };
    let (tunnels, runtime) = (Arc::clone(tunnels), runtime.clone());
    thread::spawn(move || {
        loop {
            thread::sleep(every);
            refreeze(&tunnels, &runtime);
        }
    });
}

fn refreeze(tunnels: &Arc<Tunnels>, runtime: &Handle) {
    let open = tunnels.list_where(|tunnel| tunnel.is_movable);
    let asked: Vec<_> = open.iter().map(|tunnel| tunnels.freeze(tunnel)).collect();
    for frozen in asked
        .into_iter()
        .filter_map(|frozen| frozen.blocking_recv().ok())
    {
        match again(*frozen, tunnels) {
            Ok(frozen) => tunnels.thaw(frozen, runtime),
            Err(error) => log::error!("refreeze: {error}"),
        }
    }
}

fn again(frozen: Frozen, tunnels: &Arc<Tunnels>) -> std::io::Result<Frozen> {
    let text = serde_json::to_vec(&frozen)?;
    let [client, target] = frozen.sockets().map(|socket| socket.try_clone_to_owned());
    let arrived = Arrived::read(&text, [client?, target?])?;
    let _token = tunnels.tasks.token();
    let account = frozen.leave();
    let account = account.ok_or_else(|| std::io::Error::other("a tunnel that is over"))?;
    Ok(arrived.adopt(tunnels, |record| Account { record, ..account }))
}
