/**
 * Who is signed in. The access token lives in memory only. The refresh token is an HttpOnly cookie that only the
 * refresh route receives, so a reload keeps the session and no script can read it (docs/decisions/0051).
 */
import { computed, signal } from "@preact/signals";

import { text } from "../text";
import { fetchWithRetry } from "./fetch_with_retry";
import { OFFLINE, Problem, problemOf } from "./problem";
import type { components } from "./schema";

export type Me = components["schemas"]["MeBody"];

/** `undefined` until it is known whether there is a session. */
export const me = signal<Me | null | undefined>(undefined);
/** Why it is not yet known whether there is a session. */
export const restoreProblem = signal<Problem | null>(null);
/** Why the sign-in link that opened the page was refused. */
export const linkProblem = signal<Problem | null>(null);
export const isAdmin = computed(() => me.value?.role === "admin");

const REFRESH_EARLY_MS = 30_000;
const MIN_RETRY_S = 5;
const MAX_RETRY_S = 60;
const SIGNED_IN_BEFORE = "comfyfleet.signed-in"; // avoids a refused request for visitors without a session

let token: string | null = null;
let expiresAt = 0;
let refreshing: Promise<string | null> | null = null;
let restoring: Promise<void> | null = null;
let nextRestore: ReturnType<typeof setTimeout> | undefined;

/**
 * A valid access token, refreshed if it is about to expire; null without a session.
 * @throws Problem if it cannot be refreshed now. The session continues.
 */
export async function accessToken(): Promise<string | null> {
  const current = token;
  if (!current || Date.now() < expiresAt - REFRESH_EARLY_MS) return current;
  const hasExpired = Date.now() >= expiresAt;
  return refreshSession().catch((error: unknown) => {
    if (hasExpired) throw error;
    return current;
  });
}

/**
 * Exchange the cookie for a new access token. One exchange at a time, over all tabs. Null: the session has ended.
 * Reloads the page, and never returns, if another user has signed in since, in another tab.
 * @throws Problem if the server does not answer now. The session continues.
 */
export function refreshSession(): Promise<string | null> {
  refreshing ??= exchange().finally(() => (refreshing = null));
  return refreshing;
}

/**
 * Restore the session of an earlier visit, if there is one, or begin one with the sign-in link that opened the page.
 * If the server cannot say now whether there is a session, `restoreProblem` says why, and a later attempt follows.
 */
export function restoreSession(): Promise<void> {
  clearTimeout(nextRestore);
  restoring ??= tryToRestore().finally(() => (restoring = null));
  return restoring;
}

async function tryToRestore(): Promise<void> {
  try {
    const link = /^#sign-in=(.+)$/.exec(location.hash)?.[1];
    if (link) await redeem(link);
    else if (localStorage.getItem(SIGNED_IN_BEFORE) && (await refreshSession())) await loadMe();
    else end();
    restoreProblem.value = null;
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    restoreProblem.value = error;
    const pauseS = Math.min(Math.max(error.retryAfterSeconds ?? 0, MIN_RETRY_S), MAX_RETRY_S);
    nextRestore = setTimeout(() => void restoreSession(), 1000 * pauseS);
  }
}

/** Begin a session with the token of a sign-in link. The address keeps the token until the server has accepted or refused it. */
async function redeem(link: string): Promise<void> {
  const removeLink = () => history.replaceState(null, "", location.pathname);
  let tokens: Tokens;
  try {
    tokens = await post("/api/v1/auth/login-links/redeem", { token: link, session: "cookie" });
  } catch (error) {
    if (!(error instanceof Problem) || error.isTemporary) throw error;
    removeLink();
    linkProblem.value = error;
    return end();
  }
  removeLink();
  await begin(tokens);
}

/** @throws Problem if the password is wrong, or the server cannot be reached. */
export async function signIn(username: string, password: string): Promise<void> {
  await begin(await post("/api/v1/auth/login", { username, password, session: "cookie" }));
}

/**
 * End this session, or all sessions of the user.
 * @throws Problem if the server did not end them. The page is then signed out, unless all sessions were to end and this one continues.
 */
export async function signOut({ everywhere = false } = {}): Promise<void> {
  let response: Response | null;
  try {
    response = await sendWithToken(`/api/v1/auth/logout${everywhere ? "?all=true" : ""}`, "POST");
    if (response && !response.ok) throw problemOf(response, await response.json().catch(() => null));
  } catch (error) {
    if (!everywhere) end();
    throw error;
  }
  end();
  if (everywhere && !response) throw new Problem(401, "console.session_ended", text.errors.sessionEnded);
}

/**
 * Read the current user again, for example after a job has used up quota.
 * @throws Problem if the server does not answer now.
 */
export async function loadMe(): Promise<void> {
  const response = await sendWithToken("/api/v1/auth/me", "GET");
  if (!response) return;
  const user = await readJson<Me>(response);
  if (token !== null && userOf(token) === user.id) me.value = user; // the session may have ended meanwhile
}

/** Send a request with the access token, and once more with a new one if it is refused. Null: the session has ended. */
async function sendWithToken(path: string, method: string): Promise<Response | null> {
  const send = (current: string) =>
    fetchWithRetry(new Request(new URL(path, location.origin), { method, headers: { Authorization: `Bearer ${current}` } }));
  const current = await accessToken();
  if (!current) return null;
  const response = await send(current);
  if (response.status !== 401) return response;
  const renewed = await refreshSession();
  return renewed ? send(renewed) : null;
}

type Tokens = { access_token: string; expires_in: number };

async function begin(tokens: Tokens): Promise<void> {
  keep(tokens);
  localStorage.setItem(SIGNED_IN_BEFORE, "1");
  await loadMe();
}

function keep(tokens: Tokens): string {
  token = tokens.access_token;
  expiresAt = Date.now() + tokens.expires_in * 1000;
  return token;
}

function end(): void {
  token = null;
  localStorage.removeItem(SIGNED_IN_BEFORE);
  me.value = null;
}

async function exchange(): Promise<string | null> {
  const refresh = async () => {
    try {
      return await post("/api/v1/auth/refresh", undefined);
    } catch (error) {
      if (!(error instanceof Problem) || ![401, 403, 422].includes(error.status)) throw error;
      end();
      return null;
    }
  };
  // Plain http to another machine has no locks. The server allows tabs to refresh at the same moment.
  const tokens = await (navigator.locks ? navigator.locks.request("comfyfleet.refresh", refresh) : refresh());
  if (tokens === null) return null;
  if (me.value && userOf(tokens.access_token) !== me.value.id) {
    me.value = undefined; // nothing is shown until the page has loaded again
    location.reload();
    return new Promise(() => undefined); // so that no request of the previous user is sent again
  }
  return keep(tokens);
}

/** Return the id of the user that an access token is for. */
function userOf(accessToken: string): string {
  const payload = accessToken.split(".")[1]!.replaceAll("-", "+").replaceAll("_", "/");
  return (JSON.parse(atob(payload)) as { sub: string }).sub;
}

async function post(path: string, body: unknown): Promise<Tokens> {
  const content = body === undefined ? {} : { headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) };
  return readJson(await fetchWithRetry(new Request(new URL(path, location.origin), { method: "POST", ...content })));
}

/**
 * Return the body of a successful response.
 * @throws Problem if it is a refusal, or incomplete.
 */
async function readJson<T>(response: Response): Promise<T> {
  const body: unknown = await response.json().catch(() => null);
  if (!response.ok) throw problemOf(response, body);
  if (body === null) throw new Problem(0, OFFLINE, text.errors.offline);
  return body as T;
}
