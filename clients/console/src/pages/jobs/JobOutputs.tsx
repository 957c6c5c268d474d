/** The outputs of one job: images large, players, texts, files. */
import { useState } from "preact/hooks";

import { text } from "../../text";
import { IconButton } from "../../ui/controls";
import { attempt } from "../../ui/dialog";
import { formatBytes } from "../../ui/format";
import { Media, saveOutput, Viewer, type MediaItem } from "../../ui/viewer";

export function JobOutputs({ items, temporary }: { items: readonly MediaItem[]; temporary: ReadonlySet<string> }) {
  const [opened, setOpened] = useState<number | null>(null);
  return (
    <>
      <ul class={items.length === 1 ? "job-outputs single" : "job-outputs"}>
        {items.map((item, index) => (
          <li key={item.id} class="stack tight">
            {item.kind === "image"
              ? <button type="button" class="job-image" aria-label={`${text.job.open}: ${item.name}`} onClick={() => setOpened(index)}><Media item={item} /></button>
              : <Media item={item} />}
            <div class="row small">
              <span class="truncate grow" title={item.name}>{item.name}</span>
              {temporary.has(item.id) && <span class="badge plain">{text.job.preview}</span>}
              <span class="soft number nowrap">{formatBytes(item.sizeBytes)}</span>
              <IconButton icon="download" isSmall label={`${text.viewer.download} ${item.name}`} onClick={() => void attempt(() => saveOutput(item))} />
            </div>
          </li>
        ))}
      </ul>
      {opened !== null && <Viewer items={items} index={opened} onIndex={setOpened} onClose={() => setOpened(null)} />}
    </>
  );
}
