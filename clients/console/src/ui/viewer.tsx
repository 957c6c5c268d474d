/** One output, and a viewer over the whole page that goes through many. */
import "./viewer.css";

import type { ComponentChildren } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";

import { fetchBlob } from "../api/client";
import { text } from "../text";
import { Button, IconButton } from "./controls";
import { attempt, ToastList, useModal } from "./dialog";
import { formatBytes } from "./format";
import { Icon } from "./icons";
import { download, isSigned, pathOf, ResultImage, useImageUrl } from "./media";

export type MediaItem = {
  id: string;
  jobId: string;
  name: string;
  /** What an image shows; its name by default. */
  alt?: string;
  kind: "image" | "video" | "audio" | "text" | "model" | "file";
  contentType: string;
  sizeBytes: number;
  /** Of the bytes. */
  url: string;
  /** Of a text or a JSON value if it is small. */
  value: unknown;
};

const MOST_TEXT = 200_000;

/** Shows an output by its kind. */
export function Media({ item, isEager }: { item: MediaItem; isEager?: boolean }) {
  if (item.kind === "image") return <ResultImage src={item.url} alt={item.alt ?? item.name} isEager={isEager} class="media-image" />;
  if (item.kind === "video" || item.kind === "audio") return <Player item={item} />;
  if (item.kind === "text") return <TextValue item={item} />;
  return (
    <div class="media-file">
      <Icon name="log" size={28} />
      <p class="soft">{text.viewer.noPreview}</p>
      <span class="soft small">{item.contentType} · {formatBytes(item.sizeBytes)}</span>
    </div>
  );
}

function Player({ item }: { item: MediaItem }) {
  const [failure, setFailure] = useState<string | null>(null);
  const url = useImageUrl(pathOf(item.url), setFailure);
  if (failure !== null) return <p class="soft">{failure}</p>;
  if (!url) return <div class="skeleton media-image" aria-label={item.name} role="status" />;
  const shared = { controls: true, src: url, "aria-label": item.name, preload: "metadata" } as const;
  return item.kind === "video" ? <video {...shared} class="media-video" loop playsInline /> : <audio {...shared} class="media-audio" />;
}

function TextValue({ item }: { item: MediaItem }) {
  const [content, setContent] = useState<string | null>(item.value === null ? null : readable(item.value));
  const [isCut, setCut] = useState(false);
  async function load(): Promise<void> {
    const found = await (await fetchBlob(pathOf(item.url))).text();
    setCut(found.length > MOST_TEXT);
    setContent(item.contentType.startsWith("application/json") && found.length <= MOST_TEXT ? readable(parsed(found)) : found.slice(0, MOST_TEXT));
  }
  useEffect(() => setContent(item.value === null ? null : readable(item.value)), [item.id]);
  if (content === null) {
    return <div class="media-file"><Button isSmall onClick={() => void attempt(load)}>{text.job.showText} ({formatBytes(item.sizeBytes)})</Button></div>;
  }
  return (
    <div class="stack tight">
      {isCut && <p class="soft small">{text.job.textCut}</p>}
      <pre class="code media-text" tabIndex={0} role="region" aria-label={item.name}>{content}</pre>
    </div>
  );
}

function parsed(content: string): unknown {
  try {
    return JSON.parse(content);
  } catch {
    return content;
  }
}

function readable(value: unknown): string {
  return typeof value === "string" ? value : JSON.stringify(value, null, 2);
}

/** Save an output as a file: a signed link by the browser, other bytes with the session's token. */
export async function saveOutput({ url, name }: Pick<MediaItem, "url" | "name">): Promise<void> {
  if (!isSigned(url)) return download(url, name);
  const link = document.createElement("a");
  link.href = pathOf(url);
  link.download = name;
  link.click();
}

type ViewerProps = {
  items: readonly MediaItem[];
  index: number;
  /** Shown as the number of all items, which can be more than are loaded. */
  total?: string;
  onIndex: (index: number) => void;
  onClose: () => void;
  /** Saves the item as a file; by default from its URL. */
  onSave?: (item: MediaItem) => Promise<void>;
  /** Links and buttons for the item. */
  actions?: (item: MediaItem) => ComponentChildren;
};

/** Arrow keys go through the items; Escape closes. */
export function Viewer({ items, index, total, onIndex, onClose, onSave = saveOutput, actions }: ViewerProps) {
  const element = useRef<HTMLDialogElement>(null);
  const item = items[index];
  const isTopmost = useModal(element);
  const go = (target: number) => target >= 0 && target < items.length && onIndex(target);
  const onKey = (event: KeyboardEvent) => {
    if (event.target instanceof HTMLMediaElement) return; // arrow keys move within a video
    if (event.key === "ArrowLeft") go(index - 1);
    else if (event.key === "ArrowRight") go(index + 1);
    else if (event.key === "Home") go(0);
    else return;
    event.preventDefault();
  };
  return (
    <dialog ref={element} class="viewer" aria-label={item?.name ?? text.viewer.title} onClose={onClose} onKeyDown={onKey}>
      {item && (
        <>
          <header class="row">
            <strong class="truncate">{item.name}</strong>
            <span class="soft small number nowrap">{text.viewer.position(index + 1, total ?? String(items.length))}</span>
            <span class="grow" />
            <span class="row viewer-actions">
              {actions?.(item)}
              <IconButton icon="download" label={text.viewer.download} onClick={() => void attempt(() => onSave(item))} />
            </span>
            <IconButton icon="close" label={text.common.close} onClick={() => element.current?.close()} />
          </header>
          <div class="viewer-stage" onClick={(event) => event.target === event.currentTarget && element.current?.close()}>
            <Media key={item.id} item={item} isEager />
            <IconButton class="viewer-previous" icon="chevron" label={text.viewer.previous} isDisabled={index === 0} onClick={() => go(index - 1)} />
            <IconButton class="viewer-next" icon="chevron" label={text.viewer.next} isDisabled={index === items.length - 1} onClick={() => go(index + 1)} />
          </div>
        </>
      )}
      <ToastList isShown={isTopmost} />
    </dialog>
  );
}
