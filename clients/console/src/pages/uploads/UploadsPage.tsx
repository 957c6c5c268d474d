import "../playground/playground.css";

import { useLocation } from "preact-iso";
import { useState } from "preact/hooks";

import { api, unwrap } from "../../api/client";
import { useResource } from "../../api/resource";
import { text } from "../../text";
import { Button, IconButton } from "../../ui/controls";
import { attempt, ConfirmDialog, Dialog } from "../../ui/dialog";
import { formatBytes } from "../../ui/format";
import { Icon } from "../../ui/icons";
import { contentPath, FileDrop, pickedUpload, uploadFile, type Upload } from "../../ui/image_field";
import { download, ResultImage } from "../../ui/media";
import { Ago, Empty, Loaded, LocalTime, PageHead } from "../../ui/show";
import { startFrom } from "../playground/BuiltInForm";
import type { Mode } from "../playground/settings";

const words = text.uploads;
const PAGE = 60;
const ACCEPT = "image/png,image/jpeg,image/webp,video/*,audio/*,.exr,.mkv,.flac,.safetensors,.glb,.gltf,.obj,.stl,.ply,.fbx,.spz,.splat,.ksplat";

export default function UploadsPage() {
  const uploads = useResource("uploads:page", () => unwrap(api.GET("/api/v1/uploads", { params: { query: { limit: PAGE } } })));
  const [older, setOlder] = useState<{ uploads: readonly Upload[]; cursor: string | null } | null>(null);
  const [sending, setSending] = useState<{ done: number; total: number } | null>(null);
  const [shown, setShown] = useState<Upload | null>(null);
  const [deleting, setDeleting] = useState<Upload | null>(null);

  async function send(files: File[]): Promise<void> {
    setSending({ done: 0, total: files.length });
    for (const [index, file] of files.entries()) {
      await attempt(() => uploadFile(file, file.name));
      setSending({ done: index + 1, total: files.length });
    }
    setSending(null);
    await uploads.reload();
  }

  async function more(cursor: string): Promise<void> {
    const page = await unwrap(api.GET("/api/v1/uploads", { params: { query: { limit: PAGE, cursor } } }));
    setOlder({ uploads: [...(older?.uploads ?? []), ...page.uploads], cursor: page.next_cursor });
  }

  async function remove(upload: Upload): Promise<void> {
    await unwrap(api.DELETE("/api/v1/uploads/{upload_id}", { params: { path: { upload_id: upload.id } } }));
    const isOther = ({ id }: Upload) => id !== upload.id;
    uploads.update((page) => ({ ...page, uploads: page.uploads.filter(isOther) }));
    if (older) setOlder({ ...older, uploads: older.uploads.filter(isOther) });
    setShown(null);
  }

  return (
    <>
      <PageHead title={words.title} intro={words.intro} />
      <FileDrop label={sending ? `${words.uploading} ${sending.done} ${words.of} ${sending.total}` : words.choose} hint={words.hint} accept={ACCEPT}
        isMultiple takesPaste isBusy={sending !== null} onFiles={(files) => void send(files)} />
      <Loaded resource={uploads}>
        {(page) => {
          const all = [...page.uploads, ...(older?.uploads ?? [])];
          const cursor = older ? older.cursor : page.next_cursor;
          if (all.length === 0) return <Empty icon="upload" title={words.emptyTitle}><p>{words.emptyText}</p></Empty>;
          return (
            <>
              <ul class="tiles" aria-label={words.list}>
                {all.map((upload, index) => <Tile key={upload.id} upload={upload} position={index + 1} onOpen={() => setShown(upload)} onDelete={() => setDeleting(upload)} />)}
              </ul>
              {cursor && <div class="row"><Button onClick={() => void attempt(() => more(cursor))}>{words.more}</Button></div>}
            </>
          );
        }}
      </Loaded>
      {shown && <Details upload={shown} onClose={() => setShown(null)} onDelete={() => setDeleting(shown)} />}
      {deleting && (
        <ConfirmDialog title={words.deleteTitle} effects={words.deleteEffects} action={words.delete} isDangerous
          onConfirm={() => remove(deleting)} onClose={() => setDeleting(null)} />
      )}
    </>
  );
}

function isPicture(upload: Upload): boolean {
  return upload.kind === "image" && upload.content_type !== "image/x-exr";
}

function nameOf(upload: Upload, position: number): string {
  return `${upload.kind ?? words.file} ${position}`;
}

function Tile({ upload, position, onOpen, onDelete }: { upload: Upload; position: number; onOpen: () => void; onDelete: () => void }) {
  return (
    <li class="upload">
      <button type="button" class="tile" onClick={onOpen}>
        <span class="visually-hidden">{words.open} {nameOf(upload, position)}</span>
        {isPicture(upload) ? <ResultImage src={contentPath(upload.id)} alt="" /> : <span class="picked-file"><Icon name="upload" />{upload.content_type}</span>}
        <span class="small number">{upload.width ? `${upload.width} × ${upload.height} · ` : ""}{formatBytes(upload.size_bytes)}</span>
        <span class="small soft"><Ago at={upload.created_at} /></span>
      </button>
      <IconButton class="picture-save" icon="trash" isSmall label={`${words.delete} ${nameOf(upload, position)}`} onClick={onDelete} />
    </li>
  );
}

function Details({ upload, onClose, onDelete }: { upload: Upload; onClose: () => void; onDelete: () => void }) {
  const { route } = useLocation();
  function start(mode: Mode): void {
    startFrom(pickedUpload(upload), mode);
    route("/");
  }
  return (
    <Dialog title={upload.content_type} isWide onClose={onClose}>
      {isPicture(upload) && <div class="viewer"><ResultImage src={contentPath(upload.id)} alt={words.file} isEager /></div>}
      <dl class="facts">
        <dt>{words.size}</dt><dd class="number">{upload.width ? `${upload.width} × ${upload.height} · ` : ""}{formatBytes(upload.size_bytes)}</dd>
        <dt>{words.added}</dt><dd><LocalTime at={upload.created_at} />{upload.expires_at && <> · {words.expires} <Ago at={upload.expires_at} /></>}</dd>
        <dt>id</dt><dd><code>{upload.id}</code></dd>
      </dl>
      <div class="row wrap">
        {isPicture(upload) && <Button isSmall look="primary" onClick={() => start("image")}>{words.startFrom}</Button>}
        {isPicture(upload) && <Button isSmall icon="brush" onClick={() => start("inpaint")}>{words.repaint}</Button>}
        <Button isSmall icon="download" onClick={() => void attempt(() => download(contentPath(upload.id), upload.id))}>{words.download}</Button>
        <Button isSmall look="danger" icon="trash" onClick={onDelete}>{words.delete}</Button>
      </div>
    </Dialog>
  );
}
