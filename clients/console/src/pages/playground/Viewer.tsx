/** A result at full size, with what to do with it. Arrow keys go to the next one. */
import { useState } from "preact/hooks";

import { text } from "../../text";
import { Button, IconButton } from "../../ui/controls";
import { attempt, Dialog } from "../../ui/dialog";
import type { PickedImage } from "../../ui/image_field";
import { download, pathOf, ResultImage } from "../../ui/media";
import type { Mode } from "./settings";

export type Picture = { url: string; name: string; alt: string; /** Of the output; null before the job has ended. */ id: string | null };

const words = text.playground;

export function Viewer({ pictures, start, onClose, onUseImage }: {
  pictures: readonly Picture[]; start: number; onClose: () => void; onUseImage?: (image: PickedImage, mode: Mode) => void;
}) {
  const [position, setPosition] = useState(start);
  const picture = pictures[position]!;
  const step = (by: number) => setPosition((position + by + pictures.length) % pictures.length);
  function onKey(event: KeyboardEvent): void {
    if (event.key === "ArrowRight") step(1);
    else if (event.key === "ArrowLeft") step(-1);
  }
  const asInput = (mode: Mode) => onUseImage?.({ id: `output:${picture.id}`, path: pathOf(picture.url), width: null, height: null }, mode);
  return (
    <Dialog title={picture.name} isWide onClose={onClose}>
      <div class="viewer" onKeyDown={onKey}>
        <ResultImage key={picture.url} src={picture.url} alt={picture.alt} isEager />
        <div class="row wrap">
          {pictures.length > 1 && (
            <>
              <IconButton icon="chevron" class="turn-left" label={words.previous} onClick={() => step(-1)} />
              <span class="small soft number">{position + 1} / {pictures.length}</span>
              <IconButton icon="chevron" class="turn-right" label={words.next} onClick={() => step(1)} />
            </>
          )}
          <span class="grow" />
          {onUseImage && picture.id && (
            <>
              <Button isSmall onClick={() => asInput("image")}>{words.useImage}</Button>
              <Button isSmall icon="brush" onClick={() => asInput("inpaint")}>{words.inpaintIt}</Button>
            </>
          )}
          <Button isSmall icon="download" onClick={() => void attempt(() => download(picture.url, picture.name))}>{text.media.download}</Button>
        </div>
      </div>
    </Dialog>
  );
}
