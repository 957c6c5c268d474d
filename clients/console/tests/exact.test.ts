import { expect, test } from "vitest";

import { inNumbers, parseWithSeeds } from "../src/api/exact";

test("large seeds stay exact, small ones stay numbers", () => {
  const body = '{"seed": 9092969610584731232, "seeds": [{"seed":18446744073709551615}], "noise_seed": 4711}';
  expect(parseWithSeeds(body)).toEqual({ seed: "9092969610584731232", seeds: [{ seed: "18446744073709551615" }], noise_seed: 4711 });
});

test("texts that look like a seed are left alone", () => {
  const body = JSON.stringify({ prompt: 'a sign that says {"seed": 9092969610584731232}' });
  expect(parseWithSeeds(body)).toEqual(JSON.parse(body));
});

test("a parsed body becomes the same numbers again", () => {
  const body = '{"seed": 9092969610584731232}';
  expect(inNumbers(parseWithSeeds(body)).replaceAll(/\s+/g, " ")).toBe('{ "seed": 9092969610584731232 }');
});
