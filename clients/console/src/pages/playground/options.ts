/** Choices of the fleet, for fields. */
import { api, unwrap, type Schemas } from "../../api/client";
import { useResource, type Resource } from "../../api/resource";

const MODEL_INPUT = "CheckpointLoaderSimple.ckpt_name";

/** Names of the checkpoints that nodes of the fleet have; null until they are known. */
export function useCheckpoints(): readonly string[] | null {
  return useResource("models", () => unwrap(api.GET("/api/v1/models"))).data?.models[MODEL_INPUT] ?? null;
}

/** Samplers and schedulers of the fleet; null until they are known or if the class may not be seen. */
export function useSamplers(): { samplers: readonly string[]; schedulers: readonly string[] } | null {
  const inputs = useNodeClass("KSampler").data?.inputs;
  const samplers = optionsOf(inputs?.["sampler_name"]);
  const schedulers = optionsOf(inputs?.["scheduler"]);
  return samplers && schedulers ? { samplers, schedulers } : null;
}

export function useNodeClass(name: string): Resource<Schemas["ClassBody"] | null> {
  return useResource(`class:${name}`, () => readNodeClass(name));
}

export async function readNodeClass(name: string): Promise<Schemas["ClassBody"] | null> {
  const { classes } = await unwrap(api.GET("/api/v1/nodes/classes", { params: { query: { name } } }));
  return classes[0] ?? null;
}

function optionsOf(input: Schemas["InputBody"] | undefined): string[] | null {
  return input?.options?.map(String) ?? null;
}
