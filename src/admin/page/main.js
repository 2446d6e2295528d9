// Starts the page: what comes is shown as long as somebody may look.

let latest;

function receive(figures) {
  latest = figures;
  arrived(figures);
  if (!document.hidden) render();
}

// Shows what came last, be it news or not.
function render() {
  const { status } = latest;
  if (status.readOnly !== isReadOnly) {
    isReadOnly = status.readOnly;
    // Rows have their buttons or not.
    keep(byId("tunnel-rows"), [], () => undefined);
  }
  showOverview(latest);
  showGroups(status);
  showRules(status);
  showReasons(status.refusals);
  offerNames(status);
  loadRefusals(status.pid, latest.refusals?.at(-1)?.number);
  if (samplesOf !== status.pid) loadHistory(status.pid);
  loadTunnels();
}

function askReload() {
  confirmFirst({
    title: "Reload the configuration",
    text: `The configuration is read again and applied; if anything is wrong with it nothing changes. ` +
      `No tunnel is touched, but those of targets that are gone from it. What was set by hand ends.`,
    verb: "Reload",
    danger: false,
    run: async () => {
      await ask("POST", "api/v1/reload");
      return "The configuration is applied";
    },
  });
}

function askDrain() {
  const { tunnels, drain } = latest.status;
  confirmFirst({
    title: "Drain and end Culvert",
    text: `Nothing new is accepted, ${plural(tunnels, "tunnel")} and ${plural(drain.open, "client")} in all are told to go, and the ` +
      `process ends, at server.drain.deadline at the latest. This cannot be taken back.`,
    verb: "Drain and end",
    type: latest.status.node,
    run: async () => {
      await ask("POST", "api/v1/drain");
      return "The drain has begun";
    },
  });
}

write(byId("place"), location.host);
startDialogs();
startTargets();
startRules();
startRefusals();
startTunnels();
showRefusals();
byId("reload").addEventListener("click", askReload);
byId("drain").addEventListener("click", askDrain);
document.addEventListener("visibilitychange", () => latest && !document.hidden && render());
setInterval(() => latest && loadHistory(latest.status.pid), refresh);
setInterval(showLink, 1000);
follow(receive, showLost, showRest);
