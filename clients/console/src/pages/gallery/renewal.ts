/** New links for outputs whose links have expired. */
import type { listOutputs, ListedOutput } from "../../api/outputs";
import { needsNewLinks } from "./outputs";

const PAGE = 100;

type Page = Awaited<ReturnType<typeof listOutputs>>;

/** Reads the outputs of a job again. Outputs of one job that are renewed at the same time share their requests. */
export class LinkRenewal {
  private readonly pages = new Map<string, Promise<Page>>();

  /** @param onRead receives every page of outputs that was read. */
  constructor(
    private readonly list: typeof listOutputs,
    private readonly onRead: (outputs: readonly ListedOutput[]) => void,
  ) {}

  /** Return the output with links that work; the given one if it cannot be read again. */
  async renew(item: ListedOutput): Promise<ListedOutput> {
    if (!needsNewLinks(item, Date.now())) return item;
    let cursor: string | null = null;
    do {
      const page: Page | null = await this.readPage(item.job_id, cursor).catch(() => null);
      const found = page?.outputs.find(({ id }) => id === item.id);
      if (found) return found;
      cursor = page?.next_cursor ?? null;
    } while (cursor !== null);
    return item;
  }

  private readPage(jobId: string, cursor: string | null): Promise<Page> {
    const key = JSON.stringify([jobId, cursor]);
    let reading = this.pages.get(key);
    if (!reading) {
      reading = this.list({ job_id: jobId, limit: PAGE, ...(cursor === null ? {} : { cursor }) })
        .then((page) => (this.onRead(page.outputs), page))
        .finally(() => this.pages.delete(key));
      this.pages.set(key, reading);
    }
    return reading;
  }
}
