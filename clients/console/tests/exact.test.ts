import { expect, test } from "vitest";

import { exactText, parseExact } from "../src/api/exact";

const BODY = '{"seed":18446744073709551615,"seeds":[{"seed":-9223372036854775808}],"noise_seed":4711}';

test("parsing and writing keeps integers that JavaScript cannot hold", () => {
  expect(JSON.stringify(parseExact(BODY))).toBe(BODY);
});

test("large integers are shown in full", () => {
  const { seed, seeds, noise_seed } = parseExact<{ seed: number; seeds: { seed: number }[]; noise_seed: number }>(BODY);
  expect([seed, seeds[0]!.seed, noise_seed].map(exactText)).toEqual(["18446744073709551615", "-9223372036854775808", "4711"]);
});

test("an integer that was rounded is not shown as if it were exact", () => {
  expect(exactText(2 ** 53)).toBeNull();
  expect(exactText(null)).toBeNull();
});

test("texts that look like a seed are left alone", () => {
  const body = JSON.stringify({ prompt: 'a sign that says {"seed": 9092969610584731232}' });
  expect(parseExact(body)).toEqual(JSON.parse(body));
});
