/** Keeps what one user did in a tab from the next user of the tab. */
import { effect } from "@preact/signals";

import { me } from "../api/session";

/** Reload the page when another user signs in: forms, lists, cached answers and connections start empty. */
export function reloadForAnotherUser(): void {
  let previous: string | undefined;
  effect(() => {
    const id = me.value?.id;
    if (id === undefined) return;
    if (previous !== undefined && previous !== id) {
      me.value = undefined; // nothing is shown until then
      location.reload();
    }
    previous = id;
  });
}
