/**
 * Charts by uPlot. Import this file only in pages that are loaded when they are opened: it is large.
 * A chart follows the theme and the width of its place, and has a table with the same numbers.
 */
import "uplot/dist/uPlot.min.css";
import "./chart.css";

import { useEffect, useId, useRef, useState } from "preact/hooks";
import uPlot from "uplot";

import { theme } from "../shell/theme";
import { text } from "../text";
import { Button } from "./controls";
import { isolatedIndexes, stackSeries, type Series } from "./chart-data";
import { formatLocal, formatNumber } from "./format";

export type { Series } from "./chart-data";

type ChartProps = {
  /** Names the chart for everybody, also for screen readers. */
  title: string;
  /** Moments as seconds since 1970, ascending. */
  times: readonly number[];
  /** At most six are told apart by colour. */
  series: readonly Series[];
  look?: "line" | "bars" | "stacked bars";
  /** `utc`: the moments are days in UTC, as the API counts them. */
  zone?: "local" | "utc";
  height?: number;
  formatValue?: (value: number) => string;
  formatTime?: (seconds: number) => string;
};

const COLOURS = 6;
const UTC_DAY = new Intl.DateTimeFormat("en", { month: "short", day: "numeric", timeZone: "UTC" });
const AXIS_FONT = "12px ui-sans-serif, system-ui, sans-serif";

export function Chart({ title, times, series, look = "line", zone = "local", height = 220, formatValue = formatNumber, formatTime = (seconds) => formatLocal(new Date(seconds * 1000).toISOString()) }: ChartProps) {
  const place = useRef<HTMLDivElement>(null);
  const id = useId();
  const [at, setAt] = useState<number | null>(null);
  const [isTable, setTable] = useState(false);
  const shown = JSON.stringify([times, series]);
  useEffect(() => {
    if (isTable) return;
    const element = place.current!;
    const plot = new uPlot(options(), data(), element);
    const observer = new ResizeObserver(([entry]) => plot.setSize({ width: Math.floor(entry!.contentRect.width), height }));
    observer.observe(element);
    return () => {
      observer.disconnect();
      plot.destroy();
      setAt(null);
    };
  }, [shown, look, zone, height, isTable, theme.value]);

  function data(): uPlot.AlignedData {
    const drawn = look === "stacked bars" ? stackSeries(series).reverse() : series.map(({ values }) => [...values]);
    return [[...times], ...drawn] as uPlot.AlignedData;
  }

  function options(): uPlot.Options {
    const style = getComputedStyle(document.documentElement);
    const colour = (name: string) => style.getPropertyValue(name).trim();
    const order = series.map((_, index) => index);
    if (look === "stacked bars") order.reverse();
    const bars = look === "line" ? null : uPlot.paths.bars!({ size: [0.72, 48], radius: look === "bars" ? 0.15 : 0 });
    const axis: uPlot.Axis = {
      stroke: colour("--text-soft"),
      font: AXIS_FONT,
      grid: { stroke: colour("--border"), width: 1 },
      ticks: { show: false },
    };
    return {
      width: Math.max(200, place.current!.clientWidth),
      height,
      legend: { show: false },
      cursor: { y: false, drag: { x: false, y: false }, points: { show: look === "line" } },
      scales: {
        x: { time: true, range: (_, low, high) => padded(low ?? 0, high ?? 0) },
        y: { range: (_, __, high) => [0, high ? high * 1.08 : 1] },
      },
      ...(zone === "utc" ? { tzDate: (seconds: number) => uPlot.tzDate(new Date(seconds * 1000), "Etc/UTC") } : {}),
      axes: [
        {
          ...axis,
          grid: { show: false },
          space: 70,
          ...(zone === "utc" ? { incrs: [1, 2, 7, 14, 28].map((days) => days * 86_400), values: (_, ticks) => ticks.map((tick) => UTC_DAY.format(tick * 1000)) } : {}),
        },
        { ...axis, size: (_, values) => 16 + 7 * Math.max(3, ...(values ?? []).map((value) => value.length)), values: (_, ticks) => ticks.map((tick) => (tick === null ? "" : formatValue(tick))) },
      ],
      series: [
        {},
        ...order.map((index): uPlot.Series => {
          const stroke = colour(`--chart-${(index % COLOURS) + 1}`);
          return bars
            ? { label: series[index]!.label, stroke, fill: stroke, width: 0, paths: bars, points: { show: false } }
            : { label: series[index]!.label, stroke, width: 2, points: { show: times.length < 3, filter: (_, __, show) => (show ? null : isolatedIndexes(series[index]!.values)) } };
        }),
      ],
      hooks: { setCursor: [({ cursor }) => setAt(cursor.idx ?? null)] },
    };
  }

  /** Leave room beside the first and last bar. */
  function padded(low: number, high: number): [number, number] {
    const step = times.length > 1 ? times[1]! - times[0]! : 86_400;
    return look === "line" && high > low ? [low, high] : [low - step * 0.6, high + step * 0.6];
  }

  return (
    <figure class="chart" aria-labelledby={id}>
      <figcaption class="row wrap">
        <h2 id={id} class="grow">{title}</h2>
        <span class="soft small number">{at === null ? "" : formatTime(times[at]!)}</span>
        <Button look="quiet" isSmall icon={isTable ? "chart" : "list"} aria-pressed={isTable} onClick={() => setTable(!isTable)}>
          {isTable ? text.chart.chart : text.chart.table}
        </Button>
      </figcaption>
      {isTable
        ? <ChartTable title={title} times={times} series={series} formatValue={formatValue} formatTime={formatTime} />
        : <div ref={place} class="chart-place" style={{ minHeight: `${height}px` }} aria-hidden="true" />}
      {!isTable && (
        <ul class="chart-legend row wrap small">
          {series.map(({ label, values }, index) => (
            <li key={label} class="row">
              <span class={`chart-swatch swatch-${(index % COLOURS) + 1}`} />
              <span class="soft">{label}</span>
              <span class="number">{showValue(at === null ? total(values, look) : values[at], formatValue)}</span>
            </li>
          ))}
        </ul>
      )}
    </figure>
  );
}

/** Bars count, so their total matters; of a line the last value does. */
function total(values: readonly (number | null)[], look: ChartProps["look"]): number | null | undefined {
  return look === "line" ? values.at(-1) : values.reduce<number>((sum, value) => sum + (value ?? 0), 0);
}

function showValue(value: number | null | undefined, formatValue: (value: number) => string): string {
  return value == null ? "–" : formatValue(value);
}

type TableProps = Required<Pick<ChartProps, "title" | "times" | "series" | "formatValue" | "formatTime">>;

function ChartTable({ title, times, series, formatValue, formatTime }: TableProps) {
  return (
    <div class="table-scroll chart-table" tabIndex={0} role="region" aria-label={title}>
      <table class="table">
        <thead>
          <tr><th scope="col">{text.chart.time}</th>{series.map(({ label }) => <th key={label} scope="col" class="number">{label}</th>)}</tr>
        </thead>
        <tbody>
          {times.map((time, index) => (
            <tr key={time}>
              <th scope="row">{formatTime(time)}</th>
              {series.map(({ label, values }) => <td key={label} class="number">{showValue(values[index], formatValue)}</td>)}
            </tr>
          )).reverse()}
        </tbody>
      </table>
    </div>
  );
}
