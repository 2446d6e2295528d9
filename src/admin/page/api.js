// The API: requests, and the stream of figures. Where a token is needed it is asked for, once, and kept until the tab is closed.

const tokenKey = "culvert-token";
const longestWait = 30_000;
const longestSilence = 5000;
const shortestRest = 500;
const longestRest = 5000;
const outOfSight = "out of sight";

class Denial extends Error {
  constructor(message, status, problems = []) {
    super(message);
    this.status = status;
    this.problems = problems;
  }
}

// Fetches with the token; asks for one as long as it is not valid. Each try has a signal of its own, as asking may take long.
async function fetchWithToken(path, options, makeSignal) {
  for (;;) {
    const token = sessionStorage.getItem(tokenKey);
    const headers = token ? { Authorization: `Bearer ${token}` } : {};
    const answer = await fetch(path, { ...options, headers, signal: makeSignal(), cache: "no-store" });
    if (answer.status !== 401) return answer;
    // Another request may have asked meanwhile.
    if (sessionStorage.getItem(tokenKey) === token) {
      sessionStorage.removeItem(tokenKey);
      sessionStorage.setItem(tokenKey, await askForToken(await reasonOf(answer)));
    }
  }
}

async function reasonOf(answer) {
  const body = await answer.json().catch(() => ({}));
  return body.error ?? `${answer.status} ${answer.statusText}`;
}

async function ask(method, path, body) {
  const options = body === undefined ? { method } : { method, body: JSON.stringify(body) };
  let answer;
  let json = {};
  try {
    answer = await fetchWithToken(path, options, () => AbortSignal.timeout(longestWait));
    json = await answer.json();
  } catch {
    if (!answer || answer.ok) throw new Denial("Culvert does not answer.", 0);
  }
  if (!answer.ok) throw new Denial(json.error ?? `${answer.status} ${answer.statusText}`, answer.status, json.problems);
  return json;
}

// Shows figures as they come, for ever, while somebody looks: there are few places for streams, in a browser and in Culvert.
// `onLost` is told why none come, and `onRest` that nobody looks.
async function follow(onFigures, onLost, onRest) {
  let rest = shortestRest;
  for (;;) {
    await untilVisible();
    try {
      await readEvents(figures => {
        rest = shortestRest;
        onFigures(figures);
      });
      onLost("the stream has ended");
    } catch (error) {
      if (error === outOfSight) onRest();
      else onLost(error instanceof Denial ? error.message : "Culvert does not answer");
    }
    await new Promise(resolve => setTimeout(resolve, rest));
    rest = Math.min(rest * 2, longestRest);
  }
}

function untilVisible() {
  return new Promise(resolve => {
    const look = () => {
      if (document.hidden) return;
      document.removeEventListener("visibilitychange", look);
      resolve();
    };
    document.addEventListener("visibilitychange", look);
    look();
  });
}

async function readEvents(onFigures) {
  let attempt;
  let watchdog;
  const heard = () => {
    clearTimeout(watchdog);
    watchdog = setTimeout(() => attempt.abort(), longestSilence);
  };
  const leave = () => document.hidden && attempt.abort(outOfSight);
  const begin = () => {
    attempt = new AbortController();
    heard();
    leave();
    return attempt.signal;
  };
  document.addEventListener("visibilitychange", leave);
  try {
    const answer = await fetchWithToken("api/v1/events", {}, begin);
    if (!answer.ok) throw new Denial(await reasonOf(answer), answer.status);
    heard();
    const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
    let text = "";
    for (let part = await reader.read(); !part.done; part = await reader.read()) {
      heard();
      const events = (text + part.value).split("\n\n");
      text = events.pop();
      // Of those that came together the last is what is true.
      if (events.length > 0) onFigures(JSON.parse(events.at(-1).replace(/^data: /, "")));
    }
  } catch (error) {
    throw attempt.signal.reason === outOfSight ? outOfSight : error;
  } finally {
    clearTimeout(watchdog);
    attempt.abort();
    document.removeEventListener("visibilitychange", leave);
  }
}
