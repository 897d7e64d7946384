export { type Endpoint, promptDigest, promptText } from "./digest.ts";
export { type Simulator, startSimulator } from "./server.ts";
export { checkSettings, type Fault, SettingsError, type SimulatorSettings } from "./settings.ts";
export type { Stats, Timeline } from "./stats.ts";
