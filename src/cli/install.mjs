/**
 * Installs the dependencies when they are missing or not those of package-lock.json. Every npm
 * script runs this first. Plain JavaScript for any Node from 18 on: what it installs includes the
 * Node that the rest runs on (the package `node`, which npm puts first on the scripts' PATH).
 *
 * `npm install --no-save` and not `npm ci`, which deletes node_modules first: what is right stays in
 * place, so another script that is running keeps its files.
 */

import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

/** The first Node that runs TypeScript as it stands, and wrangler. */
const OLDEST_NODE = [22, 18];
const POLL_MS = 250;
const INSTALL = ["install", "--no-save", "--no-audit", "--no-fund", "--loglevel=error"];

/**
 * Whether a project's node_modules is what its package-lock.json asks for.
 *
 * @param {string} root
 * @returns {boolean}
 */
export function isInstalled(root) {
  const lock = read(join(root, "package-lock.json"));
  const installed = read(join(root, "node_modules/.package-lock.json"));
  if (lock === undefined || installed === undefined) return false;
  return read(stampFile(root)) === hash(lock) || covers(JSON.parse(installed), JSON.parse(lock));
}

/**
 * Whether all of a lock is installed, by npm's own list of what it installed. An optional package
 * may be missing: most are for another platform.
 *
 * @typedef {{ version?: string, integrity?: string, optional?: boolean, devOptional?: boolean }} Entry
 * @typedef {{ packages?: Record<string, Entry> }} Lock
 * @param {Lock} installed
 * @param {Lock} lock
 * @returns {boolean}
 */
export function covers(installed, lock) {
  return Object.entries(lock.packages ?? {}).every(([path, wanted]) => {
    if (path === "") return true;
    const have = installed.packages?.[path];
    if (have === undefined) return wanted.optional === true || wanted.devOptional === true;
    return have.version === wanted.version && have.integrity === wanted.integrity;
  });
}

/**
 * Installs what is missing. Returns an error in words, or undefined when all is there.
 *
 * @param {string} root
 * @returns {string | undefined}
 */
export function install(root) {
  if (isInstalled(root)) return undefined;
  const lock = read(join(root, "package-lock.json"));
  if (lock === undefined) return `There is no package-lock.json in ${root}. Is the clone complete?`;
  const held = takeTurn(root);
  try {
    // Another script may have installed it in the meantime.
    if (isInstalled(root)) return undefined;
    console.log("Installing dependencies (once, about half a minute)…");
    const said = runNpm(root, INSTALL);
    if (said !== undefined) {
      return `${said}\n\nThe dependencies could not be installed; npm's own words are above. Check the network and run this again.`;
    }
    writeFileSync(stampFile(root), hash(lock));
    return undefined;
  } finally {
    rmSync(held, { force: true });
  }
}

/**
 * The Node that runs what comes next, as a problem in words when it is too old.
 *
 * @param {string} root
 * @param {string} version of the Node that runs this
 * @returns {string | undefined}
 */
export function nodeProblem(root, version) {
  if (existsSync(join(root, "node_modules/node/bin/node"))) return undefined;
  const [major = 0, minor = 0] = version.replace(/^v/, "").split(".").map(Number);
  const [oldestMajor = 0, oldestMinor = 0] = OLDEST_NODE;
  if (major > oldestMajor || (major === oldestMajor && minor >= oldestMinor)) return undefined;
  return `Muster needs Node ${OLDEST_NODE.join(".")} or newer and this is ${version}. The Node 24 it brings along is not there, because npm was told to run no install scripts. Run: npm rebuild node --ignore-scripts=false`;
}

/**
 * @param {string} root
 * @param {string[]} args
 * @returns {string | undefined} what npm said, when it failed
 */
function runNpm(root, args) {
  // Run by npm, its own script is known, and needs no shell on any platform.
  const script = process.env.npm_execpath;
  const viaScript = script !== undefined && /npm-cli\.[cm]?js$/.test(script);
  const [command, before] = viaScript ? [process.execPath, [script]] : ["npm", []];
  const { status, error, stdout, stderr } = spawnSync(command, [...before, ...args], {
    cwd: root,
    encoding: "utf8",
    stdio: ["ignore", "pipe", "pipe"],
    maxBuffer: 64 * 1024 * 1024,
  });
  if (status === 0) return undefined;
  return error ? String(error) : `${stdout}${stderr}`.trim();
}

/**
 * Waits until no other script installs, and makes them wait for this one.
 *
 * @param {string} root
 * @returns {string} the file that says so
 */
function takeTurn(root) {
  const file = join(root, "node_modules/.muster-installing");
  mkdirSync(join(root, "node_modules"), { recursive: true });
  for (;;) {
    try {
      writeFileSync(file, String(process.pid), { flag: "wx" });
      return file;
    } catch (error) {
      if (/** @type {NodeJS.ErrnoException} */ (error).code !== "EEXIST") throw error;
    }
    const holder = read(file);
    if (holder === undefined || isAlive(Number(holder))) sleep(POLL_MS);
    else rmSync(file, { force: true });
  }
}

/**
 * @param {number} pid 0 while its file is being written
 * @returns {boolean}
 */
function isAlive(pid) {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return /** @type {NodeJS.ErrnoException} */ (error).code === "EPERM";
  }
}

/** @param {number} ms */
function sleep(ms) {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
}

/** @param {string} root */
function stampFile(root) {
  return join(root, "node_modules/.muster-lock");
}

/** @param {string} text */
function hash(text) {
  return createHash("sha256").update(text).digest("hex");
}

/**
 * @param {string} file
 * @returns {string | undefined}
 */
function read(file) {
  try {
    return readFileSync(file, "utf8");
  } catch {
    return undefined;
  }
}

const self = fileURLToPath(import.meta.url);
if (process.argv[1] !== undefined && resolve(process.argv[1]) === self) {
  const root = resolve(self, "../../..");
  const problem = install(root) ?? nodeProblem(root, process.version);
  if (problem !== undefined) {
    console.error(problem);
    process.exitCode = 1;
  }
}
