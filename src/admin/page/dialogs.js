// Questions before anything is changed, and the one for the token. A dialog closes with Escape, and the focus goes back to where
// it came from.

let question;

// Asks; `run` does it, and tells what became of it. What the API says against it is shown, and the question stays. Where there is a
// name to `type`, nothing is done before it stands there.
function confirmFirst({ title, text, verb, danger = true, type, run }) {
  // None is put in the place of another, under somebody's finger.
  if (byId("confirm").open) return;
  question = { title, type, run };
  write(byId("confirm-title"), title);
  write(byId("confirm-node"), nodeName() ? `On ${nodeName()}` : "");
  write(byId("confirm-text"), text);
  write(byId("confirm-yes"), verb);
  setClass(byId("confirm-yes"), danger ? "danger filled" : "filled");
  show(byId("confirm-error"), false);
  write(byId("confirm-type-what"), `Type ${type} to go on`);
  byId("confirm-typed").value = "";
  show(byId("confirm-type"), type !== undefined);
  showMayGoOn();
  byId("confirm").showModal();
  (type === undefined ? byId("confirm-no") : byId("confirm-typed")).focus();
}

function showMayGoOn() {
  byId("confirm-yes").disabled = question.type !== undefined && byId("confirm-typed").value.trim() !== question.type;
}

async function carryOut() {
  const asked = question;
  const isOpen = () => question === asked && byId("confirm").open;
  byId("confirm-yes").disabled = true;
  try {
    const outcome = await asked.run();
    if (isOpen()) byId("confirm").close();
    say(outcome);
  } catch (error) {
    if (isOpen()) showError(byId("confirm-error"), error);
    else say(`${asked.title}: ${error.message}`, "said bad");
  }
  if (isOpen()) showMayGoOn();
}

function showError(place, error) {
  const problems = (error.problems ?? []).map(problem => make("li", {}, problem));
  place.replaceChildren(make("p", {}, error.message), ...(problems.length > 0 ? [make("ul", {}, ...problems)] : []));
  show(place, true);
}

let tokenAsked;

// Several requests may need the token at once: there is one question.
function askForToken(why) {
  tokenAsked ??= new Promise(resolve => {
    write(byId("token-why"), why);
    byId("token-value").value = "";
    byId("token").showModal();
    byId("token-form").onsubmit = event => {
      event.preventDefault();
      tokenAsked = undefined;
      byId("token").close();
      resolve(byId("token-value").value.trim());
    };
  });
  return tokenAsked;
}

function startDialogs() {
  byId("confirm-yes").addEventListener("click", carryOut);
  byId("confirm-typed").addEventListener("input", showMayGoOn);
  byId("confirm-typed").addEventListener("keydown", event => {
    if (event.key === "Enter" && !byId("confirm-yes").disabled) carryOut();
  });
  byId("confirm-no").addEventListener("click", () => byId("confirm").close());
  // Without a token there is nothing to go back to; a browser closes a dialog nonetheless when it is asked twice.
  byId("token").addEventListener("cancel", event => event.preventDefault());
  byId("token").addEventListener("close", () => tokenAsked && !byId("token").open && byId("token").showModal());
}
