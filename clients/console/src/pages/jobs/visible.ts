import type { RefObject } from "preact";
import { useEffect, useState } from "preact/hooks";

const MARGIN = "200px 0px";

const callbacks = new WeakMap<Element, (isVisible: boolean) => void>();
let observer: IntersectionObserver | undefined;

/** Whether the element is on the screen or close to it. One observer serves all elements. */
export function useIsVisible(element: RefObject<Element>): boolean {
  const [isVisible, setVisible] = useState(false);
  useEffect(() => {
    observer ??= new IntersectionObserver((entries) => {
      for (const { target, isIntersecting } of entries) callbacks.get(target)?.(isIntersecting);
    }, { rootMargin: MARGIN });
    const watched = element.current!;
    callbacks.set(watched, setVisible);
    observer.observe(watched);
    return () => {
      callbacks.delete(watched);
      observer!.unobserve(watched);
    };
  }, []);
  return isVisible;
}
