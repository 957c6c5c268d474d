/** The same submission as code. Pure. */
import type { Submission } from "./settings";

export type Language = "curl" | "python" | "nats";

export function snippet(language: Language, submission: Submission, origin: string): string {
  return { curl, python, nats }[language](submission, origin);
}

function curl(submission: Submission, origin: string): string {
  return [
    `curl -s ${origin}/api/v1/jobs \\`,
    '  -H "X-API-Key: $COMFYFLEET_KEY" \\',
    '  -H "Content-Type: application/json" \\',
    `  -d ${shellQuoted(JSON.stringify(submission, null, 2))}`,
  ].join("\n");
}

function python(submission: Submission, origin: string): string {
  const { prompt, ...rest } = submission;
  const given = [
    ...(prompt === undefined ? [] : [pythonLiteral(prompt, 2)]),
    ...Object.entries(rest).map(([name, value]) => `${name}=${pythonLiteral(value, 2)}`),
  ];
  return [
    "from comfyfleet_client import Client",
    "",
    `with Client(${pythonLiteral(origin)}, key="cf_…") as fleet:`,
    "    job = fleet.jobs.submit(",
    ...given.map((argument) => `        ${argument},`),
    "    )",
    "    fleet.jobs.wait(job)",
    '    fleet.jobs.download(job, to="picture.png")',
  ].join("\n");
}

function nats(submission: Submission): string {
  return [
    "import asyncio",
    "import json",
    "",
    "import nats",
    "",
    `submission = ${pythonLiteral(submission)}`,
    "",
    "",
    "async def main():",
    '    credentials = json.load(open("credentials.json"))  # of your NATS account',
    '    nc = await nats.connect(credentials["nats_url"], **credentials["outside"])',
    '    reply = await nc.request("jobs.submit", json.dumps(submission).encode(), timeout=10)',
    "    job = json.loads(reply.data)",
    '    print(job.get("job_id", job))  # the committed job, or a problem',
    "    await nc.close()",
    "",
    "",
    "asyncio.run(main())",
  ].join("\n");
}

/** A word of a POSIX shell. */
export function shellQuoted(value: string): string {
  return `'${value.replaceAll("'", "'\\''")}'`;
}

/** A JSON value as a Python expression. */
export function pythonLiteral(value: unknown, depth = 0): string {
  if (value === null || value === undefined) return "None";
  if (typeof value === "boolean") return value ? "True" : "False";
  if (typeof value !== "object") return JSON.stringify(value);
  if ("rawJSON" in value) return String(value.rawJSON); // an integer too large for JavaScript
  const isList = Array.isArray(value);
  const items = isList
    ? value.map((item) => pythonLiteral(item, depth + 1))
    : Object.entries(value).map(([name, item]) => `${JSON.stringify(name)}: ${pythonLiteral(item, depth + 1)}`);
  const [open, close] = isList ? ["[", "]"] : ["{", "}"];
  if (items.length === 0) return open + close;
  if (items.join(", ").length < 60 && !items.some((item) => item.includes("\n"))) return open + items.join(", ") + close;
  const indent = "    ".repeat(depth + 1);
  return `${open}\n${items.map((item) => `${indent}${item},`).join("\n")}\n${"    ".repeat(depth)}${close}`;
}
