/**
 * Data of the API that pages show. A page that is opened again shows what is known at once and updates it, so there is
 * no spinner over known content.
 */
import { signal, type Signal } from "@preact/signals";
import { useEffect } from "preact/hooks";

import { Problem } from "./problem";

export type Resource<T> = {
  /** The newest known value; undefined before the first answer. */
  readonly data: T | undefined;
  /** Why the last load failed; null after a success. Known data stays. */
  readonly problem: Problem | null;
  readonly isLoading: boolean;
  /** Load again. Concurrent calls share one request. */
  readonly reload: () => Promise<void>;
  /** Replace the value before the server confirms it. */
  readonly update: (change: (data: T) => T) => void;
};

type Entry = { state: Signal<{ data?: unknown; problem: Problem | null; isLoading: boolean }>; pending: Promise<void> | null };

const entries = new Map<string, Entry>();
const MAX_ENTRIES = 200;

function entryOf(key: string): Entry {
  let entry = entries.get(key);
  if (!entry) {
    if (entries.size >= MAX_ENTRIES) entries.delete(entries.keys().next().value!);
    entry = { state: signal({ problem: null, isLoading: false }), pending: null };
    entries.set(key, entry);
  }
  return entry;
}

function load<T>(key: string, fetchData: () => Promise<T>): Promise<void> {
  const entry = entryOf(key);
  entry.pending ??= (async () => {
    entry.state.value = { ...entry.state.value, isLoading: true };
    try {
      entry.state.value = { data: await fetchData(), problem: null, isLoading: false };
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      entry.state.value = { ...entry.state.value, problem: error, isLoading: false };
    } finally {
      entry.pending = null;
    }
  })();
  return entry.pending;
}

/**
 * Load data now and, with `everyMs`, again while the page is visible.
 * @param key names the data; equal keys share it. Must change with every argument of `fetchData`.
 */
export function useResource<T>(key: string, fetchData: () => Promise<T>, { everyMs = 0 } = {}): Resource<T> {
  const entry = entryOf(key);
  const reload = () => load(key, fetchData);
  useEffect(() => {
    void reload();
    if (!everyMs) return;
    const timer = setInterval(() => document.visibilityState === "visible" && void reload(), everyMs);
    const onVisible = () => document.visibilityState === "visible" && void reload();
    document.addEventListener("visibilitychange", onVisible);
    return () => {
      clearInterval(timer);
      document.removeEventListener("visibilitychange", onVisible);
    };
  }, [key, everyMs]);
  const { data, problem, isLoading } = entry.state.value;
  return {
    data: data as T | undefined,
    problem,
    isLoading,
    reload,
    update: (change) => {
      const known = entry.state.value.data as T | undefined;
      if (known !== undefined) entry.state.value = { ...entry.state.value, data: change(known) };
    },
  };
}

/** Forget everything, for example when another user signs in. */
export function forgetResources(): void {
  entries.clear();
}
