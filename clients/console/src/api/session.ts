/**
 * Who is signed in. The access token lives in memory only. The refresh token is an HttpOnly cookie that only the
 * refresh route receives, so a reload keeps the session and no script can read it (docs/decisions/0051).
 */
import { computed, signal } from "@preact/signals";

import { fetchPatiently } from "./patient_fetch";
import { Problem, problemOf } from "./problem";
import type { components } from "./schema";

export type Me = components["schemas"]["MeBody"];

/** `undefined` until the first refresh has been answered. */
export const me = signal<Me | null | undefined>(undefined);
/** Why the sign-in link that opened the page was refused. */
export const linkProblem = signal<Problem | null>(null);
export const isAdmin = computed(() => me.value?.role === "admin");

const REFRESH_EARLY_MS = 30_000;
const SIGNED_IN_BEFORE = "comfyfleet.signed-in"; // avoids a refused request for visitors without a session

let token: string | null = null;
let expiresAt = 0;
let refreshing: Promise<string | null> | null = null;

/** A valid access token, refreshed if it is about to expire; null without a session. */
export async function accessToken(): Promise<string | null> {
  if (token && Date.now() < expiresAt - REFRESH_EARLY_MS) return token;
  return token ? refreshSession() : null;
}

/** Exchange the cookie for a new access token. One exchange at a time, over all tabs. Null: the session has ended. */
export function refreshSession(): Promise<string | null> {
  refreshing ??= exchange().finally(() => (refreshing = null));
  return refreshing;
}

/** Restore the session of an earlier visit, if there is one. */
export async function restoreSession(): Promise<void> {
  const link = /^#sign-in=(.+)$/.exec(location.hash)?.[1];
  if (link) {
    history.replaceState(null, "", location.pathname);
    try {
      await begin(await post("/api/v1/auth/login-links/redeem", { token: link, session: "cookie" }));
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      linkProblem.value = error;
      end();
    }
    return;
  }
  if (localStorage.getItem(SIGNED_IN_BEFORE) && (await refreshSession())) await loadMe();
  else me.value = null;
}

/** @throws Problem if the password is wrong. */
export async function signIn(username: string, password: string): Promise<void> {
  await begin(await post("/api/v1/auth/login", { username, password, session: "cookie" }));
}

export async function signOut({ everywhere = false } = {}): Promise<void> {
  const current = await accessToken();
  await fetch(`/api/v1/auth/logout${everywhere ? "?all=true" : ""}`, {
    method: "POST",
    headers: { Authorization: `Bearer ${current}` },
  }).catch(() => undefined);
  end();
}

/** Read the current user again, for example after a job has used up quota. */
export async function loadMe(): Promise<void> {
  const headers = { Authorization: `Bearer ${token}` };
  const response = await fetchPatiently(new Request(new URL("/api/v1/auth/me", location.origin), { headers }));
  if (response.ok) me.value = (await response.json()) as Me;
  else if (response.status === 401) end();
  else throw problemOf(response, await response.json().catch(() => null));
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
      return keep(await post("/api/v1/auth/refresh", undefined));
    } catch (error) {
      if (error instanceof Problem && (error.status === 401 || error.status === 403 || error.status === 422)) end();
      return null;
    }
  };
  // Plain http to another machine has no locks. The server allows tabs to refresh at the same moment.
  return navigator.locks ? navigator.locks.request("comfyfleet.refresh", refresh) : refresh();
}

async function post(path: string, body: unknown): Promise<Tokens> {
  const response = await fetch(path, {
    method: "POST",
    ...(body === undefined ? {} : { headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) }),
  });
  const answer: unknown = await response.json().catch(() => null);
  if (!response.ok) throw problemOf(response, answer);
  return answer as Tokens;
}
