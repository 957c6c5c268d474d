/** Filters in the address, so that a filtered page can be reloaded, shared and left by the Back button. */
import { useLocation } from "preact-iso";

/**
 * Return the parameters of the address and a function that changes some of them.
 * An empty value removes its parameter. Changing a filter replaces the entry in the browser's history.
 */
export function useQuery<Name extends string>(...names: Name[]): [Record<Name, string>, (changes: Partial<Record<Name, string>>) => void] {
  const { path, query, route } = useLocation();
  const values = Object.fromEntries(names.map((name) => [name, query[name] ?? ""])) as Record<Name, string>;
  const change = (changes: Partial<Record<Name, string>>) => {
    const kept = new URLSearchParams(Object.entries({ ...query, ...changes }).filter(([, value]) => value) as [string, string][]);
    route(kept.size ? `${path}?${kept}` : path, true);
  };
  return [values, change];
}
