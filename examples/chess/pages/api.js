/**
 * Requests to the server, with their failures told apart: refused, which asking again will not change, and
 * unreachable, which it may.
 */

/** The server understood and said no. The message is its sentence for people. */
export class Refused extends Error {
  /** @param {number} status @param {string} detail */
  constructor(status, detail) {
    super(detail);
    this.status = status;
  }
}

/** No answer, or one that only says that the server is away for a while. */
export class Unreachable extends Error {}

/** An answer that takes longer than this counts as lost. None of these requests is a long poll. */
const PATIENCE_MS = 10_000;

/**
 * @param {string} path
 * @param {{method?: string, body?: object, token?: string | null}} [options]
 * @returns {Promise<any>} what the answer's JSON says, or its text if it is something else
 */
export async function call(path, { method = "GET", body, token } = {}) {
  const headers = {};
  if (token) headers.authorization = `Bearer ${token}`;
  if (body) headers["content-type"] = "application/json";
  let response, text;
  try {
    response = await fetch(path, {
      method,
      headers,
      body: body && JSON.stringify(body),
      cache: "no-store",
      signal: AbortSignal.timeout(PATIENCE_MS),
    });
    text = await response.text();
  } catch (failure) {
    throw new Unreachable("The server cannot be reached.", { cause: failure });
  }
  if (response.status === 429 || response.status >= 500) {
    throw new Unreachable("The server is away for a moment.");
  }
  const answer = parsed(text);
  if (response.ok) return answer;
  throw new Refused(response.status, answer?.detail ?? "The server refused.");
}

/** Calls until there is an answer or a refusal. `waiting` hears of each attempt that failed. */
export async function insist(path, options, waiting = () => {}) {
  for (let attempt = 0; ; attempt += 1) {
    try {
      return await call(path, options);
    } catch (failure) {
      if (!(failure instanceof Unreachable)) throw failure;
      waiting(failure);
      await pause(Math.min(250 * 2 ** attempt, 4_000));
    }
  }
}

/** Ends early when the browser says that the network is back. */
function pause(ms) {
  return new Promise((done) => {
    const end = () => {
      clearTimeout(timer);
      removeEventListener("online", end);
      done();
    };
    const timer = setTimeout(end, ms * (0.75 + Math.random() / 2));
    addEventListener("online", end);
  });
}

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}
