// Questions before anything is changed, and the one for the token. A dialog closes with Escape, and the focus goes back to where
// it came from.

let question;

// Asks; `run` does it, and tells what became of it. What the API says against it is shown, and the question stays.
function confirmFirst({ title, text, verb, danger = true, run }) {
  // None is put in the place of another, under somebody's finger.
  if (byId("confirm").open) return;
  question = { title, run };
  write(byId("confirm-title"), title);
  write(byId("confirm-text"), text);
  write(byId("confirm-yes"), verb);
  setClass(byId("confirm-yes"), danger ? "danger filled" : "filled");
  show(byId("confirm-error"), false);
  byId("confirm-yes").disabled = false;
  byId("confirm").showModal();
  byId("confirm-no").focus();
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
  if (isOpen()) byId("confirm-yes").disabled = false;
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
  byId("confirm-no").addEventListener("click", () => byId("confirm").close());
  // Without a token there is nothing to go back to; a browser closes a dialog nonetheless when it is asked twice.
  byId("token").addEventListener("cancel", event => event.preventDefault());
  byId("token").addEventListener("close", () => tokenAsked && !byId("token").open && byId("token").showModal());
}
