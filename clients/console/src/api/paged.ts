/** Lists that the API gives out page by page with a cursor. */
import { signal } from "@preact/signals";
import { useEffect, useMemo } from "preact/hooks";

import { Problem } from "./problem";

export type Page<T> = { items: readonly T[]; next: string | null };

export type PagedList<T> = {
  /** All items so far; undefined before the first answer. */
  readonly items: readonly T[] | undefined;
  readonly hasMore: boolean;
  readonly isLoading: boolean;
  readonly problem: Problem | null;
  readonly loadMore: () => void;
  /** Load the first page again, keeping what is shown until it is there. */
  readonly reload: () => Promise<void>;
  /** Change the items that are shown, before the server confirms it. */
  readonly update: (change: (items: readonly T[]) => readonly T[]) => void;
  /** Merge the first page, read again, into the list. Nothing happens before the first answer. */
  readonly merge: (change: (known: Page<T>) => Page<T>) => void;
};

/**
 * Load a list page by page.
 * @param key names the list with its filters: another key starts a new list.
 * @param fetchPage gets the cursor of the previous page, null for the first one.
 */
export function usePagedList<T>(key: string, fetchPage: (cursor: string | null) => Promise<Page<T>>): PagedList<T> {
  const list = useMemo(() => new List<T>(), [key]);
  list.fetchPage = fetchPage;
  useEffect(() => void list.load(null), [key]);
  const { items, next, problem, isLoading } = list.state.value;
  const { loadMore, reload, update, merge } = list;
  return { items, hasMore: next !== null, isLoading, problem, loadMore, reload, update, merge };
}

/** The state of `usePagedList`. Its functions act on the newest items, also when an earlier render called them. */
export class List<T> {
  fetchPage: (cursor: string | null) => Promise<Page<T>> = () => Promise.reject(new Error("not set"));
  readonly state = signal<{ items?: readonly T[]; next: string | null; problem: Problem | null; isLoading: boolean }>({
    next: null,
    problem: null,
    isLoading: false,
  });
  private loading: Promise<void> | null = null;

  readonly reload = (): Promise<void> => this.load(null);

  readonly loadMore = (): void => {
    const { next } = this.state.peek();
    if (next !== null) void this.load(next);
  };

  readonly update = (change: (items: readonly T[]) => readonly T[]): void => {
    this.merge(({ items, next }) => ({ items: change(items), next }));
  };

  readonly merge = (change: (known: Page<T>) => Page<T>): void => {
    const { items, next, ...others } = this.state.peek();
    if (items) this.state.value = { ...others, ...change({ items, next }) };
  };

  load(cursor: string | null): Promise<void> {
    this.loading ??= this.fetch(cursor).finally(() => (this.loading = null));
    return this.loading;
  }

  private async fetch(cursor: string | null): Promise<void> {
    this.state.value = { ...this.state.peek(), isLoading: true };
    try {
      const page = await this.fetchPage(cursor);
      const known = this.state.peek();
      const { items, next } = cursor === null ? page
        : known.next === cursor ? { items: [...known.items!, ...page.items], next: page.next }
        : known; // another first page has replaced the list
      this.state.value = { items, next, problem: null, isLoading: false };
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      this.state.value = { ...this.state.peek(), problem: error, isLoading: false };
    }
  }
}
