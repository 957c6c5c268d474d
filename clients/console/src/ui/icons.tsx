/** Icons: 16 x 16, drawn with the colour of the text. Decorative: the element around them has the name. */
const PATHS = {
  play: "M5 3.5v9l7-4.5z",
  image: "M2.5 3.5h11v9h-11zM2.5 10.5l3-3 3 3 2-2 3 3M10.5 6.2h.01",
  list: "M5.5 4h8M5.5 8h8M5.5 12h8M2.5 4h.01M2.5 8h.01M2.5 12h.01",
  workflow: "M2.5 3h4v4h-4zM9.5 9h4v4h-4zM6.5 5h3a2 2 0 0 1 2 2v2",
  upload: "M8 10.5v-8m-3 3 3-3 3 3M2.5 11v2.5h11V11",
  download: "M8 2.5v8m-3-3 3 3 3-3M2.5 11v2.5h11V11",
  user: "M8 8a2.5 2.5 0 1 0 0-5 2.5 2.5 0 0 0 0 5zM3 13.5c.5-2.3 2.4-3.5 5-3.5s4.5 1.2 5 3.5",
  server: "M2.5 3h11v4h-11zM2.5 9h11v4h-11zM5 5h.01M5 11h.01",
  queue: "M2.5 4h11M2.5 8h8M2.5 12h5",
  chart: "M2.5 13.500h11M4 11V8m3 3V4m3 7V6.500m3 4.500V3",
  users: "M6 7.500a2.2 2.2 0 1 0 0-4.4 2.2 2.2 0 0 0 0 4.400zM2 13c.3-2 1.8-3.2 4-3.200s3.7 1.2 4 3.200M10.5 3.300a2.2 2.2 0 0 1 0 4M11.5 10c1.5.3 2.4 1.4 2.6 3",
  shield: "M8 2.2 3 4v4c0 3 2 5 5 6 3-1 5-3 5-6V4z",
  letter: "M2.5 4h11v8.500h-11zM2.5 4.5 8 9l5.5-4.5",
  log: "M4 2.500h8v11H4zM6 5.500h4M6 8h4M6 10.500h2",
  search: "M7 11.500a4.5 4.5 0 1 0 0-9 4.5 4.5 0 0 0 0 9zM10.5 10.500l3 3",
  help: "M8 14A6 6 0 1 0 8 2a6 6 0 0 0 0 12zM6.2 6.300c.1-1 .8-1.6 1.8-1.600s1.8.6 1.8 1.500c0 1.3-1.8 1.3-1.8 2.600M8 11.200h.01",
  close: "M4 4l8 8M12 4l-8 8",
  menu: "M2.5 4h11M2.5 8h11M2.5 12h11",
  check: "M3 8.500l3.5 3.500L13 4.5",
  alert: "M8 2.5 14 13H2zM8 6.500v3M8 11.300h.01",
  info: "M8 14A6 6 0 1 0 8 2a6 6 0 0 0 0 12zM8 7.500V11M8 5.200h.01",
  copy: "M5.5 5.500h8v8h-8zM10.5 5.500v-3h-8v8h3",
  dice: "M3 3h10v10H3zM5.7 5.700h.01M10.3 5.700h.01M8 8h.01M5.7 10.300h.01M10.3 10.300h.01",
  trash: "M3 4.500h10M6 4.500v-2h4v2M4.5 4.500l.5 9h6l.5-9M7 7v4M9 7v4",
  stop: "M4 4h8v8H4z",
  refresh: "M13 8a5 5 0 1 1-1.5-3.500L13 6M13 2.500V6H9.5",
  sun: "M8 10.800a2.8 2.8 0 1 0 0-5.6 2.8 2.8 0 0 0 0 5.600zM8 1.500v1.300M8 13.200v1.300M1.5 8h1.300M13.2 8h1.300M3.4 3.400l.9.9M11.7 11.700l.9.900M3.4 12.600l.9-.9M11.7 4.300l.9-.9",
  moon: "M13 9.500A5.5 5.5 0 0 1 6.5 3a5.5 5.5 0 1 0 6.5 6.500z",
  chevron: "M4 6l4 4 4-4",
  more: "M3.5 8h.01M8 8h.01M12.5 8h.01",
  plus: "M8 3v10M3 8h10",
  link: "M7 9.5 9.5 7M6 7 4 9a2.5 2.5 0 0 0 3.5 3.500l2-2M10 9l2-2A2.5 2.5 0 0 0 8.5 3.500l-2 2",
  clock: "M8 14A6 6 0 1 0 8 2a6 6 0 0 0 0 12zM8 4.800V8l2.2 1.5",
  brush: "M13 3 7 9M5.5 9.500c-1.5 0-2 1-2 2 0 .8-.5 1.2-1 1.5 2 .8 4.5.3 4.5-1.8 0-.9-.6-1.7-1.5-1.700z",
  share: "M11.5 5.500a1.7 1.7 0 1 0 0-3.4 1.7 1.7 0 0 0 0 3.400zM4.5 9.700a1.7 1.7 0 1 0 0-3.4 1.7 1.7 0 0 0 0 3.400zM11.5 13.900a1.7 1.7 0 1 0 0-3.4 1.7 1.7 0 0 0 0 3.400zM6 7.200l4-2.400M6 8.800l4 2.4",
} as const;

export type IconName = keyof typeof PATHS;

export function Icon({ name, size = 16 }: { name: IconName; size?: number }) {
  return (
    <svg width={size} height={size} viewBox="0 0 16 16" fill="none" stroke="currentColor" stroke-width="1.4"
      stroke-linecap="round" stroke-linejoin="round" aria-hidden="true">
      <path d={PATHS[name]} />
    </svg>
  );
}
