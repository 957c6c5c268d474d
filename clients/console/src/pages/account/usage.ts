/** Usage by day, for charts. Pure. */
import type { Schemas } from "../../api/client";
import { largestSeries, type Series } from "../../ui/chart-data";

export type Day = Schemas["UsageDayBody"];

const DAY_S = 86_400;

/** Return one entry for each of the last days in UTC, oldest first; days without use are zero. */
export function fillDays(usage: readonly Day[], days: number, now: number): Day[] {
  const byDay = new Map(usage.map((day) => [day.day, day]));
  const today = Math.floor(now / 1000 / DAY_S);
  return Array.from({ length: days }, (_, index) => {
    const day = new Date((today - (days - 1 - index)) * DAY_S * 1000).toISOString().slice(0, 10);
    return byDay.get(day) ?? { day, requests: 0, jobs: 0, images: 0, gpu_seconds: 0, endpoints: {} };
  });
}

/** Return the moments of the days, as seconds. */
export function timesOf(days: readonly Day[]): number[] {
  return days.map(({ day }) => Date.parse(`${day}T00:00:00Z`) / 1000);
}

/** Return the requests of each endpoint by day; the rarest are summed up. */
export function requestsByEndpoint(days: readonly Day[], most: number, others: string): Series[] {
  const names = [...new Set(days.flatMap(({ endpoints }) => Object.keys(endpoints)))];
  return largestSeries(names.map((label) => ({ label, values: days.map(({ endpoints }) => endpoints[label]?.requests ?? 0) })), most, others);
}

export type EndpointUse = { endpoint: string; requests: number; images: number; gpuSeconds: number };

/** Return the use of each endpoint over all days, most requests first. */
export function totalsByEndpoint(days: readonly Day[]): EndpointUse[] {
  const totals = new Map<string, EndpointUse>();
  for (const { endpoints } of days) {
    for (const [endpoint, { requests = 0, images = 0, gpu_seconds = 0 }] of Object.entries(endpoints)) {
      const total = totals.get(endpoint) ?? { endpoint, requests: 0, images: 0, gpuSeconds: 0 };
      totals.set(endpoint, { endpoint, requests: total.requests + requests, images: total.images + images, gpuSeconds: total.gpuSeconds + gpu_seconds });
    }
  }
  return [...totals.values()].sort((left, right) => right.requests - left.requests || right.images - left.images || left.endpoint.localeCompare(right.endpoint));
}

export function sumOf(days: readonly Day[], name: "requests" | "jobs" | "images" | "gpu_seconds"): number {
  return days.reduce((sum, day) => sum + day[name], 0);
}
