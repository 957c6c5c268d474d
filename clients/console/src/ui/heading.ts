/** After a navigation the heading of the new page has the focus, so that screen readers and the Tab key start there. */
import type { RefObject } from "preact";
import { useEffect, useRef } from "preact/hooks";

let hasNavigated = false;

/** Move the focus to the heading, unless the focused part of the page is still there. */
export function focusHeading(): void {
  hasNavigated = true;
  const main = document.getElementById("content");
  if (!main?.contains(document.activeElement)) main?.querySelector("h1")?.focus({ preventScroll: true });
}

/** Return the ref of a page's heading. When it replaces the focused heading of the loading page, it gets the focus. */
export function useHeading(): RefObject<HTMLHeadingElement> {
  const heading = useRef<HTMLHeadingElement>(null);
  useEffect(() => {
    if (hasNavigated && document.activeElement === document.body) heading.current?.focus({ preventScroll: true });
  }, []);
  return heading;
}
