// The API: requests, and the stream of figures. Where a token is needed it is asked for, once, and kept until the tab is closed.

const tokenKey = "culvert-token";
const longestSilence = 5000;
const shortestRest = 500;
const longestRest = 5000;

class Denial extends Error {
  constructor(message, status, problems = []) {
    super(message);
    this.status = status;
    this.problems = problems;
  }
}

// Fetches with the token; asks for one as long as it is not valid.
async function fetchWithToken(path, options = {}) {
  for (;;) {
    const token = sessionStorage.getItem(tokenKey);
    const headers = { ...options.headers, ...(token && { Authorization: `Bearer ${token}` }) };
    const answer = await fetch(path, { ...options, headers, cache: "no-store" });
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
  try {
    answer = await fetchWithToken(path, options);
  } catch {
    throw new Denial("Culvert does not answer.", 0);
  }
  const json = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Denial(json.error ?? `${answer.status} ${answer.statusText}`, answer.status, json.problems);
  return json;
}

// Shows figures as they come, for ever; `onLost` is told why none come.
async function follow(onFigures, onLost) {
  let rest = shortestRest;
  for (;;) {
    try {
      await readEvents(figures => {
        rest = shortestRest;
        onFigures(figures);
      });
      onLost("the stream has ended");
    } catch (error) {
      onLost(error instanceof Denial ? error.message : "Culvert does not answer");
    }
    await new Promise(resolve => setTimeout(resolve, rest));
    rest = Math.min(rest * 2, longestRest);
  }
}

async function readEvents(onFigures) {
  const silence = new AbortController();
  let watchdog;
  const heard = () => {
    clearTimeout(watchdog);
    watchdog = setTimeout(() => silence.abort(), longestSilence);
  };
  try {
    const answer = await fetchWithToken("api/v1/events", { signal: silence.signal });
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
  } finally {
    clearTimeout(watchdog);
  }
}
