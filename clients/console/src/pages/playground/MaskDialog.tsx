/** Draws a mask over an image: what is painted is repainted by the job. */
import { useEffect, useRef, useState } from "preact/hooks";

import { Problem } from "../../api/problem";
import { text } from "../../text";
import { Button, IconButton } from "../../ui/controls";
import { Dialog, ProblemNotice } from "../../ui/dialog";
import { RangeField, Segmented } from "../../ui/fields";
import { pickedUpload, uploadFile, type PickedImage } from "../../ui/image_field";
import { useImageUrl } from "../../ui/media";
import { Skeleton } from "../../ui/show";
import { drawSteps, imagePoint, isBlank, maskPng, type MaskStep, type Point, type Stroke } from "./mask";

type Props = { image: PickedImage; start: readonly MaskStep[]; onDone: (mask: PickedImage, steps: readonly MaskStep[]) => void; onClose: () => void };

const words = text.playground.mask;
const BRUSH = 8; // percent of the longer side
const PAINT = "oklch(60% 0.24 300)";
const ARROWS: Record<string, Point> = { ArrowLeft: { x: -1, y: 0 }, ArrowRight: { x: 1, y: 0 }, ArrowUp: { x: 0, y: -1 }, ArrowDown: { x: 0, y: 1 } };

export function MaskDialog({ image, start, onDone, onClose }: Props) {
  const [steps, setSteps] = useState(start);
  const [tool, setTool] = useState<Stroke["kind"]>("draw");
  const [chosenBrush, setBrush] = useState<number | null>(BRUSH);
  const brush = chosenBrush ?? BRUSH;
  const [size, setSize] = useState<{ width: number; height: number } | null>(null);
  const [cursor, setCursor] = useState<Point | null>(null);
  const [problem, setProblem] = useState<Problem | null>(null);
  const [failure, setFailure] = useState<string | null>(null);
  const [isBusy, setBusy] = useState(false);
  const canvas = useRef<HTMLCanvasElement>(null);
  const stroke = useRef<Stroke | null>(null);
  const url = useImageUrl(image.path, setFailure);
  const width = size ? Math.max(1, Math.round((Math.max(size.width, size.height) * brush) / 100)) : 1;

  useEffect(() => {
    if (canvas.current && size) drawSteps(canvas.current.getContext("2d")!, steps, PAINT);
  }, [steps, size]);

  function pointOf(event: PointerEvent): Point {
    return imagePoint({ x: event.clientX, y: event.clientY }, canvas.current!.getBoundingClientRect(), size!.width, size!.height);
  }

  function begin(event: PointerEvent): void {
    if (event.button !== 0) return;
    canvas.current!.setPointerCapture(event.pointerId);
    stroke.current = { kind: tool, width, points: [pointOf(event)] };
    drawSteps(canvas.current!.getContext("2d")!, [...steps, stroke.current], PAINT);
  }

  function move(event: PointerEvent): void {
    setCursor(pointOf(event));
    if (!stroke.current) return;
    const added = (event.getCoalescedEvents?.() ?? []).concat(event).map(pointOf);
    stroke.current = { ...stroke.current, points: [...stroke.current.points, ...added] };
    drawSteps(canvas.current!.getContext("2d")!, [...steps, stroke.current], PAINT);
  }

  function finish(): void {
    if (!stroke.current) return;
    setSteps([...steps, stroke.current]);
    stroke.current = null;
  }

  function onKey(event: KeyboardEvent): void {
    if ((event.ctrlKey || event.metaKey) && event.key === "z") setSteps(steps.slice(0, -1));
    else if (event.key === "[") setBrush(Math.max(1, brush - 1));
    else if (event.key === "]") setBrush(Math.min(40, brush + 1));
    else if (ARROWS[event.key] && event.target === canvas.current) {
      const { x, y } = cursor ?? { x: size!.width / 2, y: size!.height / 2 };
      const { x: right, y: down } = ARROWS[event.key]!;
      setCursor({
        x: Math.min(size!.width, Math.max(0, x + (right * width) / 2)),
        y: Math.min(size!.height, Math.max(0, y + (down * width) / 2)),
      });
    } else if (event.key === " " && event.target === canvas.current && cursor) setSteps([...steps, { kind: tool, width, points: [cursor] }]);
    else return;
    event.preventDefault();
  }

  async function save(): Promise<void> {
    setBusy(true);
    setProblem(null);
    try {
      const png = await maskPng(steps, size!.width, size!.height);
      onDone(pickedUpload(await uploadFile(png, "mask.png")), steps);
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      setProblem(error);
      setBusy(false);
    }
  }

  return (
    <Dialog title={words.title} isWide onClose={onClose}>
      <p class="soft">{words.intro}</p>
      <div class="mask-tools" onKeyDown={onKey}>
        <Segmented label={words.tool} isLabelHidden value={tool} onValue={setTool}
          choices={[{ value: "draw", label: words.draw }, { value: "erase", label: words.erase }]} />
        <RangeField label={words.brush} value={chosenBrush} placeholder={BRUSH} min={1} max={40} step={1} onValue={setBrush} />
        <div class="row wrap">
          <Button isSmall isDisabled={steps.length === 0} onClick={() => setSteps(steps.slice(0, -1))}>{words.undo}</Button>
          <Button isSmall isDisabled={!size} onClick={() => setSteps([...steps, { kind: "invert" }])}>{words.invert}</Button>
          <Button isSmall isDisabled={steps.length === 0} onClick={() => setSteps([])}>{words.clear}</Button>
        </div>
      </div>
      {failure && <div class="notice bad" role="alert">{failure}</div>}
      {!url && !failure && <Skeleton lines={6} />}
      {url && (
        <div class="mask-stage">
          <div class="mask-picture">
            <img src={url} alt={text.imageField.chosen} onLoad={({ currentTarget: { naturalWidth, naturalHeight } }) => setSize({ width: naturalWidth, height: naturalHeight })} />
            {size && (
              <canvas ref={canvas} width={size.width} height={size.height} tabIndex={0} role="application" aria-label={words.canvas}
                onPointerDown={begin} onPointerMove={move} onPointerUp={finish} onPointerCancel={finish} onPointerLeave={() => setCursor(null)} onKeyDown={onKey} />
            )}
            {size && cursor && (
              <span class="mask-cursor" aria-hidden="true" style={{
                left: `${(cursor.x / size.width) * 100}%`, top: `${(cursor.y / size.height) * 100}%`, width: `${(width / size.width) * 100}%`,
              }} />
            )}
          </div>
        </div>
      )}
      {problem && <ProblemNotice problem={problem} />}
      <div class="dialog-actions">
        <Button onClick={onClose}>{text.common.back}</Button>
        <Button look="primary" isDisabled={!size || isBusy || isBlank(steps, size.width, size.height)} onClick={() => void save()}>
          {isBusy ? text.imageField.uploading : words.use}
        </Button>
      </div>
    </Dialog>
  );
}

/** A button that opens the dialog, for a field that takes a mask of `image`. */
export function DrawMaskButton({ image, hasMask, steps, onDone }: {
  image: PickedImage; hasMask: boolean; steps: readonly MaskStep[]; onDone: (mask: PickedImage, steps: readonly MaskStep[]) => void;
}) {
  const [isOpen, setOpen] = useState(false);
  return (
    <>
      {hasMask
        ? <IconButton icon="brush" isSmall label={words.change} onClick={() => setOpen(true)} />
        : <Button icon="brush" onClick={() => setOpen(true)}>{words.open}</Button>}
      {isOpen && <MaskDialog image={image} start={steps} onClose={() => setOpen(false)} onDone={(mask, drawn) => { setOpen(false); onDone(mask, drawn); }} />}
    </>
  );
}
