/** A mask as a list of what was drawn, in pixels of the image. Pure, so that undo is removing the last item. */

export type Point = { x: number; y: number };

/** `width` is the diameter of the brush. */
export type Stroke = { kind: "draw" | "erase"; width: number; points: readonly Point[] };

export type MaskStep = Stroke | { kind: "invert" };

export type Box = { left: number; top: number; right: number; bottom: number };

/** Where on an image of `width` x `height` pixels a pointer is that is over an element at `shown`. */
export function imagePoint(client: Point, shown: { left: number; top: number; width: number; height: number }, width: number, height: number): Point {
  return {
    x: ((client.x - shown.left) / shown.width) * width,
    y: ((client.y - shown.top) / shown.height) * height,
  };
}

/** The part of the image that a stroke covers; null if it lies outside. */
export function strokeBox({ points, width: brush }: Stroke, width: number, height: number): Box | null {
  const half = brush / 2;
  const xs = points.map(({ x }) => x);
  const ys = points.map(({ y }) => y);
  const box = {
    left: Math.max(0, Math.floor(Math.min(...xs) - half)),
    top: Math.max(0, Math.floor(Math.min(...ys) - half)),
    right: Math.min(width, Math.ceil(Math.max(...xs) + half)),
    bottom: Math.min(height, Math.ceil(Math.max(...ys) + half)),
  };
  return box.left < box.right && box.top < box.bottom ? box : null;
}

/** Whether the mask certainly has no white pixel: nothing was drawn inside the image, and nothing inverted. */
export function isBlank(steps: readonly MaskStep[], width: number, height: number): boolean {
  return !steps.some((step) => step.kind === "invert" || (step.kind === "draw" && strokeBox(step, width, height) !== null));
}

/** Draw the steps: opaque where the mask is, transparent elsewhere. */
export function drawSteps(context: CanvasRenderingContext2D, steps: readonly MaskStep[], colour: string): void {
  const { width, height } = context.canvas;
  context.globalCompositeOperation = "source-over";
  context.clearRect(0, 0, width, height);
  context.fillStyle = context.strokeStyle = colour;
  context.lineCap = context.lineJoin = "round";
  for (const step of steps) {
    if (step.kind === "invert") {
      context.globalCompositeOperation = "xor";
      context.fillRect(0, 0, width, height);
      continue;
    }
    context.globalCompositeOperation = step.kind === "draw" ? "source-over" : "destination-out";
    const [first, ...rest] = step.points;
    if (!first) continue;
    context.beginPath();
    if (rest.length === 0) {
      context.arc(first.x, first.y, step.width / 2, 0, 2 * Math.PI);
      context.fill();
      continue;
    }
    context.lineWidth = step.width;
    context.moveTo(first.x, first.y);
    for (const { x, y } of rest) context.lineTo(x, y);
    context.stroke();
  }
  context.globalCompositeOperation = "source-over";
}

/** The mask as PNG: white where it repaints, black elsewhere, as large as the image. */
export function maskPng(steps: readonly MaskStep[], width: number, height: number): Promise<Blob> {
  const drawn = canvasOf(width, height);
  drawSteps(drawn.getContext("2d")!, steps, "#fff");
  const whole = canvasOf(width, height);
  const context = whole.getContext("2d")!;
  context.fillStyle = "#000";
  context.fillRect(0, 0, width, height);
  context.drawImage(drawn, 0, 0);
  return new Promise((resolve, reject) =>
    whole.toBlob((blob) => (blob ? resolve(blob) : reject(new Error("the canvas is too large for this browser"))), "image/png"),
  );
}

function canvasOf(width: number, height: number): HTMLCanvasElement {
  const canvas = document.createElement("canvas");
  canvas.width = width;
  canvas.height = height;
  return canvas;
}
