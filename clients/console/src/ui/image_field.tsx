/** An image for a job: dropped, pasted, chosen from a file or from earlier uploads. */
import "./forms.css";

import { useEffect, useId, useRef, useState } from "preact/hooks";

import { api, unwrap, type Schemas } from "../api/client";
import { Problem } from "../api/problem";
import { useResource } from "../api/resource";
import { text } from "../text";
import { Button } from "./controls";
import { Dialog } from "./dialog";
import { Icon } from "./icons";
import { ResultImage } from "./media";
import { Empty, Loaded } from "./show";

export type Upload = Schemas["UploadBody"];

/** An image of the user: an upload, or `output:<id>` of an earlier job. */
export type PickedImage = {
  /** What a submission takes where it wants an image. */
  id: string;
  /** Path of its bytes. */
  path: string;
  width: number | null;
  height: number | null;
};

export function contentPath(uploadId: string): string {
  return `/api/v1/uploads/${uploadId}/content`;
}

export function pickedUpload({ id, width, height }: Upload): PickedImage {
  return { id, path: contentPath(id), width, height };
}

/** @throws Problem if the file is refused. */
export function uploadFile(file: Blob, name: string): Promise<Upload> {
  const form = new FormData();
  form.append("file", file, name);
  return unwrap(api.POST("/api/v1/upload", { body: form as never, bodySerializer: (body: unknown) => body as FormData }));
}

type DropProps = {
  label: string;
  hint: string;
  /** Of files, as `<input accept>` has it. */
  accept: string;
  isMultiple?: boolean;
  /** Take files that are pasted anywhere on the page. */
  takesPaste?: boolean;
  isBusy?: boolean;
  /** Id of an error that belongs to it. */
  describedBy?: string;
  onFiles: (files: File[]) => void;
};

/** A place for files: click, Enter, drop or paste. */
export function FileDrop({ label, hint, accept, isMultiple, takesPaste, isBusy, describedBy, onFiles }: DropProps) {
  const [isOver, setOver] = useState(false);
  const take = useRef(onFiles);
  take.current = onFiles;
  useEffect(() => {
    if (!takesPaste) return;
    const onPaste = (event: ClipboardEvent) => {
      const files = [...(event.clipboardData?.files ?? [])];
      if (files.length === 0 || document.querySelector("dialog[open]")) return;
      event.preventDefault();
      take.current(files);
    };
    document.addEventListener("paste", onPaste);
    return () => document.removeEventListener("paste", onPaste);
  }, [takesPaste]);
  return (
    <label class="drop" data-over={isOver}
      onDragOver={(event) => { event.preventDefault(); setOver(true); }}
      onDragLeave={() => setOver(false)}
      onDrop={(event) => {
        event.preventDefault();
        setOver(false);
        const files = [...(event.dataTransfer?.files ?? [])];
        if (files.length > 0) onFiles(isMultiple ? files : files.slice(0, 1));
      }}>
      <input class="visually-hidden" type="file" accept={accept} multiple={isMultiple} disabled={isBusy} aria-label={label} aria-describedby={describedBy}
        onChange={({ currentTarget }) => {
          const files = [...(currentTarget.files ?? [])];
          currentTarget.value = "";
          if (files.length > 0) onFiles(files);
        }} />
      <Icon name="upload" size={20} />
      <strong>{isBusy ? text.imageField.uploading : label}</strong>
      <span class="small soft">{hint}</span>
    </label>
  );
}

const ACCEPT: Record<string, string> = {
  image: "image/png,image/jpeg,image/webp,.exr",
  video: "video/*,.mkv,.mov,.avi,.flv",
  audio: "audio/*,video/*",
  file: "*/*",
};

type ImageProps = {
  label: string;
  value: PickedImage | null;
  onValue: (value: PickedImage | null) => void;
  error?: string | null;
  /** What kind of file it takes. */
  kind?: "image" | "video" | "audio" | "file";
  takesPaste?: boolean;
  children?: preact.ComponentChildren;
};

/** Upload a file or choose an earlier one; shows what is chosen. `children` are further actions on it. */
export function ImageField({ label, value, onValue, error, kind = "image", takesPaste, children }: ImageProps) {
  const [isBusy, setBusy] = useState(false);
  const [refusal, setRefusal] = useState<string | null>(null);
  const [isChoosing, setChoosing] = useState(false);
  const id = useId();
  const shown = refusal ?? error;
  async function take([file]: File[]): Promise<void> {
    setBusy(true);
    setRefusal(null);
    try {
      onValue(pickedUpload(await uploadFile(file!, file!.name)));
    } catch (problem) {
      if (!(problem instanceof Problem)) throw problem;
      setRefusal(problem.message);
    } finally {
      setBusy(false);
    }
  }
  return (
    <div class="field" role="group" aria-label={label}>
      <span class="label" aria-hidden="true">{label}</span>
      {value ? (
        <div class="picked">
          {kind === "image" && value.path
            ? <ResultImage src={value.path} alt={text.imageField.chosen} width={value.width} height={value.height} isEager />
            : <span class="picked-file"><Icon name="image" /></span>}
          <div class="stack tight grow">
            {value.width && value.height && <span class="small soft number">{value.width} × {value.height}</span>}
            {!(kind === "image" && value.path) && <code class="small truncate">{value.id}</code>}
            <div class="row wrap">
              {children}
              <Button isSmall onClick={() => onValue(null)}>{text.imageField.replace}</Button>
            </div>
          </div>
        </div>
      ) : (
        <>
          <FileDrop label={text.imageField[kind]} hint={takesPaste ? text.imageField.hintPaste : text.imageField.hint} accept={ACCEPT[kind]!}
            takesPaste={takesPaste} isBusy={isBusy} describedBy={shown ? `${id}-error` : undefined} onFiles={(files) => void take(files)} />
          <div><Button look="quiet" isSmall onClick={() => setChoosing(true)}>{text.imageField.earlier}</Button></div>
        </>
      )}
      {shown && <div class="error" id={`${id}-error`} role="alert">{shown}</div>}
      {isChoosing && (
        <EarlierUploads kind={kind} onClose={() => setChoosing(false)}
          onChoose={(upload) => { setChoosing(false); setRefusal(null); onValue(pickedUpload(upload)); }} />
      )}
    </div>
  );
}

function EarlierUploads({ kind, onClose, onChoose }: { kind: string; onClose: () => void; onChoose: (upload: Upload) => void }) {
  const uploads = useResource("uploads:first", () => unwrap(api.GET("/api/v1/uploads", { params: { query: { limit: 60 } } })));
  return (
    <Dialog title={text.imageField.earlier} isWide onClose={onClose}>
      <Loaded resource={uploads}>
        {({ uploads: all }) => {
          const fitting = all.filter((upload) => kind === "file" || upload.kind === kind || (kind === "audio" && upload.kind === "video"));
          if (fitting.length === 0) return <Empty icon="upload" title={text.imageField.noneEarlier} />;
          return (
            <ul class="tiles">
              {fitting.map((upload, index) => (
                <li key={upload.id}>
                  <button type="button" class="tile" onClick={() => onChoose(upload)}>
                    <span class="visually-hidden">{text.imageField.use} {index + 1}</span>
                    {upload.kind === "image" && upload.content_type !== "image/x-exr"
                      ? <ResultImage src={contentPath(upload.id)} alt="" />
                      : <span class="picked-file"><Icon name="image" />{upload.content_type}</span>}
                    {upload.width && <span class="small soft number">{upload.width} × {upload.height}</span>}
                  </button>
                </li>
              ))}
            </ul>
          );
        }}
      </Loaded>
    </Dialog>
  );
}
